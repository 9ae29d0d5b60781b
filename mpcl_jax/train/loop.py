"""A whole run: recordings → split → every fold trained, predicted and compared → one table.

Started again with the same command it continues: finished folds are read, the running one goes on from its
last checkpoint and ends with the same bits as if nothing had happened.
"""

import dataclasses
import pathlib
import re
import zlib
from typing import Any, NamedTuple

import jax

from mpcl_jax.batch import Recordings, spec_of, take
from mpcl_jax.config import ConfigError
from mpcl_jax.data import pipeline
from mpcl_jax.data.normalise import Normalisation, fit_normalisation
from mpcl_jax.data.protocols import Fold, Split, make_split
from mpcl_jax.model.mpcl import build
from mpcl_jax.settings import Config, ProtocolConfig
from mpcl_jax.train import checkpoint, run_folder
from mpcl_jax.train.devices import make_mesh
from mpcl_jax.train.evaluate import Predictions, load_predictions, predict_rows, save_predictions
from mpcl_jax.train.folds import (
    FoldArrays,
    Longest,
    Program,
    Rows,
    device_rows,
    fold_arrays,
    longest_of,
    make_program,
)
from mpcl_jax.train.progress import MetricsLog, Ticker
from mpcl_jax.train.state import Training


class Run(NamedTuple):
    """What all folds of a run share."""

    config: Config
    workdir: pathlib.Path
    recordings: Recordings
    split: Split
    program: Program
    longest: Longest  # of all folds of the protocol, also of those that are not run
    rows: Rows  # on the device
    log: MetricsLog
    board: Any = None  # a TensorBoard writer


def prepare(config: Config, workdir: pathlib.Path) -> Run:
    """Loads the recordings, makes the split and claims the folder; compiles nothing.

    Raises ConfigError and DataFileError for everything that can be wrong before training begins.
    """
    mesh = make_mesh(config.train.batch_size)
    recordings = pipeline.load(config.data)
    split = make_split(recordings, config.protocol)
    if config.train.select == "best" and not all(len(fold.validation) for fold in split.folds):
        raise ConfigError("config.train.select = 'best': the manifest has a fold without validation rows")
    longest = longest_of(_whole(recordings, split, config.protocol).folds)
    run_folder.claim(workdir, config, recordings, split)
    spec = spec_of(recordings)
    model = build(config.model, spec, config.train.precision)
    program = make_program(config, model, spec, longest.train, mesh)
    rows = device_rows(recordings, program.replicated)
    log = MetricsLog(workdir / "metrics.jsonl")
    return Run(config, workdir, recordings, split, program, longest, rows, log)


def _whole(recordings: Recordings, split: Split, settings: ProtocolConfig) -> Split:
    """The split with all folds of its protocol, also those that `only` leaves out."""
    return make_split(recordings, dataclasses.replace(settings, only=())) if settings.only else split


def train_folds(run: Run) -> list[Predictions]:
    """Trains and predicts every fold of the split, or reads what an earlier start finished."""
    return [_finished_fold(run, number, fold) for number, fold in enumerate(run.split.folds)]


def _finished_fold(run: Run, number: int, fold: Fold) -> Predictions:
    folder = run_folder.fold_folder(run.workdir, number)
    file = folder / "predictions.npz"
    if file.exists():
        print(f"{fold.name}  finished before", flush=True)
        return load_predictions(file)
    norm = fit_normalisation(take(run.recordings, fold.train))
    arrays = jax.device_put(fold_arrays(fold, norm, run.longest), run.program.replicated)
    training = train_fold(run, number, fold, arrays, norm)
    predictions = predict_rows(run.program, training, run.rows, arrays, fold.test, run.longest.test)
    save_predictions(file, predictions)
    return predictions


def train_fold(run: Run, number: int, fold: Fold, arrays: FoldArrays, norm: Normalisation) -> Training:
    """Trains one fold from its last checkpoint, or from the start, to its last epoch."""
    settings, program = run.config.train, run.program
    # The fold's own number in the protocol, so that `protocol.only` does not change its result.
    key = jax.random.fold_in(jax.random.key(run.config.seed, impl="rbg"), _own_number(fold))
    label_mean = run.recordings.labels[fold.train].mean(axis=0)
    with checkpoint.open_checkpoints(run_folder.fold_folder(run.workdir, number) / "checkpoints") as saved:
        like = jax.eval_shape(program.create, key, label_mean)
        resumed = checkpoint.restore(saved, like, program.replicated)
        done, training = resumed if resumed else (0, program.create(key, label_mean))
        run.log.drop_after(number, done)
        _announce(fold, done)
        ticker = Ticker(fold.name, settings.epochs, done, program.steps_per_epoch * settings.batch_size)
        try:
            for epoch in range(done + 1, settings.epochs + 1):
                training, report = program.epoch(training, run.rows, arrays, jax.random.fold_in(key, epoch))
                report = {name: float(value) for name, value in report.items()}
                ticker.update(epoch, report)
                _write_report(run, number, epoch, report)
                if epoch % settings.checkpoint_every == 0 or epoch == settings.epochs:
                    checkpoint.save(saved, epoch, training, norm, dataclasses.asdict(run.config))
        finally:
            ticker.close()
    return training


def _own_number(fold: Fold) -> int:
    """3 of "fold 3 of 10"; a number that stands for any other name that a manifest may give."""
    ours = re.fullmatch(r"fold (\d{1,9}) of \d+", fold.name)
    return int(ours[1]) if ours else zlib.crc32(fold.name.encode())


def _announce(fold: Fold, done: int) -> None:
    resumed = f"  resumed after epoch {done}" if done else ""
    print(f"{fold.name}  {fold.sentence}{resumed}", flush=True)


def _write_report(run: Run, number: int, epoch: int, report: dict[str, float]) -> None:
    run.log.write({"fold": number, "epoch": epoch, **report})
    if run.board is not None:
        for name, value in report.items():
            run.board.add_scalar(f"fold_{number:02d}/{name}", value, epoch)
