"""Predictions for every test window once, with what the model says beside them."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.metrics import floored, from_log_probs
from mpcl_jax.model.mpcl import MPCLOutput
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.train.folds import FoldArrays, Program, Rows, padded_length, stack, unstack
from mpcl_jax.train.state import Training, chosen_model
from mpcl_jax.types import DataFileError


class Predictions(NamedTuple):
    """One fold's test windows, in the order of the manifest."""

    rows: np.ndarray  # [P] int, rows of the recordings
    predicted: np.ndarray  # [P, C] float32, rows sum to 1, no share below the floor (metrics.py)
    cooccurrence_map: np.ndarray  # [P, C, C] float32, what each emotion called up
    query: np.ndarray  # [P, G, D] float32, unit rows
    similarity: np.ndarray  # [P, G, C, K] float32, to every prototype


def predict_rows(
    program: Program, training: Training, rows: Rows, folds: FoldArrays, chosen: Sequence, longest: int
) -> list[Predictions]:
    """Predicts, for each fold of a group, its windows `chosen` [P] with the chosen model of its training.

    A list is padded to whole blocks that hold `longest` >= P windows, the same for all folds so that they share
    one executable; the padding is thrown away, so every window counts once.
    """
    params, prototypes = chosen_model(training)
    padded = np.zeros((len(chosen), padded_length(longest)), np.int32)
    for number, of_fold in enumerate(chosen):
        padded[number, : len(of_fold)] = of_fold
    output, _ = program.predict(params, prototypes, rows, folds, stack(program, padded))
    return [
        _without_padding(of_fold, one)
        for of_fold, one in zip(chosen, unstack(program, output, len(chosen)), strict=True)
    ]


def _without_padding(chosen, output: MPCLOutput) -> Predictions:
    def real(x):
        return np.asarray(x)[: len(chosen)]

    return Predictions(
        np.asarray(chosen),
        from_log_probs(real(output.log_probs)),
        real(output.cooccurrence_map),
        real(output.query),
        real(output.similarity),
    )


def save_predictions(path: pathlib.Path, predictions: Predictions) -> None:
    """Writes `.npz`, whole or not at all. Raises StorageError where the disk does not take it."""
    write_arrays(path, predictions._asdict())


def load_predictions(path: pathlib.Path) -> Predictions:
    """Reads what `save_predictions` wrote; what an older version wrote gets the floor now.

    Raises DataFileError naming the file where it is damaged or holds something else.
    """
    remedy = "delete it and start the run again: the fold is predicted from its last checkpoint"
    try:
        saved = parse_npz(path)
    except DataFileError as error:
        raise DataFileError(path, f"can not be read; {remedy} ({error.reason})") from error
    if set(saved) != set(Predictions._fields) or len({len(x) for x in saved.values()}) != 1:
        raise DataFileError(path, f"does not hold the predictions of a fold; {remedy}")
    if saved["predicted"].ndim != 2 or saved["predicted"].dtype.kind != "f":
        raise DataFileError(path, f"holds no distributions under 'predicted'; {remedy}")
    return Predictions(**saved | {"predicted": floored(saved["predicted"])})
