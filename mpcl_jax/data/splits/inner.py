"""The inner folds of a training part: for the number of epochs and for the personal memory."""

import numpy as np

from mpcl_jax.data.splits.descriptions import held_apart
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.types import Recordings

INNER = 4  # most inner folds


def inner_rows(recordings: Recordings, protocol: str, rows: np.ndarray) -> list[np.ndarray]:
    """The rows that each inner fold of the training part `rows` holds out: up to `INNER` folds of whole groups.

    Groups are what the `protocol` of a split holds apart. They are dealt by size, without a random choice; [] where
    there is one group alone.
    """
    held = held_apart(recordings, protocol)
    group = next(iter(held.values())) if held else np.array(row_ids(recordings))
    names, codes, sizes = np.unique(group[rows], return_inverse=True, return_counts=True)
    if len(names) < 2:
        return []
    place = np.empty(len(names), int)
    place[np.argsort(-sizes, kind="stable")] = np.arange(len(names)) % INNER
    return [rows[place[codes] == k] for k in range(min(INNER, len(names)))]
