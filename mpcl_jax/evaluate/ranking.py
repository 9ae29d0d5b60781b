"""All methods of a table against each other: ranks, Friedman's test, every pair with Holm's correction, seeds.

Units are those of the table: subjects, or trials where there are too few subjects. Ranks, Friedman and Wilcoxon use
no weights: where the units are trials of subjects with different numbers of trials, every trial counts the same in
them. `statistics.decide` alone decides what is significant; Wilcoxon's p is reported and decides nothing.
"""

import itertools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.stats on first use, which is after the training

from mpcl_jax.config.schema import ORACLES
from mpcl_jax.evaluate.leaderboard import METHOD, REFERENCE, Row, Table
from mpcl_jax.evaluate.statistics import (
    NOT_SIGNIFICANT,
    TIES,
    Comparison,
    Outcome,
    decide,
    merge_ties,
    paired_comparison,
    without_ties,
)


class Pair(NamedTuple):
    """Method `a` against method `b`; differences of the KL, negative = a is better."""

    a: str
    b: str
    comparison: Comparison  # weighted mean difference, its interval and tests, not corrected
    wilcoxon: float  # p of the signed-rank test, two-sided, not corrected; 1 where all differences are 0
    holm: float  # p of exchanging the two, corrected for all pairs of the table
    holm_focus: float  # corrected for the pairs of the focus alone; NaN for other pairs
    effect: float  # paired standardised mean difference: mean / standard deviation; NaN with one unit
    superiority: float  # share of units in which a is better, ties count half
    verdict: str  # of a: BETTER, WORSE, NOT_SIGNIFICANT
    differs: bool  # significant when corrected for all pairs of the table


class Spread(NamedTuple):
    """Standard deviations of the KL of one method: over units, and the variance components of its seeds."""

    units: float  # of means over seeds; NaN with one unit
    seeds: float  # NaN with one seed
    rest: float  # of a seed on a unit, beyond both; NaN with one seed


class Ranking(NamedTuple):
    """The methods of a table in the order of their mean rank, the best first; oracles are left out."""

    methods: tuple[str, ...]
    focus: str  # the method that is compared with all others: see `focus_of`
    rank: tuple[float, ...]  # mean over units, 1 = lowest KL, ties share
    spread: dict[str, Spread]
    statistic: float  # Friedman's chi-square, NaN with fewer than 3 methods or units
    p_value: float
    pairs: tuple[Pair, ...]  # the better rank first
    # Neighbours in rank without a significant difference between any two; the longest such rows.
    groups: tuple[tuple[str, ...], ...]
    over: str  # "15 subjects"


def focus_of(methods: Sequence[str]) -> str:
    """The method that a table compares with all others: MPCL, or the train mean where MPCL is missing."""
    return METHOD if METHOD in methods else REFERENCE


def compare_with_focus(table: Table, *, seed: int = 0) -> dict[str, Outcome]:
    """Every other method minus the focus, below 0 = better than the focus; corrected for all methods but oracles."""
    named = {row.method: row for row in table.rows if row.method not in ORACLES}
    focus = named.pop(focus_of(list(named)))
    return decided(
        {
            name: paired_comparison(row.per_unit, focus.per_unit, weight=table.unit_weight, seed=seed)
            for name, row in named.items()
        }
    )


def decided(comparisons: dict[str, Comparison]) -> dict[str, Outcome]:
    """Each comparison with its decision, corrected for all of them."""
    decisions = decide(list(comparisons.values()))
    outcomes = map(Outcome, comparisons.values(), decisions)
    return dict(zip(comparisons, outcomes, strict=True))


def rank_methods(table: Table, *, seed: int = 0) -> Ranking:
    """Compares all methods of a `table`; `seed` is that of the resampling."""
    fair = [row for row in table.rows if row.method not in ORACLES]
    kl = np.stack([row.per_unit for row in fair], 1)  # [U, M]
    kl = merge_ties(kl, TIES * kl.max(1, keepdims=True))
    rank = scipy.stats.rankdata(kl, axis=1).mean(0)
    order = np.lexsort((kl.mean(0), rank))
    rows, rank = [fair[i] for i in order], rank[order]
    methods = [row.method for row in rows]
    focus = focus_of(methods)
    pairs = _pairs(rows, focus, table.unit_weight, seed)
    statistic, p_value = _friedman(kl)
    return Ranking(
        methods=tuple(methods),
        focus=focus,
        rank=tuple(rank.tolist()),
        spread={row.method: spread_of(row.per_seed) for row in rows},
        statistic=statistic,
        p_value=p_value,
        pairs=pairs,
        groups=_groups(methods, pairs),
        over=table.over,
    )


def spread_of(per_seed: np.ndarray) -> Spread:
    """The spread of `per_seed` [S, U]: over units, and the variance components of seeds and of the rest.

    Two-way analysis of variance without replication. The mean square of seeds contains that of the rest, which is
    subtracted; a negative remainder counts 0.
    """
    seeds, units = per_seed.shape
    of_unit, of_seed = per_seed.mean(0), per_seed.mean(1)
    over_units = float(of_unit.std(ddof=1)) if units > 1 else float("nan")
    if seeds == 1:
        return Spread(over_units, float("nan"), float("nan"))
    if units == 1:
        return Spread(over_units, float(of_seed.std(ddof=1)), float("nan"))
    left = per_seed - of_unit - of_seed[:, None] + per_seed.mean()
    rest = (left**2).sum() / ((seeds - 1) * (units - 1))
    between_seeds = max(0.0, of_seed.var(ddof=1) - rest / units)
    return Spread(over_units, float(np.sqrt(between_seeds)), float(np.sqrt(rest)))


def _friedman(kl: np.ndarray) -> tuple[float, float]:
    """Chi-square and p of `kl` [U, M]; (NaN, NaN) with too few of either, (0, 1) where all methods are equal."""
    units, methods = kl.shape
    if methods < 3 or units < 3:
        return float("nan"), float("nan")
    if not np.ptp(kl, axis=1).any():
        return 0.0, 1.0
    found = scipy.stats.friedmanchisquare(*kl.T)
    return float(found.statistic), float(found.pvalue)


def _pairs(rows: list[Row], focus: str, weight: np.ndarray, seed: int) -> tuple[Pair, ...]:
    twos = list(itertools.combinations(rows, 2))
    compared = [paired_comparison(a.per_unit, b.per_unit, weight=weight, seed=seed) for a, b in twos]
    of_focus = [i for i, (a, b) in enumerate(twos) if focus in (a.method, b.method)]
    few = dict(zip(of_focus, decide([compared[i] for i in of_focus]), strict=True))
    pairs = []
    for i, ((a, b), of_all) in enumerate(zip(twos, decide(compared), strict=True)):
        tolerance = TIES * np.maximum(a.per_unit, b.per_unit).max()
        delta = a.per_unit - b.per_unit
        delta = without_ties(np.sign(delta) * merge_ties(np.abs(delta), tolerance), tolerance)
        pairs.append(
            Pair(
                a.method,
                b.method,
                compared[i],
                wilcoxon=_wilcoxon(delta),
                holm=of_all.corrected,
                holm_focus=few[i].corrected if i in few else float("nan"),
                effect=_effect(delta, tolerance),
                superiority=float((delta < 0).mean() + (delta == 0).mean() / 2),
                verdict=few.get(i, of_all).verdict,
                differs=of_all.verdict != NOT_SIGNIFICANT,
            )
        )
    return tuple(pairs)


def _wilcoxon(delta: np.ndarray) -> float:
    if not delta.any():
        return 1.0
    with warnings.catch_warnings():  # ties and zeros: SciPy warns that it approximates
        warnings.simplefilter("ignore")
        return float(scipy.stats.wilcoxon(delta).pvalue)


def _effect(delta: np.ndarray, tolerance: float) -> float:
    if len(delta) < 2:
        return float("nan")
    spread = delta.std(ddof=1)
    if spread <= tolerance:
        return 0.0 if not delta.any() else float(np.copysign(np.inf, delta.mean()))
    return float(delta.mean() / spread)


def _groups(methods: list[str], pairs: tuple[Pair, ...]) -> tuple[tuple[str, ...], ...]:
    differ = {frozenset((pair.a, pair.b)) for pair in pairs if pair.differs}
    found, reached = [], 0
    for start in range(len(methods)):
        end = start + 1
        while end < len(methods) and not any(
            frozenset((one, methods[end])) in differ for one in methods[start:end]
        ):
            end += 1
        if end - start > 1 and end > reached:
            found.append(tuple(methods[start:end]))
        reached = max(reached, end)
    return tuple(found)
