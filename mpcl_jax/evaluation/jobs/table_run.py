"""From the rows of a table to its finished jobs: those in the cache, those that run now, and their results.

On CPUs every core has a worker (`workers.py`). On an accelerator this process trains the folds of a seed at once, and
only the baselines go to workers. A worker has one thread, so its numbers equal those of `mpcl train` up to rounding;
`here` trains in this process on CPUs too, which gives the same bits.
"""

import dataclasses
import itertools
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import joblib
import numpy as np

from mpcl_jax.config.schema import Config
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.evaluation import comparison
from mpcl_jax.evaluation.jobs.keys import TableData, baseline_key, digest, fold_key
from mpcl_jax.evaluation.jobs.work import (
    BASELINE,
    FOLD,
    PREDICTIONS,
    Fit,
    fit_baseline,
    folds_that_fit,
    train_fold,
    train_together,
    with_folds,
)
from mpcl_jax.evaluation.jobs.workers import Job, run_jobs
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train.evaluate import load_predictions
from mpcl_jax.train.fold_memory import FoldMemory, load_memory, memory_file
from mpcl_jax.train.interrupt import StopRequest


class Work(NamedTuple):
    """What the jobs of a row do instead of predicting the test rows once, e.g. from every subset of modalities."""

    train: Callable[[Fit, StopRequest], None]
    fit_baseline: Callable[[Fit, StopRequest], None]
    # The file that each of them writes last; it holds "predicted" [Q, N, C], Q predictions of each row.
    result: str
    key: dict[str, str]  # what it adds to the key of a result


class Trained(NamedTuple):
    """A row of a table: a model with these settings, for several seeds."""

    name: str  # "MPCL", or a variant's
    config: Config
    table_data: TableData
    seeds: range
    work: Work | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The methods of the row."""
        return (self.name,)


class Fitted(NamedTuple):
    """Rows of a table: baselines on the folds of `table_data`, for several seeds."""

    names: tuple[str, ...]
    config: Config
    table_data: TableData
    seeds: range
    work: Work | None = None


def complete(
    rows: Sequence[Trained | Fitted],
    cache_dir: pathlib.Path,
    workers: int,
    stop: StopRequest,
    here: bool = False,
) -> None:
    """Runs the jobs of `rows` that `cache_dir` does not hold yet. `workers` = 0: one per core.

    Raises TrainingError that names failed jobs when all others are finished, and what `run_jobs` raises.
    """
    fits = {fit.result: (row, fit) for row in rows for fit in fits_of(row, cache_dir)}
    missing = []
    for result, (_, fit) in fits.items():
        if not result.exists():
            missing.append(result)
            continue
        # A job that was killed right after it wrote its result kept its checkpoints.
        shutil.rmtree(fit.folder / FOLD / "checkpoints", ignore_errors=True)
    workers = min(workers or joblib.cpu_count(), max(len(missing), 1))
    print(
        f"{count_of(len(fits), 'jobs')}, {len(fits) - len(missing)} of them finished before; "
        f"{count_of(workers, 'workers')}; results in {cache_dir}",
        flush=True,
    )
    if here or jax.default_backend() != "cpu":
        for row in rows:
            if isinstance(row, Trained):
                _train_here(row, cache_dir, stop)
        missing = [result for result in missing if not result.exists()]
    if failures := run_jobs([_job(*fits[result]) for result in missing], cache_dir, workers, stop):
        more = [f"and {len(failures) - 5} more"] if len(failures) > 5 else []
        shown = "; ".join([*failures[:5], *more])
        raise TrainingError(
            f"{count_of(len(failures), 'jobs')} of the table failed; the same command runs what failed again: {shown}"
        )


def fits_of(row: Trained | Fitted, cache_dir: pathlib.Path) -> list[Fit]:
    """The work of every job of a row, seed by seed, method by method, fold by fold."""
    fits = []
    for seed in row.seeds:
        config = dataclasses.replace(row.config, seed=seed)
        for name, number in itertools.product(row.names, row.table_data.numbers):
            if isinstance(row, Trained):
                key, result = fold_key(config, row.table_data, number), PREDICTIONS
            else:
                key, result = baseline_key(name, config, row.table_data, number), BASELINE
            if row.work:
                key, result = key | row.work.key, row.work.result
            folder = cache_dir / digest(key)
            fits.append(Fit(name, row.config, seed, number, folder, folder / result, key))
    return fits


def _job(row: Trained | Fitted, of: Fit) -> Job:
    train, fit = row.work[:2] if row.work else (train_fold, fit_baseline)
    fold = row.table_data.whole.folds[of.number].name
    name = f"{of.method}  seed {of.seed}  {fold}"
    return Job(name, train if isinstance(row, Trained) else fit, (of,))


def _train_here(row: Trained, cache_dir: pathlib.Path, stop: StopRequest) -> None:
    """Trains the missing folds of each seed in this process, in one program where that is possible."""
    for seed in row.seeds:
        of_seed = fits_of(row._replace(seeds=range(seed, seed + 1)), cache_dir)
        fits = [fit for fit in of_seed if not fit.result.exists()]
        if row.work:
            for fit in fits:
                row.work.train(fit, stop)
        elif fits:
            config = with_folds(row.config, seed, tuple(fit.number for fit in fits))
            # With "rbg" numbers depend on the folds that are trained at once; on CPUs it is not faster. With "inner"
            # each fold stops at its own epoch. Streamed rows serve one fold.
            train = config.train
            one_program = train.generator == "threefry2x32" and train.select in ("last", "best")
            if one_program and not train.stream_rows and jax.default_backend() != "cpu":
                at_once = min(len(fits), folds_that_fit(row.config) or len(fits))
                train = dataclasses.replace(config.train, folds_at_once=at_once)
                config = dataclasses.replace(config, train=train)
            count = f"{count_of(len(fits), 'folds')}, {config.train.folds_at_once} at once"
            print(f"{row.name}  seed {seed}  {count}", flush=True)
            name = digest({"jobs": " ".join(fit.folder.name for fit in fits)})
            train_together(config, cache_dir / f"together-{name}", fits, stop)


def predictions_of(row: Trained | Fitted, cache_dir: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """method -> predicted shares [N, C] of all test rows of a finished row, one array a seed.

    With `row.work` they are [Q, N, C].
    """
    folds: dict[tuple[str, int], list[np.ndarray]] = {}
    for fit in fits_of(row, cache_dir):
        folds.setdefault((fit.method, fit.seed), []).append(_shares(row, fit))
    return {name: [np.concatenate(folds[name, seed], axis=-2) for seed in row.seeds] for name in row.names}


def memories_of(row: Trained | Fitted, cache_dir: pathlib.Path) -> dict[str, list[list[FoldMemory]]]:
    """method -> for each seed the memory of each fold of a finished row, for protocols that write trials."""
    found: dict[str, dict[int, list[FoldMemory]]] = {}
    for fit in fits_of(row, cache_dir):
        name = METHOD if isinstance(row, Trained) else fit.method
        memory = load_memory(memory_file(fit.result.parent, name))
        found.setdefault(fit.method, {}).setdefault(fit.seed, []).append(memory)
    return {name: [found[name][seed] for seed in row.seeds] for name in row.names}


def _shares(row: Trained | Fitted, fit: Fit) -> np.ndarray:
    if row.work:
        return parse_npz(fit.result)["predicted"]
    if isinstance(row, Trained):
        return load_predictions(fit.result).predicted
    tested = row.table_data.whole.folds[fit.number].test
    shape = (len(tested), len(row.table_data.recordings.emotions))
    return comparison.load_fold(fit.result, (fit.method,), shape)[fit.method]
