"""The six measures of label distribution learning as this field publishes them, one value per window.

y is the reported distribution (`labels` [N, C]), p the predicted one (`predicted` [N, C]). Sums run over the
C emotions, nothing is divided by C or √C. Computed in float64. The measures clip nothing: an exact zero where
something was reported has an infinite KL. Predictions therefore get their floor before they are measured, once and
the same for every method: baselines by `as_distributions`, MPCL by `from_log_probs`.

Every function raises ValueError, naming the first bad row, for anything but two equally shaped [N, C] arrays
of distributions: NaN, infinities, negative entries and rows that do not sum to 1 are refused.

Source of the definitions: the evaluation code published with DMER, HeLo and EmotionDict, and Geng, "Label
distribution learning", IEEE TKDE 2016.
"""

import numpy as np
import scipy  # its parts are loaded on first use

HIGHER_IS_BETTER = ("cosine", "intersection")

# Predictions may come from float16 or bfloat16 softmaxes, so sums are checked loosely.
SUM_TOLERANCE = 1e-2
# The floor of a predicted share. Far below any reported share (the smallest possible one of 24 items rated 1-5 is
# 1/116), and above 0, so that an emotion that a method excludes and a subject reports costs 14 nats times its share
# instead of infinity.
SMALLEST_SHARE = 1e-6


def as_distributions(raw) -> np.ndarray:
    """`max(raw, 1e-6) / Σ` of each row, float64, sums to 1. `raw` [N, C] any numbers, e.g. of a regression."""
    clipped = np.maximum(np.asarray(raw, np.float64), SMALLEST_SHARE)
    return clipped / clipped.sum(1, keepdims=True)


def floored(predicted) -> np.ndarray:
    """`as_distributions` of the rows in which the floor binds; all other rows keep every bit.

    `predicted` [N, C] distributions. Returns the same type. Applied twice it changes nothing: the floor binds below
    the least share that one application can leave, which the division by the sum makes lower than `SMALLEST_SHARE`.
    NaN stays NaN.
    """
    predicted = np.asarray(predicted)
    least = SMALLEST_SHARE / (1 + SUM_TOLERANCE + predicted.shape[1] * SMALLEST_SHARE)
    binds = (predicted < 0.999 * least).any(1, keepdims=True)  # .999: float32 rounds
    return np.where(binds, as_distributions(predicted), predicted).astype(predicted.dtype)


def from_log_probs(log_probs) -> np.ndarray:
    """The one step from log-probabilities [N, C] of a model to its predictions: `floored(exp)`, the same type."""
    return floored(np.exp(np.asarray(log_probs)))


def chebyshev(labels, predicted) -> np.ndarray:
    """max_c |y_c − p_c|, [N] in [0, 1], lower is better."""
    y, p = _distributions(labels, predicted)
    return np.abs(y - p).max(1)


def clark(labels, predicted) -> np.ndarray:
    """√( Σ_c ((y_c − p_c) / (y_c + p_c))² ), [N] in [0, √C], lower is better; 0/0 counts 0."""
    y, p = _distributions(labels, predicted)
    return np.sqrt((_relative_difference(y, p) ** 2).sum(1))


def canberra(labels, predicted) -> np.ndarray:
    """Σ_c |y_c − p_c| / (y_c + p_c), [N] in [0, C], lower is better; 0/0 counts 0."""
    y, p = _distributions(labels, predicted)
    return np.abs(_relative_difference(y, p)).sum(1)


def kl(labels, predicted) -> np.ndarray:
    """Σ_c y_c ln(y_c / p_c) in nats, [N] in [0, ∞], lower is better.

    y_c = 0 contributes 0. p_c = 0 where y_c > 0 makes the row infinite, as the definition says.
    """
    y, p = _distributions(labels, predicted)
    return scipy.special.rel_entr(y, p).sum(1)


def cosine(labels, predicted) -> np.ndarray:
    """Σ_c y_c p_c / (‖y‖ ‖p‖), [N] in [0, 1], higher is better."""
    y, p = _distributions(labels, predicted)
    return (y * p).sum(1) / (np.linalg.norm(y, axis=1) * np.linalg.norm(p, axis=1))


def intersection(labels, predicted) -> np.ndarray:
    """Σ_c min(y_c, p_c), [N] in [0, 1], higher is better."""
    y, p = _distributions(labels, predicted)
    return np.minimum(y, p).sum(1)


def scores(labels, predicted) -> dict[str, np.ndarray]:
    """All six measures, name -> [N], in the order in which tables print them."""
    measures = (chebyshev, clark, canberra, kl, cosine, intersection)
    return {measure.__name__: measure(labels, predicted) for measure in measures}


def subject_means(values, subject, weight=None) -> dict[str, float]:
    """Mean of `values` [N] over the windows of each subject of `subject` [N], sorted by name.

    `weight` [N] > 0 of each window; None = all equal.

    Subjects are the unit of every interval and test, since windows of one subject are not independent.
    Raises ValueError for different lengths, for none at all and for NaN.
    """
    values, subject = np.asarray(values, np.float64), np.asarray(subject)
    if values.ndim != 1 or values.shape != subject.shape or not len(values):
        raise ValueError(
            f"values {values.shape} and subject {subject.shape}: wanted two equal shapes [N], N > 0"
        )
    if np.isnan(values).any():
        raise ValueError(f"values, row {int(np.flatnonzero(np.isnan(values))[0])}: NaN has no mean")
    if weight is None:
        return {str(name): float(values[subject == name].mean()) for name in np.unique(subject)}
    own = {name: subject == name for name in np.unique(subject)}
    return {str(name): float(np.average(values[rows], weights=weight[rows])) for name, rows in own.items()}


def skill(kl_model: float, kl_train_mean: float) -> float:
    """1 − KL / KL of the train mean, in [−∞, 1]: 0 = as good as a constant, 1 = perfect.

    Raises ValueError where the constant is already perfect (KL 0), infinite or NaN: there it has no meaning.
    """
    if not 0 < kl_train_mean < np.inf or np.isnan(kl_model):
        raise ValueError(
            f"skill of KL {kl_model} against a train mean with KL {kl_train_mean} is not defined"
        )
    return float(1 - kl_model / kl_train_mean)


def _relative_difference(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    total = y + p
    return np.divide(y - p, total, where=total > 0, out=np.zeros_like(total))


def _distributions(labels, predicted) -> tuple[np.ndarray, np.ndarray]:
    y, p = np.asarray(labels, np.float64), np.asarray(predicted, np.float64)
    if y.ndim != 2 or y.shape != p.shape or 0 in y.shape:
        raise ValueError(f"labels {y.shape} and predicted {p.shape}: wanted two equal shapes [N, C]")
    for name, x in (("labels", y), ("predicted", p)):
        for bad, what in (
            (~np.isfinite(x).all(1), "not finite"),
            ((x < 0).any(1), "negative (log-probabilities need exp first)"),
            (np.abs(x.sum(1) - 1) > SUM_TOLERANCE, "does not sum to 1"),
        ):
            if bad.any():
                raise ValueError(f"{name}, row {int(np.flatnonzero(bad)[0])}: {what}")
    return y, p
