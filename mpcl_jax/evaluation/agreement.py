"""Further measures of agreement, for the CSV beside the six of `metrics.py`.

Labels and predictions are [N, C], rows sum to 1, and have been checked (`metrics.scores`). Where a measure is not
defined (no order in a flat prediction, no correlation of a constant) it takes the value of an uninformed prediction.
"""

import numpy as np
import scipy  # loads scipy.stats on first use, which is after the training
from scipy.special import rel_entr

from mpcl_jax.evaluation.statistics import TIES, merge_ties
from mpcl_jax.labels import evidence_of


def means(labels, predicted, weight: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """Weighted means of all measures over windows; `weight` [N] sums to 1.

    The second value is the mean of |y_c − p_c| for every emotion, [C] in [0, 1], lower is better.
    """
    of_window = (jensen_shannon, rank_correlation, top_agreement)
    found = {measure.__name__: weight @ measure(labels, predicted) for measure in of_window}
    error = np.abs(np.asarray(labels, np.float64) - np.asarray(predicted, np.float64))
    return found | {"cooccurrence_error": cooccurrence_error(labels, predicted)}, weight @ error


def jensen_shannon(labels, predicted) -> np.ndarray:
    """½ KL(y ‖ m) + ½ KL(p ‖ m) with m = (y + p) / 2, in nats, [N] in [0, ln 2], lower is better; finite at 0."""
    y, p = np.asarray(labels, np.float64), np.asarray(predicted, np.float64)
    middle = (y + p) / 2
    return (rel_entr(y, middle) + rel_entr(p, middle)).sum(1) / 2


def rank_correlation(labels, predicted) -> np.ndarray:
    """Spearman's correlation over the emotions of a window, [N] in [−1, 1], higher is better; 0 for a flat row.

    Shares that are equal up to TIES of the largest share their mean rank.
    """
    ranks = [scipy.stats.rankdata(_tied(x), axis=1) for x in (labels, predicted)]
    return (_standardised(ranks[0].T) * _standardised(ranks[1].T)).mean(0)


def top_agreement(labels, predicted) -> np.ndarray:
    """Is the emotion with the largest predicted share one of those reported most? [N] in [0, 1], higher is better.

    Of several emotions that are predicted equally, the share that is reported most, as for a random choice.
    """
    y, p = _tied(labels), _tied(predicted)
    predicted_top, reported_top = p == p.max(1, keepdims=True), y == y.max(1, keepdims=True)
    return (predicted_top & reported_top).sum(1) / predicted_top.sum(1)


def _tied(shares) -> np.ndarray:
    """The same distributions [N, C] with shares that differ by rounding made equal."""
    shares = np.asarray(shares, np.float64)
    return merge_ties(shares, TIES * shares.max(1, keepdims=True))


def cooccurrence_error(labels, predicted) -> float:
    """Frobenius distance between the correlations of emotions, in [0, 2 √(C (C − 1))], lower is better.

    Correlations over windows of the evidence: each window's shares above their own floor. Without it, items that a
    subject never reports would correlate at 1. The correlation of a constant column is 0.
    """
    of_labels, of_predicted = (_correlation(evidence_of(_tied(x))) for x in (labels, predicted))
    return float(np.linalg.norm(of_labels - of_predicted))


def _correlation(x: np.ndarray) -> np.ndarray:
    z = _standardised(x)
    return np.where(np.eye(x.shape[1], dtype=bool), 0.0, z.T @ z / len(z))


def _standardised(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1; zeros for a constant column (up to TIES)."""
    centred = x - x.mean(0)
    spread = np.sqrt((centred**2).mean(0))
    constant = spread <= TIES * np.abs(x).max(initial=0)
    return np.divide(centred, spread, where=~constant, out=np.zeros_like(centred))
