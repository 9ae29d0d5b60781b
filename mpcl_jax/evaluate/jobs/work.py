"""What a worker does for a table: trains one fold, or fits one baseline on it, into a folder of its own.

A worker goes from fold to fold and from seed to seed of the same settings with one compiled program. Folders are
those of runs with a single fold, so a piece that was killed goes on from its last checkpoint.
"""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import jax
from absl import logging

from mpcl_jax.config.schema import Config
from mpcl_jax.evaluate import comparison
from mpcl_jax.evaluate.jobs.keys import TableData, load_table_data
from mpcl_jax.system.storage import make_folder, write_text, writing
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, prepare, with_other_folds
from mpcl_jax.train.selection import NAME as SELECTION
from mpcl_jax.train.selection import write_choices
from mpcl_jax.train.surroundings import pin_settings

FOLD = pathlib.Path("folds", "00")
PREDICTIONS = FOLD / "predictions.npz"  # a trained piece is finished when this file is there
OF_A_FOLD = (
    "memory.jsonl",
    "inspection.npz",
    "predictions.npz",
)  # the files of a trained fold, the last one last
BASELINE = "baseline.npz"  # and the piece of a baseline when this one is

_last_run: list[Run] = []  # of this process: at most one
_last_table_data: list[tuple[Config, TableData]] = []


def train_fold(config: Config, folder: pathlib.Path, key: dict[str, Any], stop: StopRequest) -> None:
    """Trains and predicts the one fold of `config.protocol.only`; its checkpoints go when it is finished.

    Raises what `prepare` and `train_folds` raise.
    """
    begin_job(folder, key)
    with only_run_in(folder):
        train_folds(run_of(config, folder)._replace(stop=stop))
        shutil.rmtree(folder / FOLD / "checkpoints", ignore_errors=True)


def train_together(
    config: Config, folder: pathlib.Path, jobs: dict[int, tuple[pathlib.Path, dict]], stop: StopRequest
) -> None:
    """Trains all folds of `config.protocol.only` at once and deals them out to the folders of their pieces.

    For accelerators. `pieces`: number of a fold -> folder and key of its piece, in the order of `only`.
    """
    begin_job(folder, {})
    with only_run_in(folder):
        train_folds(run_of(config, folder)._replace(stop=stop))
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
    name: str, config: Config, number: int, folder: pathlib.Path, key: dict[str, Any], stop: StopRequest
) -> None:
    """Chooses, fits and predicts the baseline `name` on fold `number` of the split.

    `stop` needs no look: nothing of a baseline is kept before its end.
    """
    begin_job(folder, key)
    table_data = cached_table_data(config)
    fold = table_data.whole.folds[number]
    predicted, choices = comparison.predict_fold(
        table_data.recordings, table_data.whole.protocol, fold, (name,), config.benchmark, config.seed
    )
    for method, choice in choices.items():
        write_choices(folder, method, {fold.name: choice})
    comparison.save_fold(folder / BASELINE, predicted)


def begin_job(folder: pathlib.Path, key: dict[str, Any]) -> None:
    """Makes the folder of a piece, which says what it is for, and settles this process."""
    logging.set_verbosity(logging.ERROR)  # Orbax tells of every file it writes
    pin_settings()
    keep_compiled_programs()
    make_folder(folder)
    write_text(folder / "piece.json", json.dumps(key, indent=1) + "\n")


def run_of(config: Config, folder: pathlib.Path) -> Run:
    """`prepare`, or the program of the run before where only seed and folds are others."""
    if _last_run and _common(_last_run[0].config) == _common(config):
        run = with_other_folds(_last_run[0], config, folder)
    else:
        _last_run.clear()
        jax.clear_caches()  # programs of other settings, of which a table has many
        run = prepare(config, folder)
    _last_run[:] = [run]
    return run


def _common(config: Config) -> Config:
    return dataclasses.replace(config, seed=0, protocol=dataclasses.replace(config.protocol, only=()))


def cached_table_data(config: Config) -> TableData:
    """The ground of a table with these settings, or that of the piece before."""
    settings = _common(config)
    if not _last_table_data or _last_table_data[0][0] != settings:
        _last_table_data[:] = [(settings, load_table_data(config))]
    return _last_table_data[0][1]
