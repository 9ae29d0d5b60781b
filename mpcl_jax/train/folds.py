"""A fold is data, not a program: row indices and statistics that one compiled epoch takes as arguments.

The rows of the whole data set lie on the device once. Every fold of a protocol, and every seed, runs through
the same two executables (`epoch`, `predict`), so a table costs one compilation. Where the config asks for several
folds at once, these functions are mapped over a group of folds, which lie along the mesh's axis `fold`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from mpcl_jax.batch import Batch, DataSpec, Recordings
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.data.protocols import Fold
from mpcl_jax.losses import kl_divergence
from mpcl_jax.model.mpcl import MPCL, MPCLOutput
from mpcl_jax.model.recall import Recall, read_recall
from mpcl_jax.settings import Config
from mpcl_jax.train.devices import compiled
from mpcl_jax.train.slots import slot_report
from mpcl_jax.train.state import (
    Best,
    Guard,
    Training,
    create_training,
    make_optimizer,
    variables,
)
from mpcl_jax.train.step import make_train_step


class Rows(NamedTuple):
    """All windows of a data set on the device, raw features."""

    signals: dict[str, Any]  # m -> [N, T_m, F_m] float32
    present: dict[str, Any]  # m -> [N] bool
    labels: Any  # [N, C] float32


class Longest(NamedTuple):
    """The largest number of rows of any fold of a protocol; they fix the shapes of the compiled functions."""

    train: int
    validation: int
    test: int


class FoldArrays(NamedTuple):
    """One fold, padded to the longest fold of its protocol."""

    train: Any  # [R] int32 rows, padding repeats row 0
    train_count: Any  # scalar int32, how many of them are real
    validation: Any  # [R_v] int32 rows
    validation_count: Any  # scalar int32
    mean: dict[str, Any]  # m -> [T_m, F_m], of the training part
    std: dict[str, Any]  # m -> [T_m, F_m], of the training part


class Program(NamedTuple):
    """The compiled functions of a run, shared by all its folds.

    For a group of several folds everything but `rows` has one more axis in front, the fold.
    """

    create: Any  # (key, label_mean [C]) -> Training
    epoch: Any  # (training, rows, fold, key) -> (training, ({name: scalar}, SlotReport or None))
    predict: Any  # (params, prototypes, rows, fold, chosen [P]) -> (MPCLOutput, Recall) of those rows
    collect: Any  # (what belongs to the folds of a group) -> the same, on every device
    batches: Any  # (fold, key) -> [steps, B] rows of every batch of an epoch
    steps_per_epoch: int
    replicated: NamedSharding
    by_fold: NamedSharding  # of what belongs to a fold
    group: int  # folds that are trained at once


def device_rows(recordings: Recordings, sharding) -> Rows:
    """Moves a data set to every device of the mesh; every process has loaded all of it."""
    rows = Rows(dict(recordings.signals), dict(recordings.present), recordings.labels.astype(np.float32))
    return on_devices(rows, sharding)


def on_devices(tree, sharding):
    """Host arrays, the same on every process, as arrays laid out over the mesh; processes exchange nothing."""

    def put(x):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda part: x[part])

    return jax.tree.map(put, tree) if jax.process_count() > 1 else jax.device_put(tree, sharding)


def longest_of(folds: Sequence[Fold]) -> Longest:
    """The longest lists of rows of `folds`.

    Pass all folds of a protocol, also where only some are run: steps per epoch and the order of batches depend
    on it, and a fold must end in the same numbers whichever others are run beside it.
    """
    return Longest(
        max(len(fold.train) for fold in folds),
        max(len(fold.validation) for fold in folds),
        max(len(fold.test) for fold in folds),
    )


def fold_arrays(fold: Fold, norm: Normalisation, longest: Longest) -> FoldArrays:
    """Host arrays of one fold, padded to common lengths so that all folds share one executable."""

    def padded(rows, length):
        out = np.zeros(length, np.int32)
        out[: len(rows)] = rows
        return out

    return FoldArrays(
        padded(fold.train, longest.train),
        np.int32(len(fold.train)),
        padded(fold.validation, padded_length(longest.validation)),
        np.int32(len(fold.validation)),
        {m: x.astype(np.float32) for m, x in norm.mean.items()},
        {m: x.astype(np.float32) for m, x in norm.std.items()},
    )


def gather(rows: Rows, fold: FoldArrays, chosen, weight) -> Batch:
    """The windows `chosen` [B] as a batch, z-scored with the statistics of the fold's training part."""
    return Batch(
        signals={m: (x[chosen] - fold.mean[m][None]) / fold.std[m][None] for m, x in rows.signals.items()},
        present={m: x[chosen] for m, x in rows.present.items()},
        labels=rows.labels[chosen],
        weight=weight,
    )


def make_program(config: Config, model: MPCL, spec: DataSpec, longest: int, mesh) -> Program:
    """Compiles nothing yet; `longest` is the largest number of training rows of a fold.

    In a group no fold hears of another, so nothing is sent along the mesh's axis `fold`; only reports and
    predictions are collected.
    """
    create, epoch, predict, steps = _functions_of_a_fold(config, model, spec, longest, mesh)
    group, replicated = config.train.folds_at_once, NamedSharding(mesh, PartitionSpec())
    by_fold = replicated
    if group > 1:
        by_fold = NamedSharding(mesh, PartitionSpec("fold"))
        over_folds = partial(jax.vmap, spmd_axis_name="fold")
        create = over_folds(create, in_axes=(0, 0))
        epoch = over_folds(epoch, in_axes=(0, None, 0, 0))
        predict = over_folds(predict, in_axes=(0, 0, None, 0, 0))
    return Program(
        create=compiled(create, once=True, out_shardings=by_fold),
        epoch=compiled(epoch, donate_argnums=0, out_shardings=(by_fold, replicated)),
        predict=compiled(predict, out_shardings=replicated),
        batches=compiled(partial(_draw_batches, count=steps, size=config.train.batch_size)),
        collect=compiled(lambda tree: tree, out_shardings=replicated),
        steps_per_epoch=steps,
        replicated=replicated,
        by_fold=by_fold,
        group=group,
    )


def _functions_of_a_fold(config: Config, model: MPCL, spec: DataSpec, longest: int, mesh):
    """`create`, `epoch` and `predict` of a `Program` for one fold, and the steps of an epoch.

    The batch axis is sharded over the mesh's axis `data`; everything else is replicated. Sums over the batch
    are global by themselves, so the same functions serve one device and many.
    """
    batch_size = config.train.batch_size
    steps = -(-longest // batch_size)
    optimizer = make_optimizer(config.train, steps * config.train.epochs)
    train_step = make_train_step(model, optimizer, config)
    by_sample = NamedSharding(mesh, PartitionSpec("data"))
    batches = partial(_draw_batches, count=steps, size=batch_size)

    def create(key, label_mean):
        return create_training(key, label_mean, model, spec, optimizer, config.train.select, steps)

    def epoch(training: Training, rows: Rows, fold: FoldArrays, key):
        chosen, most = batches(fold, key), _most(training.guard, config.train.spike)

        def one(state, step):
            batch = gather(rows, fold, chosen[step], jnp.ones(batch_size))
            batch = jax.lax.with_sharding_constraint(batch, by_sample)
            return train_step(state, batch, jax.random.fold_in(key, step + 1), most)

        before = training.state.prototypes
        state, reports = jax.lax.scan(one, training.state, jnp.arange(steps))
        report = _mean_of_made(reports)
        training = training._replace(state=state, guard=_watch(training.guard, reports, report))
        if len(fold.validation):
            report["validation_kl"] = validation_kl(state, rows, fold)
            training = _keep_best(training, report["validation_kl"], steps)
        return training, (report, slot_report(before, state.prototypes))

    def validation_kl(state, rows, fold):
        predicted, _ = predict(state.params, state.prototypes, rows, fold, fold.validation)
        per_row = kl_divergence(rows.labels[fold.validation], predicted.log_probs)
        real = jnp.arange(len(fold.validation)) < fold.validation_count
        return jnp.sum(jnp.where(real, per_row, 0.0)) / jnp.maximum(fold.validation_count, 1)

    def predict(params, prototypes, rows, fold, chosen):
        def one(block):
            batch = gather(rows, fold, block, jnp.ones(EVALUATION_BLOCK))
            return _with_recall(model, variables(params, prototypes), batch)

        output = jax.lax.map(one, chosen.reshape(-1, EVALUATION_BLOCK))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), output)

    return create, epoch, predict, steps


def _with_recall(model: MPCL, state: dict, batch: Batch) -> tuple[MPCLOutput, Recall]:
    output, seen = model.apply(state, batch, train=False, mutable=["intermediates"])
    return output, read_recall(seen.get("intermediates", {}), output.log_probs, model)


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


def _draw_batches(fold: FoldArrays, key, *, count: int, size: int):
    """The rows of every batch of an epoch [count, size]: the training rows of the fold in random order.

    Full batches only: the last one wraps around to rows at the head of the order.
    """
    drawn = jax.random.uniform(jax.random.fold_in(key, 0), fold.train.shape)
    padding_last = jnp.where(jnp.arange(len(fold.train)) < fold.train_count, drawn, 2.0)
    order = fold.train[jnp.argsort(padding_last)]
    return order[jnp.arange(count * size) % fold.train_count].reshape(count, size)


def _most(guard: Guard, spike: float):
    """The largest loss that is no spike."""
    return spike * guard.usual_loss if spike else jnp.inf


def _mean_of_made(reports: dict) -> dict:
    """The mean of every term over the steps that were made, NaN if there is none; `skipped`: how many were not."""
    made = reports["skipped"] == 0
    sums = {name: jnp.sum(jnp.where(made, values, 0.0)) for name, values in reports.items()}
    means = {name: total / made.sum() for name, total in sums.items()}
    return means | {"skipped": jnp.sum(reports["skipped"])}


def _watch(guard: Guard, reports: dict, report: dict) -> Guard:
    """The guard after an epoch, `reports` {name: [steps]}, `report` {name: mean}."""
    place = jnp.arange(len(guard.skipped))
    last_made = jax.lax.cummax(jnp.where(reports["skipped"] == 0, place, -1 - guard.skipped[-1]))
    usual = jnp.where(jnp.isnan(report["loss"]), guard.usual_loss, report["loss"])
    return Guard((place - last_made).astype(jnp.int32), usual)


EVALUATION_BLOCK = 64  # rows per block of a prediction; lists of rows are padded to a multiple of it


def padded_length(count: int) -> int:
    """The smallest multiple of the evaluation block that holds `count` rows."""
    return -(-count // EVALUATION_BLOCK) * EVALUATION_BLOCK


def _keep_best(training: Training, kl, steps: int) -> Training:
    if training.best is None:
        return training
    better = jnp.isfinite(kl) & (kl < training.best.validation_kl)
    state = training.state
    candidate = Best(kl, state.step // steps, state.params, state.prototypes)
    return training._replace(
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), candidate, training.best)
    )
