"""The baselines of a run, fold by fold, on the same rows, features and manifest as MPCL."""

import pathlib

import numpy as np

from mpcl_jax.baselines import registry as baselines
from mpcl_jax.baselines.budget import tried
from mpcl_jax.baselines.choices import noting
from mpcl_jax.baselines.selection import Block, Known, Part, Task
from mpcl_jax.config.schema import BASELINES, BenchmarkConfig
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.normalise import columns_of, design_matrix, fit_normalisation
from mpcl_jax.data.splits.manifest import held_apart, row_ids
from mpcl_jax.data.splits.protocols import Fold, Split
from mpcl_jax.evaluate.leaderboard import METHOD, REFERENCE, Result, Table, make_table
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.types import DataFileError, Recordings, knows_trials, take


def wanted(settings: BenchmarkConfig) -> tuple[str, ...]:
    """The baselines of a run in their fixed order; the train mean always runs, and "all" names every one."""
    args = BASELINES if "all" in settings.baselines else (*settings.baselines, REFERENCE)
    return tuple(name for name in BASELINES if name in args)


def predict_fold(
    recordings: Recordings,
    protocol: str,
    fold: Fold,
    names: tuple[str, ...],
    settings: BenchmarkConfig,
    seed: int,
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, str]]]:
    """Predictions [P, C] of the baselines `names` for the test rows of one fold, and the setting each has chosen."""
    task, predicted, choices = task_of(recordings, protocol, fold), {}, {}
    for name in names:
        with noting() as heard:
            predicted[name] = baselines.predict(name, task, seed=seed, trials=settings.tries)
        if heard:
            choices[name] = {"setting": "; ".join(heard)}
    return predicted, choices


def task_of(recordings: Recordings, protocol: str, fold: Fold) -> Task:
    """One fold as the baselines see it.

    A baseline has no use for validation rows of its own, so it is fitted on training and validation rows
    together, and chooses its setting by inner splits of them that keep the protocol's groups apart.
    """
    rows = np.sort(np.concatenate([fold.train, fold.validation]))
    x = design_matrix(recordings, fit_normalisation(take(recordings, rows)))
    apart = held_apart(recordings, protocol)
    group = next(iter(apart.values())) if apart else np.array(row_ids(recordings))
    known = known_of(recordings)
    of_train, of_test = (Known(*(ids[side] for ids in known)) for side in (rows, fold.test))
    blocks = [Block(m, recordings.groups[m], *columns) for m, columns in columns_of(recordings).items()]
    train = Part(x[rows], recordings.labels[rows].astype(np.float64), group[rows])
    return Task(train, x[fold.test], of_train, of_test, tuple(blocks))


def known_of(recordings: Recordings) -> Known:
    """What is known of all rows beside their features.

    Where `trial` and `stimulus` are no clips but label groups, they and the sizes of the groups are known only to
    those who know the labels: no stimulus and no number of windows is told.
    """
    if not knows_trials(recordings):
        nothing = np.full(len(recordings.trial), "")
        return Known(recordings.subject, nothing, np.full(len(recordings.trial), np.nan))
    _, index, counts = np.unique(recordings.trial, return_inverse=True, return_counts=True)
    return Known(recordings.subject, recordings.stimulus, counts[index].astype(np.float64))


def load_fold(file: pathlib.Path, names: tuple[str, ...], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Predictions of `shape` [P, C] that an earlier start saved: those of `names` that the file holds, if any.

    Raises DataFileError naming the file where it is damaged or holds something else.
    """
    remedy = "delete it and start the run again: the baselines of the fold are fitted again"
    if not file.exists():
        return {}
    try:
        saved = parse_npz(file)
    except DataFileError as error:
        raise DataFileError(file, f"can not be read; {remedy} ({error.reason})") from error
    names = tuple(name for name in names if name in saved)
    for name in names:
        x = saved[name]
        good = x.shape == shape and x.dtype.kind == "f" and np.isfinite(x).all() and (x >= 0).all()
        if not good or np.abs(x.sum(1) - 1).max() > 1e-3:
            raise DataFileError(
                file, f"{name!r} does not hold {shape[0]} distributions of {shape[1]} emotions; {remedy}"
            )
    return {name: saved[name] for name in names}


def save_fold(file: pathlib.Path, predictions: dict[str, np.ndarray]) -> None:
    """Writes `.npz`, whole or not at all. Raises StorageError where the disk does not take it."""
    write_arrays(file, predictions)


def make_run_table(
    recordings: Recordings,
    split: Split,
    of_baselines: list[list[dict[str, np.ndarray]]],
    of_mpcl: list[list[np.ndarray]],
    trials: int | None = None,
) -> Table:
    """One table over the test rows of all folds; both lists hold, per seed, one entry per fold.

    `of_baselines[seed][fold]` {name: [P, C]} · `of_mpcl[seed][fold]` [P, C] · `trials`: the baselines' budget, which
    the table then shows.
    """
    predicted = {
        name: [np.concatenate([fold[name] for fold in folds]) for folds in of_baselines]
        for name in of_baselines[0][0]
    }
    results = [
        Result(name, seeds, split.sha256, None if trials is None else tried(name, trials))
        for name, seeds in predicted.items()
    ]
    results.append(Result(METHOD, [np.concatenate(folds) for folds in of_mpcl], split.sha256))
    return make_table_of(recordings, split, results)


def make_table_of(recordings: Recordings, split: Split, results: list[Result]) -> Table:
    """One table over the test rows of all folds, in their order."""
    rows = np.concatenate([fold.test for fold in split.folds])
    return make_table(
        results,
        recordings.labels[rows],
        recordings.subject[rows],
        recordings.trial[rows],
        split.sha256,
        leaky=split.leaky,
        unit_name=recordings.trial_name,
    )
