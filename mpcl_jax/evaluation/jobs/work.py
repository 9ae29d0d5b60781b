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
from typing import Any, NamedTuple

import jax
from absl import logging

from mpcl_jax.config.schema import Config, LogConfig
from mpcl_jax.evaluation import comparison
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.system.storage import make_folder, write_arrays, write_text, writing
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.fold_memory import memory_file, save_memory
from mpcl_jax.train.folds import stack
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.jax_settings import fix_jax_settings
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, arrays_of, member_of, prepare, with_other_folds
from mpcl_jax.train.selection import NAME as SELECTION
from mpcl_jax.train.selection import write_choices

FOLD = pathlib.Path("folds", "00")
OF_A_FOLD = (
    "memory.jsonl",
    "inspection.npz",
    "personal_memory_MPCL.npz",
    "predictions.npz",
)  # of a trained fold, the last one last
# A training is finished when this file is there, and the job of a baseline when that one is.
PREDICTIONS, BASELINE = FOLD / "predictions.npz", "baseline.npz"
USED = 0.8  # share of the memory of an accelerator for folds that are trained at once; the rest is for predictions

# In a worker, the recordings of the table at hand.
cached_table_data = functools.lru_cache(maxsize=1)(load_table_data)


class Fit(NamedTuple):
    """One method on one fold with one seed."""

    method: str
    config: Config  # of the table, with its folds
    seed: int
    number: int  # of the fold in the protocol
    folder: pathlib.Path  # of the results
    result: pathlib.Path  # the file that is there when the work is finished
    key: dict[str, Any]


def train_fold(fit: Fit, stop: StopRequest) -> None:
    """Trains and predicts a fold; its checkpoints are deleted when it is finished.

    Raises what `prepare` and `train_folds` raise.
    """
    begin_job(fit.folder, fit.key, fit.config)
    with only_run_in(fit.folder):
        train_folds(run_of(fit)._replace(stop=stop))
        shutil.rmtree(fit.folder / FOLD / "checkpoints", ignore_errors=True)


def train_together(config: Config, folder: pathlib.Path, fits: list[Fit], stop: StopRequest) -> None:
    """Trains the folds of `fits`, which `config` names, at once; for accelerators. Each goes into its own folder."""
    begin_job(folder, {}, config)
    with only_run_in(folder):
        train_folds(prepare(config, folder)._replace(stop=stop))
        for place, fit in enumerate(fits):
            begin_job(fit.folder, fit.key, fit.config)
            source = folder / "folds" / f"{place:02d}"
            make_folder(fit.folder / FOLD)
            with writing(fit.folder, 0):
                shutil.copyfile(folder / SELECTION, fit.folder / SELECTION)
            copy_fold(source, fit.folder / FOLD)
    shutil.rmtree(folder, ignore_errors=True)


def copy_fold(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies the files of a trained fold. Raises StorageError where the disk does not take them."""
    with writing(target, 0):
        for name in OF_A_FOLD:
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)


def fit_baseline(fit: Fit, _: StopRequest) -> None:
    """Tunes, fits and predicts a baseline on a fold."""
    begin_job(fit.folder, fit.key, fit.config)
    recordings, whole, *_ = cached_table_data(fit.config)
    fold, settings = whole.folds[fit.number], fit.config.benchmark
    predicted, choices, memories = comparison.predict_fold(
        recordings, whole.protocol, fold, (fit.method,), settings, fit.seed
    )
    for method, choice in choices.items():
        write_choices(fit.folder, method, {fold.name: choice})
    for method, memory in memories.items():
        save_memory(memory_file(fit.folder, method), memory)
    write_arrays(fit.result, predicted)


def begin_job(folder: pathlib.Path, key: dict[str, Any], config: Config) -> None:
    """Makes the folder of a job, writes its key there, and prepares this process for work with `config`."""
    logging.set_verbosity(logging.ERROR)  # Orbax logs every file that it writes
    fix_jax_settings()
    if config.log.keep_compiled:
        keep_compiled_programs()
    make_folder(folder)
    write_text(folder / "job.json", json.dumps(key, indent=1) + "\n")


def run_of(fit: Fit) -> Run:
    """The run of one seed and fold, with the compiled program of the jobs before."""
    config = with_folds(fit.config, fit.seed, (fit.number,))
    return with_other_folds(_program_of(fit.config), config, fit.folder)


def folds_that_fit(config: Config) -> int | None:
    """How many folds the first device trains at once, by XLA's plan for one; None if it does not tell its memory."""
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if memory is None:
        return None
    rows, one = _planned_bytes(config)
    return max(1, int((USED * memory - rows) // one))


@functools.lru_cache(maxsize=1)
def _planned_bytes(config: Config) -> tuple[int, int]:
    """Bytes of all rows of a table, and of what a fold takes besides; compiled once for all seeds."""
    run = _program_of(config)
    member = member_of(run, 0)
    arrays = stack(run.program, [arrays_of(run, member)])
    training = jax.eval_shape(run.program.create, member.key, member.label_mean)
    epoch = run.program.epoch.lower(training, run.rows, arrays, member.key).compile()
    plan, rows = epoch.memory_analysis(), sum(x.nbytes for x in jax.tree.leaves(run.rows))
    whole = plan.temp_size_in_bytes + plan.argument_size_in_bytes + plan.output_size_in_bytes
    return rows, whole - rows


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
        log=LogConfig(report=False, keep_compiled=config.log.keep_compiled),
    )
