"""Two memories compared: matched slots, their drift, and the correlation of the stored co-occurrence."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from mpcl_jax.report.slots import correlation, off_diagonal
from mpcl_jax.runs.memory import Memory


class Matching(NamedTuple):
    """Slots of a first memory and their counterparts in a second."""

    partner: np.ndarray  # [C, K] int, slot of the second memory, or -1 where that has fewer slots
    drift: np.ndarray  # [C, K] 1 - similarity of the pair, 0 to 2; NaN without a partner
    same_space: bool  # similarity is a cosine, else the correlation of cosines to mean prototypes
    cooccurrence: float  # correlation of the stored pairs of different emotions; NaN with one emotion


def match_slots(a: Memory, b: Memory) -> Matching:
    """Pairs the slots of each emotion so that the sum of similarities is largest (`linear_sum_assignment`).

    Two steps of one fold share a space: similarity is the cosine, mean of both banks. Separate trainings do not;
    similarity is then the correlation of the slots' cosines to the mean prototype of every emotion in their own
    banks, which a rotation does not change. Raises ValueError where emotions or modality groups differ.
    """
    for what, mine, theirs in (
        ("emotions", a.emotions, b.emotions),
        ("modality groups", a.modality_groups, b.modality_groups),
    ):
        if mine != theirs:
            raise ValueError(f"the runs have different {what}: {', '.join(mine)} and {', '.join(theirs)}")
    same = a.checkpoint.absolute().parent == b.checkpoint.absolute().parent and a.bank.shape == b.bank.shape
    if same:
        similarity = np.einsum("gckd,gcjd->gckj", a.bank, b.bank).mean(0)
    else:
        similarity = correlation(_profile(a)[:, :, None], _profile(b)[:, None])
    partner = np.full(similarity.shape[:2], -1)
    drift = np.full(similarity.shape[:2], np.nan)
    for c, of_emotion in enumerate(similarity):
        mine, theirs = linear_sum_assignment(of_emotion, maximize=True)
        partner[c, mine], drift[c, mine] = theirs, 1.0 - of_emotion[mine, theirs]
    pairs = [off_diagonal(x.cooccurrence.astype(np.float64)) for x in (a, b)]
    together = float(correlation(*pairs)) if len(a.emotions) > 1 else float("nan")
    return Matching(partner, drift, same, together)


def _profile(memory: Memory) -> np.ndarray:
    """Cosine of each slot to the mean prototype of every emotion, [C, K, G · C]."""
    mean = memory.bank.mean(2)
    mean = mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    cosine = np.einsum("gckd,ged->ckge", memory.bank, mean)
    return cosine.reshape(*cosine.shape[:2], -1)
