"""The baselines of a run, fold by fold, on the same rows, features and manifest as MPCL."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.baselines import registry as baselines
from mpcl_jax.baselines.selection import Block, Part, RowInfo, Task
from mpcl_jax.config.data import WRITTEN
from mpcl_jax.config.schema import BenchmarkConfig
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.normalise import apply_normalisation, columns_of, design_matrix, fit_normalisation
from mpcl_jax.data.splits.descriptions import held_apart, kind_of, n_of
from mpcl_jax.data.splits.inner import inner_rows
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.data.splits.protocols import Fold, Split
from mpcl_jax.evaluation.leaderboard import Result, Table, make_table
from mpcl_jax.model.recall_kernel import views_of
from mpcl_jax.train.fold_memory import (
    FoldMemory,
    adapted_shares,
    can_be_learned,
    choice_of,
    learn_memory,
    tested_rows,
    too_few,
)
from mpcl_jax.train.sequences import HeldOut
from mpcl_jax.types import DataError, Recordings, knows_trials, take


class FoldPredictions(NamedTuple):
    """What baselines predict for the P test rows of one fold, by name."""

    predicted: dict[str, np.ndarray]  # [P, C]
    choices: dict[str, dict[str, Any]]  # the selected setting and, where trials are written, the memory
    memories: dict[str, FoldMemory]  # {} where the protocol writes no trials


def predict_fold(
    recordings: Recordings,
    protocol: str,
    fold: Fold,
    names: tuple[str, ...],
    settings: BenchmarkConfig,
    seed: int,
) -> FoldPredictions:
    """What the baselines `names` predict for the test rows of one fold, and the selected settings.

    Where the protocol writes trials, the predictions are those with the memory of each baseline.
    """
    if kind_of(protocol) in WRITTEN:
        return _with_memories(recordings, protocol, fold, names, settings, seed)
    task, predicted, choices = task_of(recordings, protocol, fold), {}, {}
    for name in names:
        predicted[name], setting = baselines.predict(name, task, seed=seed, tries=settings.tries)
        if setting:
            choices[name] = {"setting": setting}
    return FoldPredictions(predicted, choices, {})


def _with_memories(
    recordings: Recordings,
    protocol: str,
    fold: Fold,
    names: tuple[str, ...],
    settings: BenchmarkConfig,
    seed: int,
) -> FoldPredictions:
    found, rows = FoldPredictions({}, {}, {}), tested_rows(recordings, fold)
    outer, inner = fold._replace(test=rows), []
    if can_be_learned(recordings, fold):
        for held in inner_rows(recordings, protocol, fold.train):
            inner.append(fold._replace(train=np.setdiff1d(fold.train, held), test=held))
    folds = [(part, task_of(recordings, protocol, part)) for part in (outer, *inner)]
    signals = [_normalised(recordings, part) for part, _ in folds]  # the same for every method
    for name in names:
        tested, *training = [
            baselines.predict(name, task, seed=seed, tries=settings.tries) for _, task in folds
        ]
        shares = tested.shares
        held_out = (
            _held_out(recordings, inner, signals[1:], [own.shares for own in training]) if inner else None
        )
        of_tested = _held_out(recordings, [outer], signals[:1], [shares])
        reason = too_few(recordings, fold)
        memory = learn_memory(held_out, of_tested, rows, shares, reason, settings.other_subjects)
        found.predicted[name] = adapted_shares(memory, fold.test, n_of(protocol))
        found.choices[name] = {"setting": tested.setting} if tested.setting else {}
        found.choices[name] |= choice_of(memory)
        found.memories[name] = memory
    return found


def _normalised(recordings: Recordings, fold: Fold) -> dict[str, np.ndarray]:
    """The signals of the test rows of `fold`, normalised by its training rows."""
    part, norm = take(recordings, fold.test), fit_normalisation(take(recordings, fold.train))
    return apply_normalisation(part.signals, part.present, norm)


def _held_out(
    recordings: Recordings,
    folds: Sequence[Fold],
    signals: Sequence[dict[str, np.ndarray]],
    predicted: Sequence[np.ndarray],
) -> HeldOut:
    """The predictions [P, C] for the test rows of each fold, with their views, in the order of the recordings."""
    log_probs = list(map(np.log, predicted))
    views = list(map(views_of, signals, log_probs))
    rows = np.concatenate([fold.test for fold in folds])
    order = np.argsort(rows, kind="stable")
    joined = {v: np.concatenate([of_fold[v] for of_fold in views])[order] for v in views[0]}
    ids = (x[rows[order]] for x in (recordings.labels, recordings.subject, recordings.trial))
    return HeldOut(joined, np.concatenate(log_probs)[order], *ids)


def task_of(recordings: Recordings, protocol: str, fold: Fold) -> Task:
    """The input of the baselines in one fold.

    Training and validation rows are one training part: a baseline selects its hyper-parameters on inner splits of it,
    which keep the groups of the protocol whole.
    """
    rows = np.sort(np.concatenate([fold.train, fold.validation]))
    x = design_matrix(recordings, fit_normalisation(take(recordings, rows)))
    held_out = held_apart(recordings, protocol)
    group = next(iter(held_out.values())) if held_out else np.array(row_ids(recordings))
    info = row_info(recordings)
    train_info, test_info = (RowInfo(*(values[part] for values in info)) for part in (rows, fold.test))
    blocks = [Block(m, recordings.groups[m], *columns) for m, columns in columns_of(recordings).items()]
    train = Part(x[rows], recordings.labels[rows].astype(np.float64), group[rows])
    return Task(train, x[fold.test], train_info, test_info, tuple(blocks))


def row_info(recordings: Recordings) -> RowInfo:
    """Subject, stimulus and number of windows of the trial, of all rows.

    Where `trial` and `stimulus` are label groups instead of clips, they derive from the labels: stimulus and number
    of windows are left unknown.
    """
    if not knows_trials(recordings):
        unknown = np.full(len(recordings.trial), "")
        return RowInfo(recordings.subject, unknown, np.full(len(recordings.trial), np.nan))
    _, index, counts = np.unique(recordings.trial, return_inverse=True, return_counts=True)
    return RowInfo(recordings.subject, recordings.stimulus, counts[index].astype(np.float64))


def load_fold(file: pathlib.Path, names: tuple[str, ...], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Predictions [P, C] of `shape` that an earlier start saved: those of `names` that the file holds, if any.

    Raises DataError naming the file where it is damaged or holds anything else.
    """
    remedy = "delete it and start the run again; the baselines of the fold are fitted again"
    if not file.exists():
        return {}
    try:
        saved = parse_npz(file)
    except DataError as error:
        raise DataError(file, f"cannot be read; {remedy} ({error.reason})") from error
    names = tuple(name for name in names if name in saved)
    for name in names:
        x = saved[name]
        good = x.shape == shape and x.dtype.kind == "f" and np.isfinite(x).all() and (x >= 0).all()
        if not good or np.abs(x.sum(1) - 1).max() > 1e-3:
            what = f"{shape[0]} distributions of {shape[1]} emotions"
            raise DataError(file, f"{name!r} does not hold {what}; {remedy}")
    return {name: saved[name] for name in names}


def make_run_table(recordings: Recordings, split: Split, predicted: dict[str, list], tries: int) -> Table:
    """One table over the test rows of all folds, in their order.

    `predicted`: method -> [N, C], one array a seed · `tries`: the budget of the baselines, for the column "tried".
    """
    known = baselines.names()
    results = [
        Result(name, seeds, baselines.tried(name, tries) if name in known else None)
        for name, seeds in predicted.items()
    ]
    rows = np.concatenate([fold.test for fold in split.folds])
    return make_table(
        results,
        recordings.labels[rows],
        recordings.subject[rows],
        recordings.trial[rows],
        split.sha256,
        leaky=split.leaky,
        unit_name=recordings.trial_name,
        equal_trials=kind_of(split.protocol) in WRITTEN,
    )
