"""From the rows of a table to finished pieces: which are there, which are missing, who does them, what they say.

On CPUs every core has a worker (`workers.py`). On an accelerator the folds of a seed are trained at once by this
process, and only the baselines go to workers.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config, LogConfig
from mpcl_jax.evaluate import comparison
from mpcl_jax.evaluate.jobs.keys import TableData, baseline_key, code_hash, digest, fold_key
from mpcl_jax.evaluate.jobs.subsets import (
    SUBSETS,
    fit_on_all_predict_from_some,
    load,
    train_on_all_predict_from_some,
)
from mpcl_jax.evaluate.jobs.work import (
    BASELINE,
    FOLD,
    PREDICTIONS,
    fit_baseline,
    train_fold,
    train_together,
)
from mpcl_jax.evaluate.jobs.workers import Failure, Job, cores, run_jobs
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train.evaluate import Predictions, load_predictions
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.selection import read_choices

SUBSETS_AT = "benchmark.subsets"


class Trained(NamedTuple):
    """A row of a table: a model with these settings, for several seeds."""

    name: str  # "MPCL", or a variant's
    config: Config
    table_data: TableData
    seeds: range
    subsets: bool = False  # predict from every subset of the modalities instead


class Fitted(NamedTuple):
    """Rows of a table: baselines on the folds of `ground`, for several seeds."""

    names: tuple[str, ...]
    config: Config
    table_data: TableData
    seeds: range
    subsets: bool = False  # predict from every subset of the modalities instead


class Part(NamedTuple):
    """A piece of a table and where its result is."""

    job: Job
    result: pathlib.Path  # the file that is there when the piece is finished


def complete(
    rows: Sequence[Trained | Fitted], cache_dir: pathlib.Path, workers: int, stop: StopRequest
) -> None:
    """Does whatever of `rows` is not in `store` yet. `workers` = 0: as many as there are cores.

    Raises TrainingError naming the pieces that failed when all others are finished, and what `run_pieces` raises.
    """
    parts = {part.result: part for row in rows for part in parts_of(row, cache_dir)}
    missing = {result: part for result, part in parts.items() if not result.exists()}
    workers = workers or cores()
    print(
        f"{len(parts)} pieces, {len(parts) - len(missing)} of them finished before; "
        f"{min(workers, max(len(missing), 1))} worker(s); kept in {cache_dir}",
        flush=True,
    )
    if jax.default_backend() != "cpu":
        for row in rows:
            if isinstance(row, Trained) and not row.subsets:
                _train_at_once(row, cache_dir, stop)
            elif isinstance(row, Trained):
                for part in parts_of(row, cache_dir):
                    if not part.result.exists():
                        part.job.work(*part.job.arguments, stop)
        missing = {result: part for result, part in missing.items() if not result.exists()}
    failures = run_jobs([part.job for part in missing.values()], workers, stop)
    if failures:
        raise TrainingError(_told(failures))


def _told(failures: list[Failure]) -> str:
    shown = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures[:5])
    more = f"; and {len(failures) - 5} more" if len(failures) > 5 else ""
    return f"{len(failures)} piece(s) of the table failed, the same command tries them again: {shown}{more}"


def parts_of(row: Trained | Fitted, cache_dir: pathlib.Path) -> list[Part]:
    """Every piece of a row, seed by seed, fold by fold."""
    if isinstance(row, Trained):
        return [
            _trained_part(row, seed, number, cache_dir)
            for seed in row.seeds
            for number in row.table_data.numbers
        ]
    return [
        _fitted_part(row, name, seed, number, cache_dir)
        for seed in row.seeds
        for name in row.names
        for number in row.table_data.numbers
    ]


def _trained_part(row: Trained, seed: int, number: int, cache_dir: pathlib.Path) -> Part:
    config = _for_job(row.config, seed, (number,))
    key = fold_key(config, row.table_data, number) | _of_subsets(row)
    folder = cache_dir / digest(key)
    name = f"{row.name}  seed {seed}  {row.table_data.whole.folds[number].name}"
    group = digest(key | {"seed": 0, "fold": ""})
    work = train_on_all_predict_from_some if row.subsets else train_fold
    return Part(
        Job(name, group, work, (config, folder, key)), folder / (SUBSETS if row.subsets else PREDICTIONS)
    )


def _fitted_part(row: Fitted, name: str, seed: int, number: int, cache_dir: pathlib.Path) -> Part:
    config = dataclasses.replace(row.config, seed=seed)
    key = baseline_key(name, config, row.table_data, number) | _of_subsets(row)
    folder = cache_dir / digest(key)
    label = f"{name}  seed {seed}  {row.table_data.whole.folds[number].name}"
    group = digest(key | {"seed": 0, "fold": "", "method": "baselines"})
    work, result = (fit_on_all_predict_from_some, SUBSETS) if row.subsets else (fit_baseline, BASELINE)
    return Part(Job(label, group, work, (name, config, number, folder, key)), folder / result)


def _of_subsets(row: Trained | Fitted) -> dict[str, str]:
    """What the key of a piece says besides, where it predicts from subsets."""
    return (
        {"result": "every subset of the modalities", "more_code": code_hash(SUBSETS_AT)}
        if row.subsets
        else {}
    )


def _for_job(config: Config, seed: int, only: tuple[int, ...]) -> Config:
    """The settings of a run of some folds, without what changes none of their numbers."""
    return dataclasses.replace(
        config,
        seed=seed,
        protocol=dataclasses.replace(config.protocol, only=only),
        train=dataclasses.replace(config.train, folds_at_once=1),
        log=LogConfig(report=False),
    )


def _train_at_once(row: Trained, cache_dir: pathlib.Path, stop: StopRequest) -> None:
    """Trains the missing folds of each seed in one program, in this process."""
    for seed in row.seeds:
        jobs, label = {}, f"{row.name}  seed {seed}"
        for number in row.table_data.numbers:
            part = _trained_part(row, seed, number, cache_dir)
            if not part.result.exists():
                jobs[number] = part.job.arguments[1:]
        if not jobs:
            continue
        config = _for_job(row.config, seed, tuple(jobs))
        if config.train.generator == "threefry2x32":  # with "rbg" a fold would get other numbers in company
            train = dataclasses.replace(config.train, folds_at_once=len(jobs))
            config = dataclasses.replace(config, train=train)
        print(f"{label}  {len(jobs)} fold(s), {config.train.folds_at_once} at once", flush=True)
        names = " ".join(folder.name for folder, _ in jobs.values())
        train_together(config, cache_dir / f"together-{digest({'jobs': names})}", jobs, stop)


def predictions_of(row: Trained, seed: int, cache_dir: pathlib.Path) -> list[Predictions]:
    """What a finished row says of every fold."""
    numbers = row.table_data.numbers
    return [load_predictions(_trained_part(row, seed, number, cache_dir).result) for number in numbers]


def shares_of(row: Trained, cache_dir: pathlib.Path) -> list[np.ndarray]:
    """Predicted shares [N, C] of a finished row for all test rows of the table, one array a seed."""
    return [np.concatenate([p.predicted for p in predictions_of(row, seed, cache_dir)]) for seed in row.seeds]


def baselines_of(row: Fitted, seed: int, cache_dir: pathlib.Path) -> list[dict[str, np.ndarray]]:
    """What finished baselines say of every fold: name -> [P, C]."""
    found = []
    for number in row.table_data.numbers:
        shape = (len(row.table_data.whole.folds[number].test), len(row.table_data.recordings.emotions))
        of_fold = {}
        for name in row.names:
            file = _fitted_part(row, name, seed, number, cache_dir).result
            loaded = comparison.load_fold(file, (name,), shape)
            if not loaded:
                raise ConfigError(f"{file}: {name} is not finished; start the table's command again")
            of_fold |= loaded
        found.append(of_fold)
    return found


def choices_of(row: Trained | Fitted, seed: int, cache_dir: pathlib.Path) -> dict[str, dict[str, dict]]:
    """What the finished pieces of a seed chose before they predicted: method -> fold -> choice."""
    chosen: dict[str, dict[str, dict]] = {}
    for part in parts_of(row._replace(seeds=range(seed, seed + 1)), cache_dir):
        folder = cache_dir / part.result.relative_to(cache_dir).parts[0]
        names = {row.table_data.whole.folds[number].name for number in row.table_data.numbers}
        for fold, methods in read_choices(folder).items():
            for method, choice in methods.items():
                if fold in names:
                    chosen.setdefault(method, {})[fold] = choice
    return chosen


def subsets_said(row: Trained | Fitted, name: str, seed: int, cache_dir: pathlib.Path) -> np.ndarray:
    """What `name` says of all test rows of the table from every subset of the modalities, [Q, N, C]."""
    said = []
    for number in row.table_data.numbers:
        if isinstance(row, Trained):
            part = _trained_part(row, seed, number, cache_dir)
        else:
            part = _fitted_part(row, name, seed, number, cache_dir)
        said.append(load(part.result))
    return np.concatenate(said, axis=1)


def fold_folder_of(row: Trained, seed: int, number: int, cache_dir: pathlib.Path) -> pathlib.Path:
    """Where the files of a finished fold are."""
    return _trained_part(row, seed, number, cache_dir).result.parent.parent.parent / FOLD
