"""Folders of finished runs, written by the program's own writers but without training, and leaks planted in them.

A plant is what a faulty program or a hasty person would have left behind: rows on the wrong side, statistics of
other rows, a memory that was not empty, an epoch chosen by the test, predictions of another model, copied windows.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from run_fixture import tiny_config

from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import fit_normalisation
from mpcl_jax.data.splits.manifest import Split, write_manifest
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluate.audit.evidence import canonical
from mpcl_jax.evaluate.comparison import save_fold
from mpcl_jax.evaluate.experiment import predictions_csv
from mpcl_jax.labels import evidence_of
from mpcl_jax.model.prototypes import Prototypes
from mpcl_jax.train import checkpoint, run_folder
from mpcl_jax.train.evaluate import Predictions, save_predictions
from mpcl_jax.train.selection import record_test_access, write_choices
from mpcl_jax.train.state import Best, Guard, Training, TrainState
from mpcl_jax.types import Recordings, take

SLOTS, WIDTH = 2, 4


class Habits(NamedTuple):
    """What a program does with a fold; the defaults are honest. Functions of (split, number of the fold)."""

    statistics_of: Callable = lambda split, k: split.folds[k].train  # rows
    mean_of: Callable = lambda split, k: np.concatenate([split.folds[k].train, split.folds[k].validation])
    carried: Callable = lambda split, k: 0  # trainings that its memory and its steps already have behind them
    model_of: Callable = lambda split, k: k  # the fold whose model predicts
    chosen: Callable = lambda split, k: 2  # the epoch; validation is lowest at the second
    first_loss: Callable = lambda split, k: 0.12
    more_logged: Callable = lambda split, k: {}
    origin_of: Callable = lambda split, k: k
    epochs: Callable = lambda split, k: 3
    settings: Callable = lambda config: config  # that it was really trained with


def write_run(
    folder: pathlib.Path, recordings: Recordings, config: Config, split: Split, habits: Habits
) -> None:
    """The folder of a run, as `main` leaves it but for the table."""
    origin = run_folder.register_run(folder, config, recordings, split)
    log, predictions = [], []
    for k, fold in enumerate(split.folds):
        own = run_folder.fold_folder(folder, k)
        _save_checkpoint(own, recordings, config, split, k, habits, origin)
        predictions.append(_predictions(recordings, fold.test, habits.model_of(split, k)))
        save_predictions(own / "predictions.npz", predictions[-1])
        mean = recordings.labels[habits.mean_of(split, k)].astype(np.float64).mean(0)
        save_fold(own / "baselines.npz", {"train_mean": np.tile(mean / mean.sum(), (len(fold.test), 1))})
        for epoch in range(1, habits.epochs(split, k) + 1):
            line = {"fold": k, "epoch": epoch, "distribution": habits.first_loss(split, k) / epoch}
            if len(fold.validation):
                line["validation_kl"] = [0.5, 0.25, 0.375][epoch - 1]
            log.append(line | habits.more_logged(split, k))
        epoch = habits.chosen(split, k) if len(fold.validation) else habits.epochs(split, k)
        write_choices(folder, "MPCL", {fold.name: {"epoch": epoch}})
    record_test_access(folder)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    (folder / "predictions.csv").write_text(predictions_csv(recordings, predictions))


def _save_checkpoint(own, recordings, config, split, k, habits: Habits, origin) -> None:
    fold, epochs = split.folds[k], habits.epochs(split, k)
    steps = -(-max(len(f.train) for f in split.folds) // config.train.batch_size)
    trained = 1 + habits.carried(split, k)
    clear = evidence_of(recordings.labels[fold.train].astype(np.float64)) ** 2
    best = len(fold.validation) > 0
    of_epochs = (habits.chosen(split, k) if best else epochs) + (trained - 1) * epochs
    drawn = steps * config.train.batch_size // len(fold.train)
    mass = np.tile(of_epochs * drawn * clear.sum(0)[None, :, None] / SLOTS, (2, 1, SLOTS))
    memory = Prototypes(
        bank=_bank(len(recordings.emotions), habits.origin_of(split, k)),
        mass=mass.astype(np.float32),
        usage=np.full(mass.shape[1:], 0.1, np.float32),
        cooccurrence=np.full((mass.shape[1],) * 2, 1 / mass.shape[1] ** 2, np.float32),
    )
    params = {"w": np.full(3, k, np.float32)}
    state = TrainState(np.int32(trained * epochs * steps), params, {}, memory)
    kl = np.float32([0.5, 0.25, 0.375][habits.chosen(split, k) - 1])
    chosen = Best(kl, np.int32(habits.chosen(split, k)), params, memory) if best else None
    training = Training(state, chosen, Guard(np.zeros(steps, np.int32), np.float32(1)))
    norm = fit_normalisation(take(recordings, habits.statistics_of(split, k)))
    names = origin | {"fold": split.folds[habits.origin_of(split, k)].name}
    with checkpoint.open_checkpoints(own / "checkpoints", names) as saved:
        checkpoint.save(saved, epochs, training, norm, dataclasses.asdict(habits.settings(config)))


def _bank(emotions: int, number: int) -> np.ndarray:
    bank = np.random.default_rng(number).normal(size=(2, emotions, SLOTS, WIDTH))
    return (bank / np.linalg.norm(bank, axis=-1, keepdims=True)).astype(np.float32)


def _predictions(recordings: Recordings, rows: np.ndarray, model: int) -> Predictions:
    emotions, rng = len(recordings.emotions), np.random.default_rng(7)
    query = rng.normal(size=(len(rows), 2, WIDTH)).astype(np.float32)
    similarity = np.einsum("pgd,gckd->pgck", query, _bank(emotions, model)) / np.float32(0.1)
    predicted = 0.5 * recordings.labels[rows] + np.float32(0.5 / emotions)
    nothing = np.zeros((len(rows), emotions, emotions), np.float32)
    return Predictions(rows, predicted, nothing, query, similarity)


def honest_config(**changes) -> Config:
    """Two folds of simulated people; the epoch is chosen on validation people."""
    return tiny_config(**{"protocol__folds": 2, "model__memory__slots": SLOTS} | changes)


def split_of(recordings: Recordings, config: Config) -> Split:
    """The split that the program makes."""
    return make_split(recordings, config.protocol)


def signed(split: Split, recordings: Recordings, folder: pathlib.Path) -> Split:
    """A changed split with the sha256 of its content, as a program that checks nothing would sign it."""
    write_manifest(split, recordings, folder / "unsigned.json")
    text = canonical(json.loads((folder / "unsigned.json").read_text()))
    return split._replace(sha256=hashlib.sha256(text.encode()).hexdigest())


def moved(split: Split, rows: np.ndarray, to: str, number: int = 0) -> Split:
    """The split with `rows` of one fold in the part `to` ("train", "validation" or "" = unused) and in no other."""
    fold = split.folds[number]
    parts = {name: np.setdiff1d(fold._asdict()[name], rows) for name in ("train", "validation", "test")}
    if to:
        parts[to] = np.union1d(parts[to], rows)
    folds = list(split.folds)
    folds[number] = fold._replace(**parts)
    return split._replace(folds=tuple(folds))
