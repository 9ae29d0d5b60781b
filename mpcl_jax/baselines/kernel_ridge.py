"""Kernel ridge regression with an RBF kernel on principal components of each modality group.

Each group ("physiological", "behavioural") is reduced on its own, so that a group with many features does not
dominate. The regression predicts the shares, or their log ratios. Components, width, penalty and space are chosen.
"""

from typing import NamedTuple

import numpy as np

from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Block, Part, Predicted, Task, choose, columns_of
from mpcl_jax.metrics import as_distributions

SHARES, LOG_RATIOS = "shares", "log ratios"
BLEND = 0.01  # share of the uniform distribution in a label before its logarithm, for reports with zeros
MOST_ROWS = (
    4000  # the exact solution takes seconds up to this number of rows; beyond it the kernel is approximated
)
LANDMARKS = 1500  # rows of the approximation


class Setting(NamedTuple):
    """Hyper-parameters."""

    components: int  # of each modality group
    width: float  # of the kernel, in root mean square distances between training rows
    penalty: float
    space: str = SHARES


# Strong and weak penalties in turn: the first is for weakly informative signals, the second for strong ones.
CANDIDATES = (
    Setting(16, 2.0, 10.0),
    Setting(16, 0.5, 0.3),
    Setting(32, 2.0, 0.3),
    Setting(16, 4.0, 10.0),
    Setting(16, 2.0, 10.0, LOG_RATIOS),
    Setting(32, 0.5, 0.03),
)


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """The setting with the lowest KL on inner groups, among the first `tries`."""
    sides = sides_of(task.blocks, task.x.shape[1])

    def shares_of(part: Part, x: np.ndarray, setting: Setting) -> np.ndarray:
        return _fit_predict(part, x, sides, setting, seed)

    chosen = choose(task.train, CANDIDATES[:tries], shares_of)
    text = ", ".join(f"{name}={value}" for name, value in chosen._asdict().items())
    return Predicted(shares_of(task.train, task.x, chosen), text)


def sides_of(blocks: tuple[Block, ...], features: int) -> list[list[int]]:
    """The columns of each modality group that exists; all columns as one group where no modalities are given."""
    groups = dict.fromkeys(block.group for block in blocks)
    sides = [[c for block in blocks if block.group == g for c in columns_of(block)] for g in groups]
    return sides or [list(range(features))]


def _fit_predict(part: Part, x: np.ndarray, sides, setting: Setting, seed: int) -> np.ndarray:
    from sklearn.kernel_approximation import Nystroem  # takes a second to import
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import Ridge

    fitted, wanted = components_of(part.x, x, sides, setting.components, seed)
    squared = 2 * fitted.var(0).sum()  # mean squared distance between two training rows
    gamma = 1 / (2 * setting.width**2 * max(squared, 1e-12))
    if len(fitted) > MOST_ROWS:
        kernel = Nystroem(gamma=gamma, n_components=LANDMARKS, random_state=seed).fit(fitted)
        fitted, wanted = kernel.transform(fitted), kernel.transform(wanted)
        model = Ridge(setting.penalty, fit_intercept=False)
    else:
        model = KernelRidge(alpha=setting.penalty, kernel="rbf", gamma=gamma)
    labels = part.labels
    if setting.space == LOG_RATIOS:
        labels = np.log((1 - BLEND) * labels + BLEND / labels.shape[1])
    mean = labels.mean(0)
    predicted = mean + model.fit(fitted, labels - mean).predict(wanted)
    if setting.space == LOG_RATIOS:
        predicted = np.exp(predicted - predicted.max(1, keepdims=True))
    return as_distributions(predicted)


def components_of(train: np.ndarray, x: np.ndarray, sides, count: int, seed: int):
    """At most `count` principal components of each side, of training rows [N, P] and of rows [M, P], side by side.

    Each side is scaled to a mean squared norm of 1 in the training rows.
    """
    from sklearn.decomposition import PCA  # takes a second to import

    of_sides = []
    for columns in sides:
        own = train[:, columns].astype(np.float64)
        with np.errstate(invalid="ignore"):  # the ratio of variances of a side that is constant
            pca = PCA(min(count, *own.shape), random_state=seed).fit(own)
        scale = np.sqrt(max(pca.explained_variance_.sum(), 1e-12))
        of_sides.append((pca.transform(own) / scale, pca.transform(x[:, columns].astype(np.float64)) / scale))
    return (np.concatenate(values, axis=1) for values in zip(*of_sides, strict=True))


register_baseline("kernel_ridge", predict=predict, settings=len(CANDIDATES))
