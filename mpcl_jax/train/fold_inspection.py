"""What the model of a fold retrieved for its test windows, and the training windows nearest to each prototype.

Written at the end of a fold as `folds/00/inspection.npz`, so that later views need neither the model nor the
recordings.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.types import DataError


class Inspection(NamedTuple):
    """One fold; P test windows in the order of its predictions, Q sets of modalities, R nearest windows."""

    rows: np.ndarray  # [P] int, rows of the recordings
    modality: np.ndarray  # [M] str
    scale: np.ndarray  # [S] float, inverse temperatures at the start of training
    present: np.ndarray  # [P, M] bool
    association: np.ndarray  # [P, S, M, M'] share of scale and of what M recalls of M' in the fusion; 1 per M
    recalled: np.ndarray  # [P, G, C, K] weight of each prototype in what the emotions retrieved
    without_modality: np.ndarray  # [P, M, C] prediction without it, NaN where it is absent or nothing is left
    without_scale: np.ndarray  # [P, S, C] prediction without it; S = 0 with a single scale
    subset: np.ndarray  # [Q, M] bool, the modalities that were left
    subset_kl: np.ndarray  # [P, Q] KL with only those, NaN where none of them is present
    near_id: np.ndarray  # [C, K, R] str, trial@start of the nearest training windows, one of a trial
    near_subject: np.ndarray  # [C, K, R] str
    near_cosine: np.ndarray  # [C, K, R] mean over the modality groups that are present, in [-1, 1]


def no_near_windows(count: int, slots: int) -> dict[str, np.ndarray]:
    """The fields `near_…` for `count` emotions without any nearest window, R = 0."""
    nothing = np.zeros((count, slots, 0))
    return {"near_id": nothing.astype(str), "near_subject": nothing.astype(str), "near_cosine": nothing}


def load_inspection(path: pathlib.Path) -> Inspection | None:
    """The inspection of a fold; None where it has none. Raises DataError where the file is damaged."""
    if not path.exists():
        return None
    saved = parse_npz(path)
    if set(saved) != set(Inspection._fields):
        raise DataError(path, "is no inspection of a fold; delete it, the rest is shown without it")
    return Inspection(**saved)
