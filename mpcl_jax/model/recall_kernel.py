"""Recall of a subject's own residuals: the mean of a Gaussian process over the written trials, in float64.

The covariance of two trials is `level + Σ_v gain_v · exp(−d_v² / 2)`, the same for all emotions; d_v is their
distance in the view v divided by `width_v`. Each residual has unit noise. With gains of 0 the correction is the mean
residual shrunk by `n / (n + 1/level)`. With n = 0 there is none. `other_subjects.py` adds what training subjects
have in common with the subject.
"""

from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded on first use

FEATURES, LOG_PROBS, QUERY, TIME = "features", "log_probs", "query", "time"
MOST_RECALLED = 256  # trials; the time of a recall grows with their cube
FARTHEST_FEATURE = (
    5.0  # standard deviations at which a feature is clipped, so that one value cannot hide all others
)


class OtherSubjects(NamedTuple):
    """The residuals of S training subjects at P trials, as functions of the views: see `other_subjects.py`."""

    subject: np.ndarray  # [P] int, 0 to S - 1 in ascending order
    views: dict[str, np.ndarray]  # view -> [P, F], the views of the kernel
    coefficient: np.ndarray  # [P, C]


class RecallKernel(NamedTuple):
    """What is learned on training subjects (`train/memory_fit.py`)."""

    level: float  # >= 0, variance of what all trials of a subject have in common, in units of the noise
    gain: dict[str, float]  # view -> >= 0, variance of what similar trials have in common
    width: dict[str, float]  # view -> > 0, distance at which trials count as similar
    blend: float  # in (0, 1], see `residual_of`
    others: OtherSubjects | None = None  # None: only the subject's own trials are recalled


def views_of(signals: dict[str, np.ndarray], log_probs, query=None) -> dict[str, np.ndarray]:
    """The views of N windows, view -> [N, F].

    `signals` m -> [N, T_m, F_m] about mean 0 and sd 1, zeros where absent; the mean over tokens is used.
    `log_probs` [N, C] · `query` [N, G, D], or None for a model without one.
    """
    features = [np.asarray(x, np.float64).mean(axis=1) for x in signals.values()]
    clipped = np.clip(np.concatenate(features, axis=1), -FARTHEST_FEATURE, FARTHEST_FEATURE)
    views = {FEATURES: clipped, LOG_PROBS: _centred(np.asarray(log_probs, np.float64))}
    return views if query is None else views | {QUERY: np.asarray(query, np.float64).reshape(len(query), -1)}


def residual_of(log_probs, labels, blend: float) -> np.ndarray:
    """`log((1 − ε) y/p + ε) / (1 − ε)` of reports y [N, C] and predictions p, centred, [N, C]; ε is `blend`.

    For ε -> 0 this is `log y − log p`, for ε = 1 it is `y/p − 1`. ε > 0 bounds it where a subject reports a 0.
    """
    ratio = np.asarray(labels, np.float64) / np.exp(np.asarray(log_probs, np.float64))
    if blend == 1:
        return _centred(ratio - 1)
    return _centred(np.log((1 - blend) * ratio + blend) / (1 - blend))


def distances(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Squared distances of windows `a` from trials `b` in every view, view -> [..., N, n].

    Views are [..., N, F] and [..., n, F]; in the view `TIME` the distance itself takes the place of its square, so
    that the covariance falls exponentially.
    """
    return {view: _squared(a[view], b[view], view == TIME) for view in b}


def covariance(kernel: RecallKernel, squared: dict[str, np.ndarray], exp=np.exp) -> np.ndarray | float:
    """The covariance of the pairs whose `squared` distances are given, [..., N, n]; one number without any view.

    `exp`: that of the library of the arrays.
    """
    return kernel.level + sum(
        gain * exp(-squared[view] / (2 * kernel.width[view] ** 2)) for view, gain in kernel.gain.items()
    )


def recall_weights(kernel: RecallKernel, written: dict, views: dict, n: int) -> np.ndarray:
    """The weight of each of `n` written trials in the correction of each of N windows, `k (K + I)⁻¹`.

    `written` and `views`: view -> [n, F] and [N, F], those of the kernel. Returns [N, n], or [1, n] without any view.
    With more than MOST_RECALLED trials, those with the largest k take part (of equal ones the latest); the weight of
    the others is 0.
    """
    towards = np.atleast_2d(covariance(kernel, distances(views, written)))
    towards = np.broadcast_to(towards, (len(towards), n))
    if n <= MOST_RECALLED:
        among = covariance(kernel, distances(written, written)) + np.eye(n)
        return np.linalg.solve(among, towards.T).T
    weight = np.zeros(towards.shape)
    for row, k in enumerate(towards):
        if row and (k == towards[row - 1]).all():  # the next window of the same trial
            weight[row] = weight[row - 1]
            continue
        near = np.sort(np.argsort(k, kind="stable")[-MOST_RECALLED:])
        of_near = {view: x[near] for view, x in written.items()}
        among = covariance(kernel, distances(of_near, of_near)) + np.eye(MOST_RECALLED)
        weight[row, near] = np.linalg.solve(among, k[near])
    return weight


def corrected(log_probs, correction) -> np.ndarray:
    """`log_softmax(log p + correction)` [..., C]; where the correction is 0, `log_probs` itself."""
    moved = scipy.special.log_softmax(np.asarray(log_probs, np.float64) + correction, axis=-1)
    return np.where(np.any(correction, axis=-1, keepdims=True), moved, log_probs)


def _squared(a: np.ndarray, b: np.ndarray, is_time: bool) -> np.ndarray:
    if is_time:
        return abs(a - b.swapaxes(-1, -2))
    length = (a**2).sum(-1)[..., :, None] + (b**2).sum(-1)[..., None, :]
    return (length - 2 * a @ b.swapaxes(-1, -2)).clip(0.0)


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=-1, keepdims=True)
