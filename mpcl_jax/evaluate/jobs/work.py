"""The work of a job: trains one fold, or fits one baseline on it, into a folder of its own.

A worker process keeps recordings and compiled program from job to job as long as the settings stay the same. Folders
are those of runs with a single fold, so a job that was killed goes on from its last checkpoint.
"""

import dataclasses
import functools
import json
import pathlib
import shutil
import tempfile
from typing import Any

import jax
from absl import logging

from mpcl_jax.config.schema import Config, LogConfig
from mpcl_jax.evaluate import comparison
from mpcl_jax.evaluate.jobs.keys import load_table_data
from mpcl_jax.system.storage import make_folder, write_text, writing
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, prepare, with_other_folds
from mpcl_jax.train.selection import NAME as SELECTION
from mpcl_jax.train.selection import write_choices
from mpcl_jax.train.surroundings import pin_settings

FOLD = pathlib.Path("folds", "00")
OF_A_FOLD = (
    "memory.jsonl",
    "inspection.npz",
    "predictions.npz",
)  # files of a trained fold, the last one last
PREDICTIONS = FOLD / OF_A_FOLD[-1]  # a training is finished when this file is there
BASELINE = "baseline.npz"  # and the job of a baseline when this one is

# In a worker, the recordings of the table at hand.
cached_table_data = functools.lru_cache(maxsize=1)(load_table_data)


def train_fold(
    _: str,
    config: Config,
    seed: int,
    number: int,
    folder: pathlib.Path,
    key: dict[str, Any],
    stop: StopRequest,
) -> None:
    """Trains and predicts fold `number` of the protocol; its checkpoints are deleted when it is finished.

    `config` is that of the table, with the folds of the table. Raises what `prepare` and `train_folds` raise.
    """
    begin_job(folder, key)
    with only_run_in(folder):
        train_folds(run_of(config, seed, number, folder)._replace(stop=stop))
        shutil.rmtree(folder / FOLD / "checkpoints", ignore_errors=True)


def train_together(
    config: Config, folder: pathlib.Path, jobs: dict[int, tuple[pathlib.Path, dict]], stop: StopRequest
) -> None:
    """Trains all folds of `config.protocol.only` at once and copies each into the folder of its job.

    For accelerators. `jobs`: number of a fold -> folder and key of its job, in the order of `only`.
    """
    begin_job(folder, {})
    with only_run_in(folder):
        train_folds(prepare(config, folder)._replace(stop=stop))
        for place, (target, key) in enumerate(jobs.values()):
            begin_job(target, key)
            source = folder / "folds" / f"{place:02d}"
            make_folder(target / FOLD)
            with writing(target, 0):
                shutil.copyfile(folder / SELECTION, target / SELECTION)
                for name in OF_A_FOLD:
                    if (source / name).exists():
                        shutil.copyfile(source / name, target / FOLD / name)
    shutil.rmtree(folder, ignore_errors=True)


def fit_baseline(
    name: str,
    config: Config,
    seed: int,
    number: int,
    folder: pathlib.Path,
    key: dict[str, Any],
    _: StopRequest,
) -> None:
    """Tunes, fits and predicts the baseline `name` on fold `number` of the protocol."""
    begin_job(folder, key)
    table_data = cached_table_data(config)
    fold = table_data.whole.folds[number]
    predicted, choices = comparison.predict_fold(
        table_data.recordings, table_data.whole.protocol, fold, (name,), config.benchmark, seed
    )
    for method, choice in choices.items():
        write_choices(folder, method, {fold.name: choice})
    comparison.save_fold(folder / BASELINE, predicted)


def begin_job(folder: pathlib.Path, key: dict[str, Any]) -> None:
    """Makes the folder of a job, writes its key there, and prepares this process for the work."""
    logging.set_verbosity(logging.ERROR)  # Orbax logs every file that it writes
    pin_settings()
    keep_compiled_programs()
    make_folder(folder)
    write_text(folder / "job.json", json.dumps(key, indent=1) + "\n")


def run_of(config: Config, seed: int, number: int, folder: pathlib.Path) -> Run:
    """The run of one seed and fold of a table, with the compiled program of the jobs before."""
    return with_other_folds(_program_of(config), with_folds(config, seed, (number,)), folder)


@functools.lru_cache(maxsize=1)
def _program_of(config: Config) -> Run:
    """Recordings and program for all seeds and folds of a table."""
    jax.clear_caches()  # programs of other settings; a table has many
    with tempfile.TemporaryDirectory() as folder:
        return prepare(with_folds(config, 0, config.protocol.only), pathlib.Path(folder))


def with_folds(config: Config, seed: int, only: tuple[int, ...]) -> Config:
    """The settings of a run of the folds `only`, without those that do not change numbers."""
    return dataclasses.replace(
        config,
        seed=seed,
        protocol=dataclasses.replace(config.protocol, only=only),
        train=dataclasses.replace(config.train, folds_at_once=1),
        log=LogConfig(report=False),
    )
