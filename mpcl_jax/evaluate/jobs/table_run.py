"""From the rows of a table to its finished jobs: those in the cache, those that run now, and their results.

On CPUs every core has a worker (`workers.py`). On an accelerator this process trains the folds of a seed at once, and
only the baselines go to workers.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Sequence
from typing import NamedTuple

import jax
import joblib
import numpy as np

from mpcl_jax.config.schema import Config
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.evaluate import comparison
from mpcl_jax.evaluate.jobs.keys import TableData, baseline_key, digest, fold_key, subsets_key
from mpcl_jax.evaluate.jobs.subsets import SUBSETS, fit_for_subsets, train_for_subsets
from mpcl_jax.evaluate.jobs.work import (
    BASELINE,
    FOLD,
    PREDICTIONS,
    Fit,
    fit_baseline,
    train_fold,
    train_together,
    with_folds,
)
from mpcl_jax.evaluate.jobs.workers import Job, run_jobs
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train.evaluate import load_predictions
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.selection import read_choices


class Trained(NamedTuple):
    """A row of a table: a model with these settings, for several seeds."""

    name: str  # "MPCL", or a variant's
    config: Config
    table_data: TableData
    seeds: range
    subsets: bool = False  # predict from every subset of the modalities instead

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
    subsets: bool = False  # predict from every subset of the modalities instead


class Part(NamedTuple):
    """A job of a table and its result."""

    job: Job
    fit: Fit
    result: pathlib.Path  # the file that is there when the job is finished


def complete(
    rows: Sequence[Trained | Fitted], cache_dir: pathlib.Path, workers: int, stop: StopRequest
) -> None:
    """Runs the jobs of `rows` that `cache_dir` does not hold yet. `workers` = 0: one per core.

    Raises TrainingError that names failed jobs when all others are finished, and what `run_jobs` raises.
    """
    parts = {part.result: part for row in rows for part in parts_of(row, cache_dir)}
    missing = [part for part in parts.values() if not part.result.exists()]
    for part in parts.values():
        if (
            part not in missing
        ):  # a job that was killed after its result had been written kept its checkpoints
            shutil.rmtree(part.fit.folder / FOLD / "checkpoints", ignore_errors=True)
    workers = min(workers or joblib.cpu_count(), max(len(missing), 1))
    print(
        f"{len(parts)} jobs, {len(parts) - len(missing)} of them finished before; {workers} worker(s); "
        f"results in {cache_dir}",
        flush=True,
    )
    if jax.default_backend() != "cpu":
        for row in rows:
            if isinstance(row, Trained):
                _train_here(row, cache_dir, stop)
        missing = [part for part in missing if not part.result.exists()]
    failures = run_jobs([part.job for part in missing], cache_dir, workers, stop)
    if failures:
        more = [f"and {len(failures) - 5} more"] if len(failures) > 5 else []
        shown = "; ".join([*failures[:5], *more])
        raise TrainingError(
            f"{len(failures)} job(s) of the table failed, the same command runs them again: {shown}"
        )


def parts_of(row: Trained | Fitted, cache_dir: pathlib.Path) -> list[Part]:
    """Every job of a row, seed by seed, fold by fold."""
    return [
        _part(row, name, seed, number, cache_dir)
        for seed in row.seeds
        for name in row.names
        for number in row.table_data.numbers
    ]


def _part(row: Trained | Fitted, name: str, seed: int, number: int, cache_dir: pathlib.Path) -> Part:
    config = dataclasses.replace(row.config, seed=seed)
    if isinstance(row, Trained):
        work, result = (train_for_subsets, SUBSETS) if row.subsets else (train_fold, PREDICTIONS)
        key = fold_key(config, row.table_data, number)
    else:
        work, result = (fit_for_subsets, SUBSETS) if row.subsets else (fit_baseline, BASELINE)
        key = baseline_key(name, config, row.table_data, number)
    key = subsets_key(key) if row.subsets else key
    label = f"{name}  seed {seed}  {row.table_data.whole.folds[number].name}"
    fit = Fit(name, row.config, seed, number, cache_dir / digest(key), key)
    return Part(Job(label, work, (fit,)), fit, fit.folder / result)


def _train_here(row: Trained, cache_dir: pathlib.Path, stop: StopRequest) -> None:
    """Trains the missing folds of each seed in this process, in one program where that is possible."""
    for seed in row.seeds:
        parts = parts_of(row._replace(seeds=range(seed, seed + 1)), cache_dir)
        missing = [part for part in parts if not part.result.exists()]
        fits = [part.fit for part in missing]
        if row.subsets:
            for part in missing:
                part.job.work(part.fit, stop)
        elif fits:
            config = with_folds(row.config, seed, tuple(fit.number for fit in fits))
            # With "rbg" numbers depend on the folds that are trained at once.
            if config.train.generator == "threefry2x32":
                train = dataclasses.replace(config.train, folds_at_once=len(fits))
                config = dataclasses.replace(config, train=train)
            count = f"{len(fits)} fold(s), {config.train.folds_at_once} at once"
            print(f"{row.name}  seed {seed}  {count}", flush=True)
            name = digest({"jobs": " ".join(fit.folder.name for fit in fits)})
            train_together(config, cache_dir / f"together-{name}", fits, stop)


def predictions_of(row: Trained | Fitted, cache_dir: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """method -> predicted shares [N, C] of all test rows of a finished row, one array a seed.

    With `row.subsets` they are [Q, N, C], from Q subsets of the modalities.
    """
    numbers = row.table_data.numbers

    def of_seed(name: str, seed: int) -> np.ndarray:
        parts = [_part(row, name, seed, number, cache_dir) for number in numbers]
        return np.concatenate([_shares(row, part) for part in parts], axis=-2)

    return {name: [of_seed(name, seed) for seed in row.seeds] for name in row.names}


def _shares(row: Trained | Fitted, part: Part) -> np.ndarray:
    if row.subsets:
        return parse_npz(part.result)["predicted"]
    if isinstance(row, Trained):
        return load_predictions(part.result).predicted
    tested = row.table_data.whole.folds[part.fit.number].test
    shape = (len(tested), len(row.table_data.recordings.emotions))
    return comparison.load_fold(part.result, (part.fit.method,), shape)[part.fit.method]


def choices_of(row: Trained | Fitted, seed: int, cache_dir: pathlib.Path) -> dict[str, dict[str, dict]]:
    """What the finished jobs of a seed selected before they predicted: method -> fold -> choice."""
    chosen: dict[str, dict[str, dict]] = {}
    names = {row.table_data.whole.folds[number].name for number in row.table_data.numbers}
    for part in parts_of(row._replace(seeds=range(seed, seed + 1)), cache_dir):
        for fold, methods in read_choices(part.fit.folder).items():
            for method, choice in methods.items():
                if fold in names:
                    chosen.setdefault(method, {})[fold] = choice
    return chosen
