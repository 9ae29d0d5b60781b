"""A fold is data, not a program: row indices and statistics that one compiled epoch takes as arguments.

The rows of the whole data set lie on the device once, or are streamed to it (`streamed`). Every fold and every seed
runs through the same two executables (`epoch`, `predict`), so a table costs one compilation. With
`config.train.folds_at_once` these functions are mapped over a group of folds, along the mesh's axis `fold`.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.data.splits.protocols import Fold
from mpcl_jax.model.mpcl import MPCL
from mpcl_jax.train.devices import compiled, keeps_programs
from mpcl_jax.train.epoch import (
    EVALUATION_BLOCK,
    FoldArrays,
    Parts,
    Rows,
    SlotReport,
    padded_length,
    parts_of_an_epoch,
    validation_kl,
    whole_epoch,
)
from mpcl_jax.train.kept_programs import kept
from mpcl_jax.train.state import Training, create_training
from mpcl_jax.train.targets import NO_MEANS, stimulus_numbers
from mpcl_jax.types import Recordings


class Longest(NamedTuple):
    """The largest number of rows of any fold of a protocol; they fix the shapes of the compiled functions."""

    train: int
    validation: int
    test: int


class Program(NamedTuple):
    """The compiled functions of a run, shared by all its folds.

    For a group of several folds everything but `rows` has one more axis in front, the fold.
    """

    create: Any  # (key, label_mean [C]) -> Training
    epoch: Any  # (training, rows, fold, key) -> (training, ({name: scalar}, SlotReport or None))
    predict: Any  # (params, prototypes, rows, fold, chosen [P]) -> (MPCLOutput, Recall) of those rows
    collect: Any  # (a tree of the folds of a group) -> the same, on every device
    batches: Any  # (fold, key) -> [steps, B] rows of every batch of an epoch
    steps_per_epoch: int
    replicated: NamedSharding
    by_fold: NamedSharding  # of the arrays of a fold
    group: int  # folds that are trained at once


def host_rows(recordings: Recordings) -> Rows:
    """All windows of a data set, on the host."""
    labels, stimulus = recordings.labels.astype(np.float32), stimulus_numbers(recordings)[0]
    return Rows(dict(recordings.signals), dict(recordings.present), labels, stimulus)


def device_rows(recordings: Recordings, sharding) -> Rows:
    """Moves a data set to every device of the mesh; every process has loaded all of it."""
    return on_devices(host_rows(recordings), sharding)


def on_devices(tree, sharding):
    """Host arrays, the same on every process, as arrays laid out over the mesh; processes exchange nothing."""

    def put(x):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda part: x[part])

    return jax.tree.map(put, tree) if jax.process_count() > 1 else jax.device_put(tree, sharding)


def longest_of(folds: Sequence[Fold]) -> Longest:
    """The longest lists of rows of `folds`.

    Pass all folds of a protocol, also where only some are run: steps per epoch and the order of batches depend
    on it, and the result of a fold must not depend on the others.
    """
    return Longest(*(max(len(getattr(fold, part)) for fold in folds) for part in Longest._fields))


def fold_arrays(
    fold: Fold, norm: Normalisation, longest: Longest, means: np.ndarray = NO_MEANS
) -> FoldArrays:
    """Host arrays of one fold, padded to common lengths so that all folds share one executable.

    `means`: the mean reports of `targets.mean_reports`.
    """

    def padded(rows, length):
        out = np.zeros(length, np.int32)
        out[: len(rows)] = rows
        return out

    return FoldArrays(
        padded(fold.train, longest.train),
        np.int32(len(fold.train)),
        padded(fold.validation, padded_length(longest.validation)),
        np.int32(len(fold.validation)),
        *({m: x.astype(np.float32) for m, x in statistic.items()} for statistic in norm),
        means,
    )


def make_program(config: Config, model: MPCL, spec, optimizer, train_step, steps: int, mesh) -> Program:
    """The functions of a run with `steps` training steps an epoch; compiles nothing yet.

    In a group each fold is independent of the others, so nothing is sent along the mesh's axis `fold`; only reports
    and predictions are collected.
    """
    settings, parts = config.train, parts_of_an_epoch(config.train, model, train_step, steps, mesh)
    group, replicated = settings.folds_at_once, NamedSharding(mesh, PartitionSpec())

    def create(key, label_mean):
        return create_training(key, label_mean, model, spec, optimizer, settings.select, steps)

    epoch, predict, by_fold = whole_epoch(parts), parts.predict, replicated
    if group > 1:
        by_fold = NamedSharding(mesh, PartitionSpec("fold"))
        over_folds = partial(jax.vmap, spmd_axis_name="fold")
        create = over_folds(create, in_axes=(0, 0))
        epoch = over_folds(epoch, in_axes=(0, None, 0, 0))
        predict = over_folds(predict, in_axes=(0, 0, None, 0, 0))
    if settings.stream_rows:
        epoch, predict = streamed(parts, settings.stream_rows, settings.batch_size, replicated)
    else:
        if keeps_programs():
            depends = {"settings": dataclasses.asdict(config), "spec": spec._asdict(), "steps": steps}
            epoch = kept("epoch", depends, epoch, _of_epoch)
        epoch = compiled(epoch, donate_argnums=0, out_shardings=(by_fold, replicated))
        predict = compiled(predict, out_shardings=replicated)
    return Program(
        create=compiled(create, once=True, out_shardings=by_fold),
        epoch=epoch,
        predict=predict,
        batches=compiled(parts.batches),
        collect=compiled(lambda tree: tree, out_shardings=replicated),
        steps_per_epoch=steps,
        replicated=replicated,
        by_fold=by_fold,
        group=group,
    )


def _of_epoch(arguments: tuple, names: Sequence[str], arrays: Sequence) -> tuple:
    """The arrays of a kept epoch as what the epoch returns; the training has the form that it was given in."""
    before, form = jax.tree.flatten(arguments[0])
    training = form.unflatten(arrays[: len(before)])
    report = dict(zip(names[len(before) :], arrays[len(before) :], strict=True))
    slots = None
    if SlotReport._fields[0] in report:
        slots = SlotReport(*(report.pop(name) for name in SlotReport._fields))
    return training, (report, slots)


def stack(program: Program, of_folds: Sequence):
    """Host trees, one per fold, as `program` takes them; a group that is not full is filled with its last fold."""
    if program.group == 1:
        return on_devices(of_folds[0], program.by_fold)
    of_folds = [*of_folds, *[of_folds[-1]] * (program.group - len(of_folds))]
    return on_devices(jax.tree.map(lambda *x: np.stack(x), *of_folds), program.by_fold)


def stack_keys(program: Program, keys: Sequence):
    """Like `stack`, for keys of random numbers."""
    return keys[0] if program.group == 1 else jnp.stack([*keys, *[keys[-1]] * (program.group - len(keys))])


def unstack(program: Program, tree, count: int) -> list:
    """The trees of the first `count` folds, of a group as host arrays."""
    if program.group == 1:
        return [tree]
    host = jax.device_get(program.collect(tree))
    return [jax.tree.map(lambda x, i=i: x[i], host) for i in range(count)]


def streamed(parts: Parts, rows_at_once: int, batch_size: int, sharding):
    """`epoch` and `predict` of a `Program` for one fold and `Rows` of NumPy arrays.

    The same steps, batches and keys as in `epoch.whole_epoch`; numbers agree but for rounding. Two parts of about
    `rows_at_once` rows lie on the device at a time: the next one is moved while the device works on the first.
    """
    most = min(parts.steps, max(1, rows_at_once // batch_size))
    at_once = next(k for k in range(most, 0, -1) if parts.steps % k == 0)  # equal parts share one program
    make_steps = compiled(parts.make_steps, donate_argnums=0, out_shardings=sharding)
    batches, end, mean_kl = compiled(parts.batches), compiled(parts.end), compiled(validation_kl)
    places = np.arange(at_once * batch_size, dtype=np.int32).reshape(at_once, batch_size)
    predict = _streamed_prediction(parts, max(1, rows_at_once // EVALUATION_BLOCK), sharding)

    def epoch(training: Training, rows: Rows, fold: FoldArrays, key):
        chosen = np.asarray(batches(fold, key)).reshape(-1, at_once * batch_size)
        before = jax.tree.map(jnp.copy, training.state.prototypes)  # the state is donated to the first steps
        state, reports = training.state, []
        moved = _to_device(rows, chosen[0], sharding)
        for part in range(len(chosen)):
            numbers = np.arange(part * at_once, (part + 1) * at_once, dtype=np.int32)
            state, report = make_steps(state, training.guard, moved, fold, places, numbers, key)
            if part + 1 < len(chosen):
                moved = _to_device(rows, chosen[part + 1], sharding)  # while the device works
            reports.append(jax.block_until_ready(report))  # else the host would move one part after another
        kl = None
        if len(fold.validation):
            output, _ = predict(state.params, state.prototypes, rows, fold, fold.validation)
            kl = mean_kl(rows.labels[np.asarray(fold.validation)], output.log_probs, fold.validation_count)
        of_steps = jax.tree.map(lambda *x: jnp.concatenate(x), *reports)
        return end(training._replace(state=None), before, state, of_steps, kl)

    return epoch, predict


def _streamed_prediction(parts: Parts, blocks: int, sharding):
    size = blocks * EVALUATION_BLOCK
    one_call = compiled(parts.predict, out_shardings=sharding)
    places = np.arange(size, dtype=np.int32)

    def predict(params, prototypes, rows: Rows, fold: FoldArrays, chosen):
        chosen = np.asarray(chosen)
        padded = np.zeros(-(-len(chosen) // size) * size, np.int32)
        padded[: len(chosen)] = chosen
        found = [
            jax.device_get(one_call(params, prototypes, _to_device(rows, part, sharding), fold, places))
            for part in padded.reshape(-1, size)
        ]
        return jax.tree.map(lambda *x: np.concatenate(x)[: len(chosen)], *found)

    return predict


def _to_device(rows: Rows, chosen: np.ndarray, sharding) -> Rows:
    """The rows `chosen`; the transfer has begun when this returns."""
    return jax.device_put(jax.tree.map(lambda x: x[chosen], rows), sharding)
