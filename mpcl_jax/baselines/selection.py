"""What all baselines share: their input, inner splits that keep groups whole, and the choice of hyper-parameters.

Hyper-parameters are chosen on the training part alone. An inner split never separates rows of one group, so the
choice answers the same question as the protocol (unseen subjects, unseen trials, …).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from mpcl_jax import metrics

Candidate = TypeVar("Candidate")


class Part(NamedTuple):
    """The training rows of one fold."""

    x: np.ndarray  # [N, P] float32, z-scored with statistics of these rows
    labels: np.ndarray  # [N, C], >= 0, rows sum to 1
    group: np.ndarray  # [N] str, the ids that the protocol holds out (subjects, trials, …)


class RowInfo(NamedTuple):
    """Properties of rows other than features and labels, so test rows have them too."""

    subject: np.ndarray  # [N] str
    stimulus: np.ndarray  # [N] str, "" where it is not known
    windows: np.ndarray  # [N] float64, number of windows of the row's trial; NaN where trials are not known


class Block(NamedTuple):
    """The columns of `x` that come from one modality."""

    modality: str
    group: str  # "physiological" or "behavioural"
    columns: tuple[int, ...]  # of its features
    present: int | None  # column that is 1 where the modality is present and else 0; None: present everywhere


class Task(NamedTuple):
    """The input of a baseline: one fold without its test labels."""

    train: Part
    x: np.ndarray  # [M, P] float32, test rows, z-scored with statistics of the training rows
    train_info: RowInfo  # of the N training rows
    test_info: RowInfo  # of the M test rows
    blocks: tuple[Block, ...]  # one per modality, in the order of the recordings


class Predicted(NamedTuple):
    """The output of a baseline."""

    shares: np.ndarray  # [M, C] float64, rows >= 0 that sum to 1
    setting: str = ""  # the selected hyper-parameters; "" where there are none


class InnerFold(NamedTuple):
    """Row indices of one inner split; no group has rows in both parts."""

    fit: np.ndarray
    held: np.ndarray


def rows_of(train: Part, rows: np.ndarray) -> Part:
    """The same part with only `rows` (indices or a boolean mask) of it."""
    return Part(train.x[rows], train.labels[rows], train.group[rows])


def columns_of(block: Block) -> tuple[int, ...]:
    """All columns of a modality: its features, then the one that marks its presence if there is one."""
    return block.columns if block.present is None else (*block.columns, block.present)


def fit_predict(model, part: Part, x: np.ndarray) -> np.ndarray:
    """Distributions [M, C] that `model`, a regressor of scikit-learn's kind, predicts for `x` [M, P] after `part`."""
    model.fit(part.x, part.labels)
    return metrics.as_distributions(model.predict(x))


def inner_folds(group: np.ndarray, most: int = 3) -> list[InnerFold]:
    """Up to `most` inner splits of the groups of `group` [N]; fewer with few groups, [] with a single one."""
    splits = min(most, len(np.unique(group)))
    if splits < 2:
        return []
    from sklearn.model_selection import GroupKFold  # takes a second to import

    return [InnerFold(*rows) for rows in GroupKFold(splits).split(group, groups=group)]


def choose(
    train: Part,
    candidates: Sequence[Candidate],
    fit_predict: Callable[[Part, np.ndarray, Candidate], np.ndarray],
) -> Candidate:
    """The candidate with the lowest mean KL over the inner folds of `train`; the first one of equals.

    `fit_predict(part, x, candidate)` returns distributions [len(x), C]. With a single group no inner split exists,
    and the first candidate is taken: the safest one should be the first.
    """
    return choose_by_rows(
        train,
        candidates,
        lambda fit, held, candidate: fit_predict(rows_of(train, fit), train.x[held], candidate),
    )


def choose_by_rows(
    train: Part,
    candidates: Sequence[Candidate],
    fit_predict: Callable[[np.ndarray, np.ndarray, Candidate], np.ndarray],
) -> Candidate:
    """Like `choose`, for a method that reads more of a row than `Part` holds.

    `fit_predict(fit, held, candidate)` gets the indices of the rows to fit and of the rows to predict, and returns
    distributions [len(held), C].
    """
    folds = inner_folds(train.group)
    if not folds or len(candidates) == 1:
        return candidates[0]

    def held_out_kl(candidate):
        each = [metrics.kl(train.labels[fold.held], fit_predict(*fold, candidate)) for fold in folds]
        return np.concatenate(each).mean()

    return min(candidates, key=held_out_kl)
