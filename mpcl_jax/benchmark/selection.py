"""What all baselines share: the training part, inner splits that keep groups whole, the choice by KL.

Hyper-parameters are chosen on the training part alone. An inner split never separates rows of one group, so
what is chosen is chosen for the question that the protocol asks (new people, new trials, ...).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from mpcl_jax import metrics

# Far below any reported share (the smallest possible one of 24 items rated 1-5 is 1/116), and above 0, so that
# an item that a person reports and a tree has never seen costs 14 nats times its share instead of infinity.
SMALLEST_SHARE = 1e-6

Candidate = TypeVar("Candidate")


class Part(NamedTuple):
    """The training rows of one fold."""

    x: np.ndarray  # [N, P] float32, z-scored with statistics of these rows
    labels: np.ndarray  # [N, C], >= 0, rows sum to 1
    group: np.ndarray  # [N] str, the ids that the protocol holds out (people, trials, ...)


class InnerFold(NamedTuple):
    """Row indices of one inner split; no group has rows on both sides."""

    fit: np.ndarray
    held: np.ndarray


def rows_of(train: Part, rows: np.ndarray) -> Part:
    """The same part with only `rows` (indices or a boolean mask) of it."""
    return Part(train.x[rows], train.labels[rows], train.group[rows])


def check_part(train: Part, x: np.ndarray) -> None:
    """Raises ValueError, naming the shapes, unless `train` and the test rows `x` [M, P] belong together."""
    n = len(train.x)
    if n == 0 or len(train.labels) != n or len(train.group) != n:
        raise ValueError(
            f"training part: {n} rows of x, {len(train.labels)} of labels, {len(train.group)} of group; "
            "wanted equal numbers above 0"
        )
    if train.x.ndim != 2 or x.ndim != 2 or x.shape[1] != train.x.shape[1]:
        raise ValueError(f"training x {train.x.shape}, test x {x.shape}: wanted [N, P] and [M, P]")


def as_distributions(raw: np.ndarray) -> np.ndarray:
    """Clips `raw` [M, C] from below at 1e-6 and lets rows sum to 1; float64."""
    clipped = np.maximum(np.asarray(raw, np.float64), SMALLEST_SHARE)
    return clipped / clipped.sum(1, keepdims=True)


def inner_folds(group: np.ndarray, most: int = 3) -> list[InnerFold]:
    """Up to `most` inner splits of the groups of `group` [N]; fewer with few groups, [] with a single one."""
    splits = min(most, len(np.unique(group)))
    if splits < 2:
        return []
    from sklearn.model_selection import GroupKFold  # here: see baselines.py

    return [InnerFold(*rows) for rows in GroupKFold(splits).split(group, groups=group)]


def choose(
    train: Part,
    candidates: Sequence[Candidate],
    fit_predict: Callable[[Part, np.ndarray, Candidate], np.ndarray],
) -> Candidate:
    """The candidate with the lowest mean KL over the inner folds of `train`; the first one of equals.

    `fit_predict(part, x, candidate)` returns distributions [len(x), C]. With a single group nothing can be
    held out, and the first candidate is taken: put the safest one there.
    """
    folds = inner_folds(train.group)
    if not folds or len(candidates) == 1:
        return candidates[0]

    def held_out_kl(candidate):
        each = []
        for fold in folds:
            predicted = fit_predict(rows_of(train, fold.fit), train.x[fold.held], candidate)
            each.append(metrics.kl(train.labels[fold.held], predicted))
        return np.concatenate(each).mean()

    return min(candidates, key=held_out_kl)
