"""An epoch of one fold as pure functions: its batches, its steps, its end. `folds.py` compiles them.

A fold is row indices and statistics, passed as arguments: one compiled epoch serves every fold and every seed.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from mpcl_jax.config.schema import TrainConfig
from mpcl_jax.model.losses import kl_divergence
from mpcl_jax.model.mpcl import MPCL
from mpcl_jax.model.outputs import Prototypes, variables
from mpcl_jax.model.recall import read_recall
from mpcl_jax.train.state import Best, Guard, Training, TrainState
from mpcl_jax.train.targets import averaged
from mpcl_jax.types import Batch

EVALUATION_BLOCK = 64  # rows per block of a prediction; lists of rows are padded to a multiple of it


def padded_length(count: int) -> int:
    """The smallest multiple of the evaluation block that is at least `count`."""
    return -(-count // EVALUATION_BLOCK) * EVALUATION_BLOCK


class Rows(NamedTuple):
    """All windows of a data set, raw features; on the device, or NumPy arrays where they are streamed to it."""

    signals: dict[str, Any]  # m -> [N, T_m, F_m] float32, NaN where a feature is missing
    present: dict[str, Any]  # m -> [N] bool
    labels: Any  # [N, C] float32
    stimulus: Any  # [N] int32, from `targets.stimulus_numbers`


class FoldArrays(NamedTuple):
    """One fold, padded to the longest fold of its protocol."""

    train: Any  # [R] int32 rows, padding repeats row 0
    train_count: Any  # scalar int32, how many of them are real
    validation: Any  # [R_v] int32 rows
    validation_count: Any  # scalar int32
    mean: dict[str, Any]  # m -> [T_m, F_m], of the training part
    std: dict[str, Any]  # m -> [T_m, F_m], of the training part; infinite where a feature is constant
    median: dict[str, Any]  # m -> [T_m, F_m], of the training part; replaces NaN
    mean_reports: Any  # [S + 1, C] of each stimulus, of the training part; empty without `stimulus_averaging`


class SlotReport(NamedTuple):
    """The prototypes over one epoch; for a group of folds with one more axis in front."""

    drift: Any  # [C, K] 1 - cosine to the row of the slot an epoch ago, mean of both banks
    usage: Any  # [C, K] share of the recent evidence of the emotion


class Parts(NamedTuple):
    """The parts of an epoch and of a prediction of one fold; B rows a batch, n batches, P rows to predict."""

    batches: Any  # (fold, key) -> [steps, B] rows of every batch of the epoch
    make_steps: Any  # (state, guard, rows, fold, chosen [n, B], numbers [n], key) -> (state, {name: [n]})
    end: Any  # (training, before, state, reports, kl) -> (training, (report, SlotReport or None))
    predict: Any  # (params, prototypes, rows, fold, chosen [P]) -> (MPCLOutput, Recall) of those rows
    steps: int  # of an epoch


def gather(rows: Rows, fold: FoldArrays, chosen, weight) -> Batch:
    """The windows `chosen` [B] as a batch, normalised as `data.normalise.apply_normalisation` does."""

    def normalised(m, x):
        known = jnp.where(jnp.isnan(x), fold.median[m][None], x)
        return (known - fold.mean[m][None]) / fold.std[m][None]

    signals = {m: normalised(m, x[chosen]) for m, x in rows.signals.items()}
    present = {m: x[chosen] for m, x in rows.present.items()}
    return Batch(signals, present, rows.labels[chosen], weight)


def parts_of_an_epoch(settings: TrainConfig, model: MPCL, train_step, steps: int, mesh) -> Parts:
    """The functions of one fold around `train_step` (`step.make_train_step`); `steps` of an epoch.

    The batch axis is sharded over the mesh's axis `data`; everything else is replicated. Sums over the batch
    are global by themselves, so the same functions serve one device and many.
    """
    size = settings.batch_size
    by_sample = NamedSharding(mesh, PartitionSpec("data"))

    def make_steps(state: TrainState, guard: Guard, rows: Rows, fold: FoldArrays, chosen, numbers, key):
        most = _most(guard, settings.spike_threshold)

        def one(state, step):
            of_batch, number = step
            batch = gather(rows, fold, of_batch, jnp.ones(size))
            if share := settings.stimulus_averaging:
                means = fold.mean_reports[rows.stimulus[of_batch]]
                batch = batch._replace(labels=averaged(batch.labels, means, share))
            # The barrier separates the step from the gathering of its rows, so that it has the same bits in every
            # program.
            batch = jax.lax.optimization_barrier(jax.lax.with_sharding_constraint(batch, by_sample))
            return train_step(state, batch, jax.random.fold_in(key, number + 1), most)

        return jax.lax.scan(one, state, (chosen, numbers))

    def end(training: Training, before, state: TrainState, reports: dict, kl):
        report = _mean_of_made(reports)
        training = training._replace(state=state, guard=_watch(training.guard, reports, report))
        if kl is not None:
            report["validation_kl"] = kl
            training = _keep_best(training, kl, steps)
        return training, (report, slot_report(before, state.prototypes))

    def predict(params, prototypes, rows: Rows, fold: FoldArrays, chosen):
        def one(block):
            batch = gather(rows, fold, block, jnp.ones(EVALUATION_BLOCK))
            read = {"train": False, "mutable": ["intermediates"]}
            output, seen = model.apply(variables(params, prototypes), batch, **read)
            return output, read_recall(seen.get("intermediates", {}), output.log_probs, model)

        output = jax.lax.map(one, chosen.reshape(-1, EVALUATION_BLOCK))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), output)

    return Parts(partial(draw_batches, count=steps, size=size), make_steps, end, predict, steps)


def whole_epoch(parts: Parts):
    """`epoch(training, rows, fold, key) -> (training, ({name: scalar}, SlotReport or None))` in one function."""

    def epoch(training: Training, rows: Rows, fold: FoldArrays, key):
        chosen = parts.batches(fold, key)
        of_epoch = training.state, training.guard, rows, fold, chosen, jnp.arange(parts.steps), key
        state, reports = parts.make_steps(*of_epoch)
        kl = None
        if len(fold.validation):
            output, _ = parts.predict(state.params, state.prototypes, rows, fold, fold.validation)
            kl = validation_kl(rows.labels[fold.validation], output.log_probs, fold.validation_count)
        return parts.end(training, training.state.prototypes, state, reports, kl)

    return epoch


def slot_report(before: Prototypes | None, after: Prototypes | None) -> SlotReport | None:
    """The report of an epoch from the memory before and after it; None without a memory."""
    if before is None or after is None:
        return None
    cosine = jnp.sum(before.bank * after.bank, axis=-1).mean(axis=0)
    total = after.usage.sum(axis=1, keepdims=True)
    return SlotReport(1.0 - cosine, after.usage / jnp.maximum(total, 1e-12))


def validation_kl(labels, log_probs, count):
    """Mean KL of the first `count` rows; the others are padding. `labels` and `log_probs` [P, C]."""
    per_row = kl_divergence(labels, log_probs)
    real = jnp.arange(len(labels)) < count
    return jnp.sum(jnp.where(real, per_row, 0.0)) / jnp.maximum(count, 1)


def draw_batches(fold: FoldArrays, key, *, count: int, size: int):
    """The rows of every batch of an epoch [count, size]: the training rows of the fold in random order.

    All batches are full: the last one continues with the first rows of the order.
    """
    drawn = jax.random.uniform(jax.random.fold_in(key, 0), fold.train.shape)
    padding_last = jnp.where(jnp.arange(len(fold.train)) < fold.train_count, drawn, 2.0)
    order = fold.train[jnp.argsort(padding_last)]
    return order[jnp.arange(count * size) % fold.train_count].reshape(count, size)


def _most(guard: Guard, spike: float):
    """The largest loss that is not a spike."""
    return spike * guard.usual_loss if spike else jnp.inf


def _mean_of_made(reports: dict) -> dict:
    """The mean of every term over the steps that were made, NaN without any; `skipped`: the number of the others."""
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


def _keep_best(training: Training, kl, steps: int) -> Training:
    if training.best is None:
        return training
    better = jnp.isfinite(kl) & (kl < training.best.validation_kl)
    state = training.state
    candidate = Best(kl, state.step // steps, state.params, state.prototypes)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), candidate, training.best)
    return training._replace(best=best)
