"""Stochastic gradient boosting (Friedman 2001, 2002) of the KL: each tree predicts all emotions at once.

The logits start at the mean label. Each round fits one randomised tree of scikit-learn to the negative gradient of
the KL, `(y - p) / mean(y)`, on half of the rows. The number of rounds is chosen together with the setting on inner
groups. Boosting of each emotion or label component alone takes longer and has a higher KL on unseen subjects.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from mpcl_jax import metrics
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Part, Predicted, Task, inner_folds, rows_of
from mpcl_jax.metrics import as_distributions

ROUNDS = (20, 40, 80, 160, 240)
WITHOUT_SEARCH = 1  # place in ROUNDS
ROWS, FEATURES = 0.5, 0.5  # shares of rows of a tree and of features of a split


class Setting(NamedTuple):
    """Hyper-parameters."""

    learning_rate: float
    depth: int
    leaf_rows: int


# Slow learning for weakly informative signals, then fast learning, then values between.
CANDIDATES = (Setting(0.02, 4, 20), Setting(0.1, 8, 5), Setting(0.02, 6, 50), Setting(0.05, 8, 5))


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """The setting and the number of rounds with the lowest KL on inner groups, among the first `tries` settings."""
    setting, stage = _chosen(task.train, CANDIDATES[:tries], seed)
    shares = stages(task.train, task.x, setting, seed, ROUNDS[: stage + 1])[-1]
    text = ", ".join(f"{name}={value}" for name, value in setting._asdict().items())
    return Predicted(shares, f"{text}, rounds={ROUNDS[stage]}")


def _chosen(train: Part, candidates: tuple[Setting, ...], seed: int) -> tuple[Setting, int]:
    """A setting and a place in ROUNDS; the first setting and few rounds where no inner split exists."""
    folds = inner_folds(train.group)
    if not folds:
        return candidates[0], WITHOUT_SEARCH
    total = np.zeros((len(candidates), len(ROUNDS)))
    for number, setting in enumerate(candidates):
        for fold in folds:
            predicted = stages(rows_of(train, fold.fit), train.x[fold.held], setting, seed, ROUNDS)
            total[number] += [metrics.kl(train.labels[fold.held], shares).sum() for shares in predicted]
    number, stage = np.unravel_index(total.argmin(), total.shape)
    return candidates[number], int(stage)


def stages(
    part: Part, x: np.ndarray, setting: Setting, seed: int, rounds: tuple[int, ...]
) -> list[np.ndarray]:
    """Distributions [M, C] for `x` [M, P] after each number of `rounds`."""
    from sklearn.tree import ExtraTreeRegressor  # takes a second to import

    draw = np.random.default_rng(seed)
    mean = as_distributions(part.labels.mean(0, keepdims=True))
    fitted, wanted = (np.repeat(np.log(mean), len(rows), axis=0) for rows in (part.x, x))
    found = []
    for number in range(1, rounds[-1] + 1):
        gradient = (part.labels - softmax(fitted, axis=1)) / mean
        rows = draw.permutation(len(fitted))[: max(1, int(ROWS * len(fitted)))]
        tree = ExtraTreeRegressor(
            max_depth=setting.depth,
            min_samples_leaf=setting.leaf_rows,
            max_features=FEATURES,
            random_state=int(draw.integers(2**31)),
        ).fit(part.x[rows], gradient[rows])
        fitted += setting.learning_rate * tree.predict(part.x)
        wanted += setting.learning_rate * tree.predict(x)
        if number in rounds:
            found.append(as_distributions(softmax(wanted, axis=1)))
    return found


register_baseline("boosting", predict=predict, settings=len(CANDIDATES))
