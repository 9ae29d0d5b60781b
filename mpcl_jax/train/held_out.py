"""Predictions for training subjects by models that did not see them: those of the inner folds of a training."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mpcl_jax.data.normalise import apply_normalisation
from mpcl_jax.data.splits.inner import inner_rows
from mpcl_jax.data.splits.protocols import Fold
from mpcl_jax.metrics import from_log_probs
from mpcl_jax.model.outputs import MPCLOutput
from mpcl_jax.model.recall_kernel import views_of
from mpcl_jax.train.devices import make_mesh
from mpcl_jax.train.evaluate import Trained, predict
from mpcl_jax.train.fold_memory import FoldMemory, can_be_learned, learn_memory, tested_rows, too_few
from mpcl_jax.train.folds import device_rows, on_devices, stack
from mpcl_jax.train.run import (
    Member,
    Run,
    arrays_of,
    as_member,
    begin_training,
    folded_key,
    program_of,
)
from mpcl_jax.train.sequences import HeldOut
from mpcl_jax.train.state import Training
from mpcl_jax.types import spec_of

STORED = 20  # most epochs of an inner training whose models are kept until the epoch is chosen


class InnerModel(NamedTuple):
    """The model of one inner fold after some epochs, on the host."""

    member: Member
    rows: np.ndarray  # [P] int, the rows that its training held out
    epoch: int
    params: Any
    prototypes: Any


def inner_model(member: Member, rows: np.ndarray, epoch: int, training: Training) -> InnerModel:
    """The present model of `training`; the epoch of the lowest validation KL plays no part."""
    return InnerModel(
        member, rows, epoch, *jax.device_get((training.state.params, training.state.prototypes))
    )


def stored_epochs(epochs: int) -> set[int]:
    """Up to `STORED` epochs from 1 to `epochs`; early ones lie closer together, since models change most there."""
    return set(np.geomspace(1, epochs, STORED).round().astype(int).tolist())


def can_be_held_out(run: Run, fold: Fold) -> bool:
    """Whether inner folds hold out whole subjects, enough of which have several trials."""
    of_subjects = run.split.protocol == "subject_kfold" and run.program.group == 1
    return of_subjects and can_be_learned(run.recordings, fold)


def nearest(kept: Sequence[Sequence[InnerModel]], epoch: int) -> list[InnerModel]:
    """Of each inner fold the model whose epoch is nearest to `epoch`."""
    return [min(models, key=lambda model: abs(model.epoch - epoch)) for models in kept if models]


def train_inner(run: Run, member: Member, epochs: int) -> list[InnerModel]:
    """A model of each inner fold, trained for `epochs` by the program of the run. Raises Stopped on a request."""
    models = []
    with run.stop.deferred():
        for rows in inner_rows(run.recordings, run.split.protocol, member.fold.train):
            models.append(_train_one(run, member, rows, epochs))
    return models


def _train_one(run: Run, member: Member, rows: np.ndarray, epochs: int) -> InnerModel:
    fold = member.fold._replace(train=np.setdiff1d(member.fold.train, rows))
    inner = as_member(run, member.number, fold)
    arrays = on_devices(arrays_of(run, inner), run.program.by_fold)
    training = begin_training(run, member.key, stack(run.program, [inner.label_mean]), arrays)
    for epoch in range(1, epochs + 1):
        if run.stop.requested:
            break
        key = folded_key(member.key, np.uint32(epoch))
        training, _ = run.program.epoch(training, run.rows, arrays, key)
    return inner_model(inner, rows, epochs, training)


def predict_held_out(run: Run, models: Sequence[InnerModel]) -> HeldOut | None:
    """The predictions of each of the `models` for the rows that it held out, in the order of the recordings."""
    parts, recordings = [], run.recordings
    for model in models:
        arrays = stack(run.program, [arrays_of(run, model.member)])
        parameters = on_devices((model.params, model.prototypes), run.program.by_fold)
        trained = Trained(run.program, *parameters, run.rows, arrays, len(model.rows))
        ((output, _),) = predict(trained, [model.rows])
        parts.append((_views(run, model.member, model.rows, output), output.log_probs))
    if not parts:
        return None
    rows = np.concatenate([model.rows for model in models])
    order = np.argsort(rows, kind="stable")
    views, log_probs = jax.tree.map(lambda *x: np.concatenate(x)[order], *parts)
    kept = rows[order]
    ids = recordings.subject[kept], recordings.trial[kept]
    return HeldOut(views, log_probs, recordings.labels[kept], *ids)


def alone(run: Run) -> Run:
    """The same run with a program that trains one fold at a time."""
    if run.program.group == 1:
        return run
    train = dataclasses.replace(run.config.train, folds_at_once=1)
    config = dataclasses.replace(run.config, train=train)
    program = program_of(config, spec_of(run.recordings), run.longest.train, make_mesh(config))
    return run._replace(config=config, program=program, rows=device_rows(run.recordings, program.replicated))


def fold_memory(
    run: Run, member: Member, epoch: int, kept: Sequence[Sequence[InnerModel]], output: MPCLOutput
) -> FoldMemory:
    """The memory of MPCL in a fold of `sequential` or `few_shot`; `run` trains one fold at a time.

    `epoch`: the chosen one · `kept`: models of its inner folds, [] without any · `output` for `tested_rows`.
    """
    training, recordings = None, run.recordings
    if can_be_learned(recordings, member.fold):
        models = nearest(kept, epoch) if kept and epoch > 0 else train_inner(run, member, epoch)
        training = predict_held_out(run, models)
    rows = tested_rows(recordings, member.fold)
    ids = (x[rows] for x in (recordings.labels, recordings.subject, recordings.trial))
    tested = HeldOut(_views(run, member, rows, output), output.log_probs, *ids)
    reason = too_few(recordings, member.fold)
    return learn_memory(training, tested, rows, from_log_probs(output.log_probs), reason, others=True)


def _views(run: Run, member: Member, rows: np.ndarray, output: MPCLOutput) -> dict[str, np.ndarray]:
    """The views of `rows`, for which a model of `member` has the `output`."""
    held = ({m: x[rows] for m, x in t.items()} for t in (run.recordings.signals, run.recordings.present))
    return views_of(apply_normalisation(*held, member.norm), output.log_probs, output.query)
