"""What all baselines share: what they are given, inner splits that keep groups whole, the choice by KL.

Hyper-parameters are chosen on the training part alone. An inner split never separates rows of one group, so
what is chosen is chosen for the question that the protocol asks (new people, new trials, ...).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from mpcl_jax import metrics
from mpcl_jax.baselines.choices import note

Candidate = TypeVar("Candidate")


class Part(NamedTuple):
    """The training rows of one fold."""

    x: np.ndarray  # [N, P] float32, z-scored with statistics of these rows
    labels: np.ndarray  # [N, C], >= 0, rows sum to 1
    group: np.ndarray  # [N] str, the ids that the protocol holds out (people, trials, ...)


class Known(NamedTuple):
    """What is known of rows beside their features. Never a label, so test rows have it too."""

    subject: np.ndarray  # [N] str
    stimulus: np.ndarray  # [N] str, "" where it is not known
    windows: np.ndarray  # [N] float64, how many windows the row's trial has; NaN where trials are not known


class Block(NamedTuple):
    """The columns of `x` that come from one modality."""

    modality: str
    group: str  # "physiological" or "behavioural"
    columns: tuple[int, ...]  # of its features
    present: int | None  # column that is 1 where the modality is present and else 0; None: present everywhere


class Task(NamedTuple):
    """One fold as the baselines see it: everything but the test labels."""

    train: Part
    x: np.ndarray  # [M, P] float32, test rows, z-scored with statistics of the training rows
    of_train: Known
    of_test: Known
    blocks: tuple[Block, ...]  # one per modality, in the order of the recordings


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


def check_task(task: Task) -> None:
    """Raises ValueError, naming the shapes, unless all parts of `task` belong together."""
    check_part(task.train, task.x)
    for side, known, rows in (("train", task.of_train, task.train.x), ("test", task.of_test, task.x)):
        lengths = {name: len(ids) for name, ids in known._asdict().items()}
        if set(lengths.values()) != {len(rows)}:
            raise ValueError(f"{side} rows: {len(rows)} of x, {lengths}; wanted equal numbers")
    of_blocks = [column for block in task.blocks for column in _all_columns(block)]
    if sorted(of_blocks) != list(range(task.x.shape[1])):
        raise ValueError(
            f"blocks name {len(of_blocks)} columns, x has {task.x.shape[1]}: wanted each column exactly once"
        )


def _all_columns(block: Block) -> tuple[int, ...]:
    return block.columns if block.present is None else (*block.columns, block.present)


def features_of(block: Block, x: np.ndarray) -> np.ndarray:
    """The columns of one modality, [M, P] -> [M, P_m]."""
    return x[:, list(block.columns)]


def presence_of(block: Block, x: np.ndarray) -> np.ndarray:
    """Rows of `x` [M, P] in which the modality is present, [M] bool."""
    return np.ones(len(x), bool) if block.present is None else x[:, block.present] > 0


def inner_folds(group: np.ndarray, most: int = 3) -> list[InnerFold]:
    """Up to `most` inner splits of the groups of `group` [N]; fewer with few groups, [] with a single one."""
    splits = min(most, len(np.unique(group)))
    if splits < 2:
        return []
    from sklearn.model_selection import GroupKFold  # here: see registry.py

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
    best = _lowest(train, candidates, fit_predict)
    note(str(best))
    return best


def _lowest(train: Part, candidates, fit_predict):
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
