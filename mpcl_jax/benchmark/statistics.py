"""Intervals and paired comparisons over people (or over trials, where there are too few people).

Windows of one person are not independent, so nothing here ever sees windows: callers bring one value per
person or trial. Where units hold different shares of the data set, `weight` says so, and every estimate is the
weighted mean. Seeds are not units either: average over them first.
"""

from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.stats when it is asked for, which is after the training

# Bootstrap resamples and sign flips. With 13 units or fewer all 2^n sign patterns are counted instead.
RESAMPLES = 9_999
# The smallest number of units with which an exact two-sided test can reach p < .05: 2 / 2^6 = .03.
FEWEST = 6
# Numbers drawn at once, so that thousands of units do not fill the memory.
DRAWN_AT_ONCE = 2_000_000

BETTER, WORSE, NOT_SHOWN = "better", "worse", "not shown to be better"


class Comparison(NamedTuple):
    """Two methods on the same units, for a measure of which less is better."""

    difference: float  # weighted mean of a − b; negative = a is better
    low: float  # interval of the difference
    high: float
    p_value: float  # two-sided, of exchanging a and b within units
    n: int  # units
    superior: int  # units in which a is better than b
    detectable: float  # difference that would be shown with probability .8, given this spread and n
    verdict: str  # BETTER, WORSE or NOT_SHOWN


def subject_interval(values, *, weight=None, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """BCa bootstrap interval of the weighted mean of `values` [n], one value per unit.

    `weight` [n] > 0, None = all equal. Returns (low, high); (NaN, NaN) with fewer than 3 units, of which
    resampling says nothing; both the common value where all values are equal. Raises ValueError for values or
    weights that are not finite.
    """
    values, weight = _checked(values, weight)
    if len(values) < 3:
        return float("nan"), float("nan")
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return float(values[0]), float(values[0])
    # BCa has no answer where every resample lies on one side of the estimate; percentiles always have one.
    for method in ("BCa", "percentile"):
        found = scipy.stats.bootstrap(
            (weight * values, weight),
            _ratio,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=_batch(len(values)),
            confidence_level=level,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        if np.isfinite(found).all():
            break
    return float(found.low), float(found.high)


def paired_comparison(a, b, *, weight=None, level: float = 0.95, seed: int = 0) -> Comparison:
    """Is method a better than method b? `a`, `b` [n] hold one value per unit, less is better.

    "better" and "worse" need both the interval of the difference to leave out 0 and p < 1 − level; with fewer
    than 6 units p can not get there. Everything else is "not shown to be better", which is not "equal": see
    `detectable`. Raises ValueError for different lengths and for values that are not finite.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a {a.shape} and b {b.shape}: wanted one value of each method per unit")
    delta, weight = _checked(a - b, weight)
    difference = float(_ratio(weight * delta, weight))
    low, high = subject_interval(delta, weight=weight, level=level, seed=seed)
    p_value = _sign_flip_p(weight * delta, seed)
    shown = p_value < 1 - level
    verdict = BETTER if shown and high < 0 else WORSE if shown and low > 0 else NOT_SHOWN
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        n=len(delta),
        superior=int((delta < 0).sum()),
        detectable=_detectable(delta, weight, difference, level),
        verdict=verdict,
    )


def _sign_flip_p(weighted: np.ndarray, seed: int) -> float:
    """p of the mean of `weighted` [n] when each sign could as well be the other one; 1 where that is all one."""
    if len(weighted) < 2 or not weighted.any():
        return 1.0
    test = scipy.stats.permutation_test(
        (weighted,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_batch(len(weighted)),
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _detectable(delta: np.ndarray, weight: np.ndarray, mean: float, level: float) -> float:
    """Normal approximation: (z of the level + z of .8) times the standard error of the weighted mean."""
    if len(delta) < 2:
        return float("nan")
    share = weight / weight.sum()
    error = np.sqrt((share**2 * (delta - mean) ** 2).sum() * len(delta) / (len(delta) - 1))
    return float((scipy.stats.norm.ppf(0.5 + level / 2) + scipy.stats.norm.ppf(0.8)) * error)


def _ratio(weighted, weight, axis=-1):
    return weighted.sum(axis=axis) / weight.sum(axis=axis)


def _batch(units: int) -> int:
    return max(1, DRAWN_AT_ONCE // units)


def _checked(values, weight) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, np.float64)
    weight = np.ones_like(values) if weight is None else np.asarray(weight, np.float64)
    if values.ndim != 1 or values.shape != weight.shape or not len(values):
        raise ValueError(
            f"values {values.shape}, weight {weight.shape}: wanted one of each per unit, [n], n > 0"
        )
    if not np.isfinite(values).all() or not (np.isfinite(weight) & (weight > 0)).all():
        raise ValueError(
            "values must be finite and weights finite and above 0; a unit without value has no place"
        )
    return values, weight
