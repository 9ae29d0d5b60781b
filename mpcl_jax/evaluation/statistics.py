"""Intervals and paired comparisons over subjects, or over trials where there are too few subjects.

Windows of one subject are not independent. All functions therefore take one value per unit (subject or trial),
averaged over seeds. `weight` holds the share of each unit in the data set; every estimate is the weighted mean.

Two numbers that differ by less than `TIES` of their size are equal here. With few units many resampled means equal
the estimate; without a tolerance the rounding of a processor would decide on which side they fall.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

# Up to so many units all 2^n sign flips are counted.
EXACT = 13
# Bootstrap resamples, and sign flips where not all are counted.
RESAMPLES = 9_999
# Fewer units are never significant: an exact two-sided test cannot reach p < .05 (2 / 2^5 = .06).
FEWEST = 6
# Numbers drawn at once, so that thousands of units do not fill the memory.
DRAWN_AT_ONCE = 2_000_000
# Values are equal if they differ by at most this share of the largest value they were computed from.
TIES = 1e-6
# Simulated t statistics under the null: at most so many, and so many numbers in all.
NULL_DRAWS, NULL_NUMBERS = 100_000, 20_000_000

LEVEL, COVERAGE = 0.05, 0.95  # of tests, of intervals
BETTER, WORSE, NOT_SIGNIFICANT = "better", "worse", "not significant"


class Comparison(NamedTuple):
    """Two methods a and b on the same units, for a measure of which less is better."""

    difference: float  # weighted mean of a − b; negative = a is better
    low: float  # interval of the difference
    high: float
    p_value: float  # two-sided, of exchanging a and b within units: sign flips
    p_skewed: float  # two-sided, of a mean difference of 0 where differences may be skewed
    n: int  # units
    detectable: float  # difference found significant with probability 0.8 at this spread and n, uncorrected
    # By `decide`, for all comparisons that are decided together:
    corrected: float = float("nan")  # p_value after Holm's correction
    verdict: str = NOT_SIGNIFICANT  # of a: BETTER, WORSE or NOT_SIGNIFICANT
    comparisons: int = 0  # their number

    def turned(self) -> "Comparison":
        """The same with the two methods exchanged."""
        verdict = {BETTER: WORSE, WORSE: BETTER}.get(self.verdict, NOT_SIGNIFICANT)
        return self._replace(difference=-self.difference, low=-self.high, high=-self.low, verdict=verdict)


def subject_interval(values, *, weight=None, seed=0, scale: float | None = None) -> tuple[float, float]:
    """95 % BCa bootstrap interval (Efron 1987) of the weighted mean of `values` [n], one value per unit.

    `weight` [n] > 0, None = all equal. Resampled means within TIES · `scale` of the estimate count as half below
    and half above it; `scale` is the largest absolute value, or that of the numbers whose differences `values` are.
    Returns (low, high); (NaN, NaN) with fewer than 3 units, too few to resample; both the common value where all
    values are equal. Raises ValueError for values or weights that are not finite.
    """
    values, weight = _checked(values, weight)
    if len(values) < 3:
        return float("nan"), float("nan")
    tolerance = TIES * (np.abs(values).max() if scale is None else scale)
    estimate = _ratio(weight * values, weight)
    if np.ptp(values) <= tolerance:
        return float(estimate), float(estimate)
    rows = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    means = _ratio((weight * values)[rows], weight[rows])
    below = ((means < estimate - tolerance).mean() + (means <= estimate + tolerance).mean()) / 2
    ends = np.array([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    shifted = _bca_levels(values, weight, below, ends)
    # BCa has no answer where every resample lies on one side of the estimate; percentiles always have one.
    low, high = np.quantile(means, shifted if np.isfinite(shifted).all() else ends)
    return float(low), float(high)


def paired_comparison(a, b, *, weight=None) -> Comparison:
    """Does method a differ from method b? `a`, `b` [n] hold one value per unit, less is better.

    `p_value` counts sign patterns (all 2^n up to n = 13). It is exact where a and b can be exchanged within a unit.
    It is too small for skewed differences whose mean is 0: for exponential ones and 10 units it gives 8 % "better",
    nominal 2.5 %. `p_skewed` is the test for them: the t statistic against twice its lower tail under exponential
    differences with mean 0. It holds its level for skewness up to 2 (experiments/tables/null_calibration.py; 4 to 7 %
    instead of 2.5 % for log-normal differences) and has less power: with 10 units t must reach 4.2, Student's test
    needs 2.3.

    Values that are equal up to TIES of the largest value differ by 0. Raises ValueError for different lengths and for
    values that are not finite.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a {a.shape} and b {b.shape}: wanted one value of each method per unit")
    delta, weight = _checked(a - b, weight)
    scale = float(np.maximum(np.abs(a), np.abs(b)).max())
    delta = without_ties(delta, TIES * scale)
    difference = float(_ratio(weight * delta, weight))
    low, high = subject_interval(delta, weight=weight, scale=scale)
    error = float(_standard_error(delta[None], weight)[0])
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        p_value=_sign_flip_p(weight * delta, TIES * scale * weight.mean()),
        p_skewed=_skewed_t_p(difference, error, weight, TIES * scale),
        n=len(delta),
        detectable=_detectable(error, weight),
    )


def decide(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with their verdicts, corrected for all of them. Tables, page and texts use this rule.

    "better" and "worse" need all of: Holm's corrected p below LEVEL; `p_skewed` below LEVEL (not corrected; it
    keeps the level of each comparison where differences are skewed); the 95 % interval on one side of 0; at least 6
    units. Everything else is "not significant", which does not mean "equal": see `Comparison.detectable`.
    """
    decided = []
    for found, corrected in zip(comparisons, holm([c.p_value for c in comparisons]), strict=True):
        significant = max(corrected, found.p_skewed) < LEVEL and found.n >= FEWEST
        side = BETTER if found.high < 0 else WORSE if found.low > 0 else NOT_SIGNIFICANT
        verdict = side if significant else NOT_SIGNIFICANT
        decided.append(
            found._replace(corrected=float(corrected), verdict=verdict, comparisons=len(comparisons))
        )
    return decided


def smallest_p(n: int, comparisons: int) -> float:
    """The smallest Holm-corrected p that so many comparisons over `n` units can have."""
    smallest = 2.0 ** (1 - n) if n <= EXACT else 1 / (RESAMPLES + 1)
    return min(1.0, comparisons * smallest)


def holm(p_values) -> np.ndarray:
    """Holm's step-down correction: p [n] so that p < level keeps the chance of one false finding below level."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def merge_ties(x, tolerance) -> np.ndarray:
    """`x` [..., n] in which numbers of a row that follow each other by at most `tolerance` in size are made equal.

    `tolerance` is one number or [..., 1]. Each takes the smallest of its chain, so that ranks tie them.
    """
    x = np.asarray(x, np.float64)
    order = np.argsort(x, axis=-1, kind="stable")
    ordered = np.take_along_axis(x, order, -1)
    begins = np.diff(ordered, prepend=-np.inf) > tolerance
    first = np.maximum.accumulate(np.where(begins, np.arange(x.shape[-1]), 0), axis=-1)
    merged = np.empty_like(x)
    np.put_along_axis(merged, order, np.take_along_axis(ordered, first, -1), -1)
    return merged


def without_ties(delta, tolerance: float) -> np.ndarray:
    """`delta` [n] with 0 for what is at most `tolerance`."""
    return np.where(np.abs(delta) <= tolerance, 0.0, delta)


def _bca_levels(values: np.ndarray, weight: np.ndarray, below: float, ends: np.ndarray) -> np.ndarray:
    """The quantiles that BCa reads in place of `ends`; not finite where it has no answer."""
    bias = ndtri(below)
    weighted = weight * values
    left_out = (weighted.sum() - weighted) / (weight.sum() - weight)
    pull = left_out.mean() - left_out
    acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = bias + ndtri(ends)
        room = 1 - acceleration * moved
        return np.where(room > 0, ndtr(bias + moved / room), np.nan)


def _skewed_t_p(difference: float, error: float, weight: np.ndarray, tolerance: float) -> float:
    """Twice P(t <= -|t observed|) under exponential differences with mean 0; 1 where there is nothing to test."""
    if len(weight) < 2 or abs(difference) <= tolerance:
        return 1.0
    null = _null_t(tuple((weight / weight.sum()).tolist()))
    statistic = abs(difference) / error if error > tolerance else np.inf
    shares = np.arange(1, len(null) + 1) / (len(null) + 1)
    return float(min(1.0, 2 * np.interp(-statistic, null, shares)))


@functools.lru_cache(maxsize=16)
def _null_t(share: tuple[float, ...]) -> np.ndarray:
    """Sorted t statistics of weighted means of centred exponential draws; `share` [n] of the units, sums to 1."""
    weight, rng, found = np.array(share), np.random.default_rng(0), []
    draws = int(np.clip(NULL_NUMBERS // len(share), 2_000, NULL_DRAWS))
    while (left := draws - sum(map(len, found))) > 0:
        x = rng.standard_exponential((min(left, max(1, DRAWN_AT_ONCE // len(share))), len(share))) - 1
        found.append((x @ weight) / _standard_error(x, weight))
    return np.sort(np.concatenate(found))


def _sign_flip_p(weighted: np.ndarray, tolerance: float) -> float:
    """p of the mean of `weighted` [n] when signs are exchangeable; 1 for one unit and for zeros."""
    n = len(weighted)
    if n < 2 or not weighted.any():
        return 1.0
    observed = abs(weighted.mean()) - tolerance
    if n <= EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ weighted / n) >= observed).mean())
    signs = 1 - 2 * np.random.default_rng(0).integers(2, size=(RESAMPLES, n))
    extreme = (np.abs(signs @ weighted / n) >= observed).sum()
    return float((1 + extreme) / (RESAMPLES + 1))


def _detectable(error: float, weight: np.ndarray) -> float:
    """(critical t of the test + z of .8) times the standard error of the weighted mean; normal approximation."""
    if len(weight) < 2:
        return float("nan")
    critical = -np.quantile(_null_t(tuple((weight / weight.sum()).tolist())), (1 - COVERAGE) / 2)
    return float((critical + ndtri(0.8)) * error)


def _standard_error(delta: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of the weighted mean of each row of `delta` [m, n], [m]; NaN with one unit."""
    share, n = weight / weight.sum(), delta.shape[1]
    if n < 2:
        return np.full(len(delta), np.nan)
    away = delta - (delta @ share)[:, None]
    return np.sqrt((away**2) @ share**2 * n / (n - 1))


def _ratio(weighted, weight):
    return weighted.sum(axis=-1) / weight.sum(axis=-1)


def _checked(values, weight) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, np.float64)
    weight = np.ones_like(values) if weight is None else np.asarray(weight, np.float64)
    if values.ndim != 1 or values.shape != weight.shape or not len(values):
        raise ValueError(f"values {values.shape}, weight {weight.shape}: wanted one of each per unit, [n]")
    if not np.isfinite(values).all() or not (np.isfinite(weight) & (weight > 0)).all():
        raise ValueError("values must be finite, weights finite and above 0; leave out units without a value")
    return values, weight
