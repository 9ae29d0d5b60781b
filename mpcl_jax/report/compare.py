"""Two memories side by side: which slot became which, how far it moved, whether they remember the same pairs."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from mpcl_jax.report.slots import correlation, off_diagonal
from mpcl_jax.runs.memory import Memory


class Matching(NamedTuple):
    """Slots of a first memory and their counterparts in a second."""

    partner: np.ndarray  # [C, K] int, slot of the second memory, or -1 where that has fewer slots
    likeness: np.ndarray  # [C, K] of the pair, -1 to 1; NaN without a partner
    drift: np.ndarray  # [C, K] 1 - likeness
    same_space: bool  # likeness is a cosine, else the correlation of what the two slots lie near to
    cooccurrence: float  # correlation of the remembered pairs of different emotions; NaN with one emotion


def match_slots(a: Memory, b: Memory) -> Matching:
    """Pairs the slots of each emotion so that the sum of likeness is largest (`linear_sum_assignment`).

    Two steps of one fold share a space: likeness is the cosine, mean of both banks. Trainings of their own do
    not, and a rotation changes nothing there: likeness is then the correlation of two slots' cosines to the mean
    prototype of every emotion in their own banks. Raises ValueError where emotions or modality groups differ.
    """
    if a.emotions != b.emotions:
        raise ValueError(
            f"the runs have different emotions: {', '.join(a.emotions)} and {', '.join(b.emotions)}"
        )
    if a.sides != b.sides:
        raise ValueError(
            f"the runs have different modality groups: {', '.join(a.sides)} and {', '.join(b.sides)}"
        )
    same = a.checkpoint.absolute().parent == b.checkpoint.absolute().parent and a.bank.shape == b.bank.shape
    alike = (
        np.einsum("gckd,gcjd->gckj", a.bank, b.bank).mean(0) if same else _likeness(_profile(a), _profile(b))
    )
    partner = np.full(alike.shape[:2], -1)
    likeness = np.full(alike.shape[:2], np.nan)
    for c in range(len(alike)):
        mine, theirs = linear_sum_assignment(alike[c], maximize=True)
        partner[c, mine], likeness[c, mine] = theirs, alike[c, mine, theirs]
    pairs = [off_diagonal(x.cooccurrence.astype(np.float64)) for x in (a, b)]
    together = float(correlation(*pairs)) if len(a.emotions) > 1 else float("nan")
    return Matching(partner, likeness, 1.0 - likeness, same, together)


def _profile(memory: Memory) -> np.ndarray:
    """Cosine of each slot to the mean prototype of every emotion, [C, K, G · C]."""
    mean = memory.bank.mean(2)
    mean = mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    cosine = np.einsum("gckd,ged->ckge", memory.bank, mean)
    return cosine.reshape(*cosine.shape[:2], -1)


def _likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return correlation(a[:, :, None], b[:, None, :])
