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
import pandas as pd
import scipy  # loads scipy.stats on first use, which is after the training

from mpcl_jax.config.schema import ORACLES
from mpcl_jax.evaluation import statistics
from mpcl_jax.evaluation.leaderboard import METHOD, REFERENCE, Row, Table
from mpcl_jax.evaluation.statistics import TIES, Comparison, decide, merge_ties, paired_comparison


class Spread(NamedTuple):
    """Standard deviations of the KL of one method: over units, and the variance components of its seeds."""

    units: float  # of means over seeds; NaN with one unit
    seeds: float  # NaN with one seed
    rest: float  # of a seed on a unit, beyond both; NaN with one seed


class Ranking(NamedTuple):
    """The comparison of all methods of a table except oracles, with all digits: the columns of two CSV files."""

    methods: pd.DataFrame  # statistics.csv: a row per method in the order of the mean rank, the best first
    pairs: pd.DataFrame  # pairs.csv: a row per pair, the better rank first; differences below 0: a is better


def focus_of(methods: Sequence[str]) -> str:
    """The method that a table compares with all others: MPCL, or the train mean where MPCL is missing."""
    return METHOD if METHOD in methods else REFERENCE


def compare_with_focus(table: Table) -> dict[str, Comparison]:
    """Every other method minus the focus, below 0 = better than the focus; corrected for all methods but oracles."""
    named = {row.method: row for row in table.rows if row.method not in ORACLES}
    focus = named.pop(focus_of(list(named)))
    found = [paired_comparison(x.per_unit, focus.per_unit, weight=table.unit_weight) for x in named.values()]
    return dict(zip(named, decide(found), strict=True))


def rank_methods(table: Table, emotions: Sequence[str] = ()) -> Ranking:
    """Compares all methods of a `table`; `emotions` name the columns of errors.

    Columns of methods: `groups`, a letter for each group of `_groups` that the method is in; `sd_*`, see `Spread`.
    Columns of pairs: `p`, `p_skewed` as in `Comparison`; `p_wilcoxon` of the signed-rank test; `p_holm_all` and
    `p_holm_focus`, p corrected for all pairs and for those of the focus (NaN for others); `effect`, mean difference /
    standard deviation; `superiority`, share of units in which a is better, ties count half; `verdict_of_a`, corrected
    for the pairs of the focus where the pair is one of them.
    """
    fair = [row for row in table.rows if row.method not in ORACLES]
    kl = np.stack([row.per_unit for row in fair], 1)  # [U, M]
    kl = merge_ties(kl, TIES * kl.max(1, keepdims=True))
    rank = scipy.stats.rankdata(kl, axis=1).mean(0)
    order = np.lexsort((kl.mean(0), rank))
    rows, names = [fair[i] for i in order], [fair[i].method for i in order]
    pairs, differ = _pairs(rows, focus_of(names), table.unit_weight)
    groups, letters = _groups(names, differ), "abcdefghijklmnopqrstuvwxyz"
    methods = []
    for row, place in zip(rows, rank[order].tolist(), strict=True):
        spread = spread_of(row.per_seed)
        errors = dict(zip([f"error_{name}" for name in emotions], row.emotion_error.tolist(), strict=False))
        own = "".join(letters[i % 26] for i, group in enumerate(groups) if row.method in group)
        methods.append(
            {"method": row.method, "kl": row.mean["kl"], "kl_low": row.low, "kl_high": row.high}
            | {"mean_rank": place, "groups": own, "sd_units": spread.units, "sd_seeds": spread.seeds}
            | {"sd_rest": spread.rest, "seeds": row.seeds, **row.agreement, **errors}
        )
    fixed = {"units": table.over, "split_sha256": table.split_sha256}
    return Ranking(
        pd.DataFrame(methods, dtype=object).assign(**fixed),
        pd.DataFrame(pairs, dtype=object).assign(friedman_p=_friedman(kl), **fixed),
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


def _friedman(kl: np.ndarray) -> float:
    """p of Friedman's test of `kl` [U, M]; NaN with fewer than 3 of either, 1 where all methods are equal."""
    units, methods = kl.shape
    if methods < 3 or units < 3:
        return float("nan")
    return float(scipy.stats.friedmanchisquare(*kl.T).pvalue) if np.ptp(kl, axis=1).any() else 1.0


def _pairs(rows: list[Row], focus: str, weight: np.ndarray) -> tuple[list[dict], set[frozenset]]:
    """A row per pair, and the pairs that differ significantly when corrected for all pairs."""
    twos = list(itertools.combinations(rows, 2))
    compared = [paired_comparison(a.per_unit, b.per_unit, weight=weight) for a, b in twos]
    of_focus = [i for i, (a, b) in enumerate(twos) if focus in (a.method, b.method)]
    few = dict(zip(of_focus, decide([compared[i] for i in of_focus]), strict=True))
    pairs, differ = [], set()
    for i, ((a, b), found, of_all) in enumerate(zip(twos, compared, decide(compared), strict=True)):
        tolerance = TIES * np.maximum(a.per_unit, b.per_unit).max()
        delta = a.per_unit - b.per_unit
        delta = np.sign(delta) * merge_ties(np.abs(delta), tolerance)
        delta = statistics.without_ties(delta, tolerance)
        pairs.append(
            {"a": a.method, "b": b.method, "difference": found.difference, "low": found.low}
            | {"high": found.high, "p": found.p_value, "p_skewed": found.p_skewed}
            | {"p_wilcoxon": _wilcoxon(delta), "p_holm_all": of_all.corrected}
            | {"p_holm_focus": few[i].corrected if i in few else float("nan")}
            | {"effect": _effect(delta, tolerance)}
            | {"superiority": float((delta < 0).mean() + (delta == 0).mean() / 2)}
            | {"detectable": found.detectable, "verdict_of_a": few.get(i, of_all).verdict}
        )
        if of_all.verdict != statistics.NOT_SIGNIFICANT:
            differ.add(frozenset((a.method, b.method)))
    return pairs, differ


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


def _groups(methods: list[str], differ: set[frozenset]) -> list[list[str]]:
    """Neighbours in rank without a significant difference between any two; the longest such rows."""
    found, reached = [], 0
    for start in range(len(methods)):
        end = start + 1
        while end < len(methods) and not any(
            frozenset((one, methods[end])) in differ for one in methods[start:end]
        ):
            end += 1
        if end - start > 1 and end > reached:
            found.append(methods[start:end])
        reached = max(reached, end)
    return found


def groups_of(methods: pd.DataFrame) -> list[list[str]]:
    """The groups of the column `groups`: methods with a common letter."""
    texts = methods["groups"].fillna("")
    letters = dict.fromkeys("".join(texts))
    return [methods["method"][texts.str.contains(letter)].tolist() for letter in letters]
