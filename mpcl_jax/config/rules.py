"""Settings that are allowed alone but contradict each other."""

import functools
from collections.abc import Iterator
from typing import Any

from mpcl_jax.config.data import WRITTEN
from mpcl_jax.config.fields import AUTO
from mpcl_jax.config.schema import Config


def contradictions(config: Config) -> Iterator[tuple[str, Any, str]]:
    """(key, value, what it must be) of every setting that contradicts another."""
    for rules in (_of_model, _of_data, _of_protocol, _of_processes, _of_training):
        for key, reason in rules(config):
            yield key, functools.reduce(getattr, key.split("."), config), reason


def _of_model(config: Config):
    model, heads = config.model, config.model.fusion.heads
    if model.width != AUTO and model.width % heads:
        yield "model.width", f"must be a multiple of its heads = {heads}"
    if model.cooccurrence.enabled and not model.memory.enabled:
        yield "model.cooccurrence.enabled", "needs memory banks; set config.model.memory.enabled too"


def _of_data(config: Config):
    data = config.data
    if data.kind in ("dmer", "wesad", "folder") and not data.path:  # a registered data set may need no files
        yield "data.path", f"{data.kind} needs its files, e.g. --config.data.path=/data/{data.kind}"
    if data.kind == "simulated" and data.path:
        yield "data.path", "simulated recordings have no files; set config.data.kind too, e.g. to folder"
    for kind, windows in (("wesad", data.wesad), ("dmer", data.dmer)):
        if data.kind == kind and windows.step_seconds > windows.window_seconds:
            reason = f"must be <= window_seconds = {windows.window_seconds}, or data between windows are lost"
            yield f"data.{kind}.step_seconds", reason


def _of_protocol(config: Config):
    split, pool = config.protocol, config.protocol.calibration_pool
    own_folds = split.kind.endswith("fold") or split.kind in ("subject_x_stimulus", *WRITTEN)
    validation = split.validation or split.manifest or split.kind == "fixed_48_12_13"
    if config.train.select == "best" and not validation:
        reason = "needs validation rows; set config.protocol.validation above 0, or config.train.select=last"
        yield "train.select", reason
    if split.kind in ("calibrated", "few_shot") and split.calibration > pool:
        yield (
            "protocol.calibration",
            f"must be <= calibration_pool = {pool}, the trials that are never tested",
        )
    if own_folds and not split.manifest and any(fold >= split.folds for fold in split.only):
        last = f"{split.folds - 1} (fold {split.folds} of {split.folds})"
        yield "protocol.only", f"folds are counted from 0 (fold 1 of {split.folds}) to {last}"


def _of_processes(config: Config):
    several, last = config.distributed, config.distributed.process_count - 1
    host, _, port = several.coordinator.rpartition(":")
    if several.start != "given":
        unused = f"is not used by config.distributed.start = {several.start!r}; set it to 'given'"
        if several.coordinator:
            yield "distributed.coordinator", unused
        if last:
            yield "distributed.process_count", unused
    elif not (host and port.isdecimal() and 0 < int(port) < 2**16):
        yield "distributed.coordinator", "must be host:port of process 0, e.g. 10.0.0.1:1234"
    if several.process_id > last:
        counted = f"processes are counted from 0 to {last} (config.distributed.process_count = {last + 1})"
        yield "distributed.process_id", counted


def _of_training(config: Config):
    train, several = config.train, config.distributed
    if 0 < train.spike_threshold < 2:
        yield "train.spike_threshold", "must be 0, or at least 2"
    if train.folds_at_once % several.fold_axis:
        yield "distributed.fold_axis", f"must divide config.train.folds_at_once = {train.folds_at_once}"
    if train.stream_rows and (train.folds_at_once > 1 or several.start != "off"):
        yield "train.stream_rows", "needs config.train.folds_at_once = 1 and config.distributed.start = 'off'"
    if train.folds_at_once > 1 and train.select in ("inner", "auto"):
        yield (
            "train.folds_at_once",
            "needs config.train.select = 'last' or 'best'; folds stop at different epochs",
        )
    if train.folds_at_once > 1 and train.generator == "rbg":
        reason = (
            "needs config.train.generator = 'threefry2x32'; with 'rbg' the numbers depend on the other folds"
        )
        yield "train.folds_at_once", reason
