"""A classifier of the condition of a row; its class probabilities mix the mean reports of the conditions.

The condition is the stimulus where at least two stimuli are shared between training subjects. Otherwise it is a
cluster of the training labels (k-means). The classifier and its regularisation are chosen.
"""

import functools

import numpy as np

from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Predicted, RowInfo, Task, choose_by_rows
from mpcl_jax.metrics import as_distributions

TREES, LDA, LOGISTIC = "ExtraTrees", "LDA", "logistic"
FOREST = ((TREES, 20), (TREES, 5), (TREES, 1))  # smallest leaf
CANDIDATES = (FOREST[0], (LDA, "auto"), (LOGISTIC, 0.01), FOREST[1], (LOGISTIC, 0.1), FOREST[2])
CLUSTERS = 8  # of the labels, where the condition is not known
TREES_OF_SEARCH = 50


def predict(task: Task, seed: int, tries: int, candidates: tuple = CANDIDATES) -> Predicted:
    """The classifier with the lowest KL on inner groups, among the first `tries` of `candidates`.

    The chosen setting names the classifier and what a condition is.
    """
    train, everything = task.train, np.arange(len(task.train.x))
    condition = shared_stimuli(task.train_info)
    shares_of = functools.partial(_shares_of, task, condition, seed)

    def held_out(fit: np.ndarray, held: np.ndarray, candidate: tuple) -> np.ndarray:
        return shares_of(fit, train.x[held], candidate, trees=TREES_OF_SEARCH)

    chosen = choose_by_rows(train, candidates[:tries], held_out)
    what = "clusters of the labels" if condition is None else "stimulus"
    return Predicted(shares_of(everything, task.x, chosen), f"{chosen[0]} {chosen[1]}, condition: {what}")


def shared_stimuli(info: RowInfo | None) -> np.ndarray | None:
    """The stimulus of each training row [N], "" where fewer than two subjects have it.

    None where fewer than two stimuli are shared: no names, a single stimulus, or one stimulus per row or subject.
    """
    if info is None:
        return None
    pairs = np.unique(np.stack([info.stimulus.astype(str), info.subject.astype(str)]), axis=1)
    names, subjects = np.unique(pairs[0], return_counts=True)
    shared = names[(subjects > 1) & (names != "")]
    return np.where(np.isin(info.stimulus, shared), info.stimulus, "") if len(shared) > 1 else None


def _shares_of(task: Task, condition, seed: int, fit: np.ndarray, x: np.ndarray, candidate, trees: int = 200):
    """Distributions [M, C] for `x` [M, P] after the training rows `fit`."""
    part, labels = task.train.x[fit], task.train.labels[fit]
    of_row = clusters_of(labels, seed) if condition is None else condition[fit]
    known = of_row != ""
    names = np.unique(of_row[known])
    if len(names) < 2:
        return as_distributions(np.repeat(labels.mean(0, keepdims=True), len(x), axis=0))
    reports = np.stack([labels[of_row == name].mean(0) for name in names])
    model = make(seed, *candidate, trees=trees).fit(part[known].astype(np.float64), of_row[known])
    return as_distributions(model.predict_proba(x.astype(np.float64)) @ reports)


def clusters_of(labels: np.ndarray, seed: int) -> np.ndarray:
    """A cluster of each row of `labels` [N, C]: names [N], at most `CLUSTERS` different ones."""
    from sklearn.cluster import KMeans  # takes a second to import

    count = min(CLUSTERS, len(np.unique(labels, axis=0)))
    return KMeans(count, n_init=3, random_state=seed).fit_predict(labels).astype(str)


def make(seed: int, method: str, value: float | str, trees: int = 200):
    """A classifier of scikit-learn; `value` is the smallest leaf, the shrinkage, or C of the logistic regression."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes a second to import
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    if method == LDA:
        return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=value)
    if method == LOGISTIC:
        return LogisticRegression(C=value, max_iter=300)
    return ExtraTreesClassifier(trees, min_samples_leaf=value, random_state=seed, n_jobs=1)


register_baseline("condition", predict=predict, settings=len(CANDIDATES))
