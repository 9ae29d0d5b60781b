"""Settings that are allowed each by itself but not together."""

import functools
from collections.abc import Iterator
from typing import Any

from mpcl_jax.config.schema import Config


def contradictions(config: Config) -> Iterator[tuple[str, Any, str]]:
    """(key, value, what it must be) of every setting that contradicts another."""
    for wrong, key, reason in (
        *_of_model(config),
        *_of_data(config),
        *_of_protocol(config),
        *_of_run(config),
    ):
        if wrong:
            yield key, functools.reduce(getattr, key.split("."), config), reason


def _of_model(config: Config):
    model, spike = config.model, config.train.spike_threshold
    heads = model.fusion.heads
    yield model.width % heads, "model.width", f"must be a multiple of its heads = {heads}"
    yield (
        not model.memory.enabled and model.cooccurrence.enabled,
        "model.cooccurrence.enabled",
        "retrieval needs memory banks; set config.model.memory.enabled too",
    )
    yield 0 < spike < 2, "train.spike_threshold", "must be 0, or at least 2"


def _of_data(config: Config):
    data = config.data
    example = f"--config.data.path=/data/{data.kind}"
    needs_files = data.kind in ("dmer", "wesad", "folder")  # a registered data set may need none
    yield needs_files and not data.path, "data.path", f"{data.kind} needs its files, e.g. {example}"
    yield (
        data.kind == "simulated" and data.path,
        "data.path",
        "simulated recordings have no files; set config.data.kind too, e.g. --config.data.kind=folder",
    )
    for kind, windows in (("wesad", data.wesad), ("dmer", data.dmer)):
        yield (
            data.kind == kind and windows.step_seconds > windows.window_seconds,
            f"data.{kind}.step_seconds",
            f"must be <= window_seconds = {windows.window_seconds}, or data between windows are lost",
        )


def _of_protocol(config: Config):
    split, select = config.protocol, config.train.select
    own_folds = split.kind.endswith("fold") or split.kind == "subject_x_stimulus"
    own_validation = split.validation or split.manifest or split.kind == "fixed_48_12_13"
    yield (
        select == "best" and not own_validation,
        "train.select",
        "needs validation rows; set config.protocol.validation above 0, or config.train.select=last",
    )
    yield (
        split.kind == "calibrated" and split.calibration > split.calibration_pool,
        "protocol.calibration",
        f"must be <= calibration_pool = {split.calibration_pool}, the trials of a subject that are never tested",
    )
    yield (
        own_folds and not split.manifest and any(fold >= split.folds for fold in split.only),
        "protocol.only",
        f"folds are counted from 0 to {split.folds - 1}",
    )


def _of_run(config: Config):
    several, train = config.distributed, config.train
    host, _, port = several.coordinator.rpartition(":")
    address = host and port.isdecimal() and 0 < int(port) < 2**16
    given, last = several.start == "given", several.process_count - 1
    unused = f"is not used by config.distributed.start = {several.start!r}; set it to 'given'"
    yield (
        given and not address,
        "distributed.coordinator",
        "must be host:port of process 0, e.g. 10.0.0.1:1234",
    )
    yield not given and several.coordinator, "distributed.coordinator", unused
    yield not given and last, "distributed.process_count", unused
    yield (
        several.process_id > last,
        "distributed.process_id",
        f"processes are counted from 0 to {last} (config.distributed.process_count = {last + 1})",
    )
    yield (
        train.folds_at_once % several.fold_axis,
        "distributed.fold_axis",
        f"must divide config.train.folds_at_once = {train.folds_at_once}",
    )
    yield (
        train.stream_rows and (train.folds_at_once > 1 or several.start != "off"),
        "train.stream_rows",
        "needs config.train.folds_at_once = 1 and config.distributed.start = 'off'",
    )
    yield (
        train.folds_at_once > 1 and train.generator == "rbg",
        "train.folds_at_once",
        "needs config.train.generator = 'threefry2x32'; with 'rbg' the numbers of a fold depend on the others",
    )
