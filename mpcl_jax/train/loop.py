"""A whole run: recordings → split → every fold trained, predicted and compared → one table.

Started again with the same command it continues: finished folds are read, the running one goes on from its
last checkpoint and ends with the same bits as if nothing had happened.
"""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

from mpcl_jax.batch import Recordings, spec_of, take
from mpcl_jax.data import pipeline
from mpcl_jax.data.normalise import Normalisation, fit_normalisation
from mpcl_jax.data.protocols import Fold, Split, make_split
from mpcl_jax.model.mpcl import build
from mpcl_jax.settings import Config
from mpcl_jax.train import checkpoint, run_folder
from mpcl_jax.train.devices import make_mesh
from mpcl_jax.train.evaluate import Predictions, load_predictions, predict_rows, save_predictions
from mpcl_jax.train.folds import (
    FoldArrays,
    Program,
    Rows,
    device_rows,
    fold_arrays,
    make_program,
    padded_length,
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
    rows: Rows  # on the device
    log: MetricsLog
    board: Any  # a TensorBoard writer, or None


def prepare(config: Config, workdir: pathlib.Path, board=None) -> Run:
    """Loads the recordings, makes the split and claims the folder; compiles nothing.

    Raises ConfigError and DataFileError for everything that can be wrong before training begins.
    """
    mesh = make_mesh(config.train.batch_size)
    recordings = pipeline.load(config.data)
    split = make_split(recordings, config.protocol)
    run_folder.claim(workdir, config, recordings, split)
    spec = spec_of(recordings)
    model = build(config.model, spec, config.train.precision)
    program = make_program(config, model, spec, max(len(f.train) for f in split.folds), mesh)
    rows = device_rows(recordings, program.replicated)
    return Run(
        config, workdir, recordings, split, program, rows, MetricsLog(workdir / "metrics.jsonl"), board
    )


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
    arrays = jax.device_put(_padded(run, fold, norm), run.program.replicated)
    training = train_fold(run, number, fold, arrays, norm)
    predictions = predict_rows(run.program, training, run.rows, arrays, fold.test)
    save_predictions(file, predictions)
    return predictions


def _padded(run: Run, fold: Fold, norm: Normalisation) -> FoldArrays:
    longest = max(len(f.train) for f in run.split.folds)
    longest_validation = max(len(f.validation) for f in run.split.folds)
    return fold_arrays(fold, norm, longest, padded_length(longest_validation))


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
    return int(fold.name.split()[1])  # "fold 3 of 10"


def _announce(fold: Fold, done: int) -> None:
    resumed = f"  resumed after epoch {done}" if done else ""
    print(f"{fold.name}  {fold.sentence}{resumed}", flush=True)


def _write_report(run: Run, number: int, epoch: int, report: dict[str, float]) -> None:
    run.log.write({"fold": number, "epoch": epoch, **report})
    if run.board is not None:
        for name, value in report.items():
            run.board.add_scalar(f"fold_{number:02d}/{name}", value, epoch)


def all_rows(predictions: list[Predictions]) -> np.ndarray:
    """The test rows of all folds, in the order of the manifest."""
    return np.concatenate([p.rows for p in predictions])
