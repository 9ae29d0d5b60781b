"""Predictions for every test window once, with the similarities and the co-occurrence map behind them."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.metrics import from_log_probs
from mpcl_jax.model.outputs import MPCLOutput, Recall
from mpcl_jax.train.folds import FoldArrays, Program, Rows, padded_length, stack, unstack
from mpcl_jax.types import DataError


class Predictions(NamedTuple):
    """One fold's test windows, in the order of the manifest."""

    rows: np.ndarray  # [P] int, rows of the recordings
    predicted: np.ndarray  # [P, C] float32, rows sum to 1, no share below the floor (metrics.py)
    cooccurrence_map: np.ndarray  # [P, C, C] float32, what each emotion retrieved
    query: np.ndarray  # [P, G, D] float32, unit rows
    similarity: np.ndarray  # [P, G, C, K] float32, to every prototype


class Trained(NamedTuple):
    """A group of folds with their chosen models and everything that predictions need."""

    program: Program
    params: Any
    prototypes: Any  # None without a memory
    rows: Rows
    arrays: FoldArrays
    longest: int  # rows of the longest test part of the protocol


def with_modalities(trained: Trained, kept: np.ndarray) -> Trained:
    """The same with only the modalities `kept` [M] bool; the others are absent everywhere."""
    present = trained.rows.present.items()
    there = {m: x & np.bool_(keep) for (m, x), keep in zip(present, kept, strict=True)}
    return trained._replace(rows=trained.rows._replace(present=there))


def predict(trained: Trained, chosen: Sequence) -> list[tuple[MPCLOutput, Recall]]:
    """Predicts, for each fold of the group, its windows `chosen` [P]; arrays on the host.

    All calls have the same number of rows, enough for the longest test part, so that they share one executable. The
    padding is thrown away, so every window counts once.
    """
    program, size = trained.program, padded_length(trained.longest)
    padded = np.zeros((len(chosen), -(-max(map(len, chosen)) // size) * size), np.int32)
    for number, of_fold in enumerate(chosen):
        padded[number, : len(of_fold)] = of_fold
    parts = []
    for first in range(0, padded.shape[1], size):
        part = stack(program, padded[:, first : first + size])
        found = program.predict(trained.params, trained.prototypes, trained.rows, trained.arrays, part)
        parts.append(jax.device_get(unstack(program, found, len(chosen))))
    whole = [jax.tree.map(lambda *x: np.concatenate(x), *of_fold) for of_fold in zip(*parts, strict=True)]
    counts = map(len, chosen)
    return [jax.tree.map(lambda x, n=n: x[:n], of_fold) for n, of_fold in zip(counts, whole, strict=True)]


def predictions_of(chosen, output: MPCLOutput) -> Predictions:
    """The predictions of the windows `chosen` [P] from the `output` for them."""
    shares = from_log_probs(output.log_probs)
    return Predictions(np.asarray(chosen), shares, output.cooccurrence_map, output.query, output.similarity)


def load_predictions(path: pathlib.Path) -> Predictions:
    """The predictions of a finished fold. Raises DataError where the file is damaged or holds something else."""
    remedy = "delete it and start the run again: the fold is predicted from its last checkpoint"
    try:
        saved = parse_npz(path)
    except DataError as error:
        raise DataError(path, f"cannot be read; {remedy} ({error.reason})") from error
    whole = set(saved) == set(Predictions._fields) and len({len(x) for x in saved.values()}) == 1
    if not whole or saved["predicted"].ndim != 2 or saved["predicted"].dtype.kind != "f":
        raise DataError(path, f"does not hold the predictions of a fold; {remedy}")
    return Predictions(**saved)
