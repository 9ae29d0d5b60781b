"""From the predictions of every method on the same test rows to one table.

A value of the table is a mean over windows within each subject, then over subjects. With `equal_trials` it is a mean
over windows within each trial, then trials, then subjects. Its interval is over subjects, or over trials where there
are too few subjects. Seeds are averaged first; their spread is a separate column.
`ranking.py` compares the methods, `table_text.py` writes the files.
"""

from typing import NamedTuple

import numpy as np

from mpcl_jax import metrics
from mpcl_jax.config.schema import BASELINES, ORACLES, REFERENCE
from mpcl_jax.evaluation import agreement
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.evaluation.statistics import FEWEST, subject_interval

METHOD = "MPCL"
CONSTANTS = ("uniform", REFERENCE)
OF_IDS = ("subject_mean", "stimulus_mean", "duration_only")  # the train mean for ids without training rows


class Result(NamedTuple):
    """What one method predicted for all test rows of all folds, in the order of the manifest."""

    method: str  # a name of BASELINES, "MPCL", or a variant's
    predicted: list[np.ndarray]  # of each seed [N, C], rows sum to 1
    tried: int | None = None  # settings compared in each fold; None: not known, or not chosen in the fold


class Row(NamedTuple):
    """One method of a table."""

    method: str
    mean: dict[str, float]  # the six measures and "skill" (NaN where the train mean has KL 0)
    low: float  # 95 % interval of the KL, NaN with fewer than 3 units
    high: float
    seeds: int
    spread: float  # standard deviation of the KL over seeds, NaN with one
    per_subject: dict[str, dict[str, float]]  # subject -> measure -> value, averaged over seeds
    per_unit: np.ndarray  # [U] KL of each unit of the interval, averaged over seeds
    per_seed: np.ndarray  # [S, U] the same for each seed
    agreement: dict[str, float]  # further measures, name -> mean over subjects
    emotion_error: np.ndarray  # [C] mean absolute error of each emotion's share, over subjects
    tried: int | None  # as in `Result`


class Table(NamedTuple):
    """Methods on the same rows of the same manifest."""

    rows: tuple[Row, ...]  # baselines in their fixed order, MPCL, variants as they came, oracles
    windows: int
    subjects: int
    over: str  # units of the intervals: "15 subjects", "22 trials of 1 subject"
    unit_weight: np.ndarray  # [U] sums to 1; each subject has the same total weight
    split_sha256: str
    leaky: bool
    equal_trials: bool = False  # each trial of a subject has the same weight, else each window


class _Units(NamedTuple):
    index: np.ndarray  # [N] unit of each window
    weight: np.ndarray  # [N] sums to 1; each subject has the same total weight
    total: np.ndarray  # [U] weight of each unit
    over: str
    within: np.ndarray | None  # [N] weight of each window in its subject; None: all equal


def make_table(
    results: list[Result],
    labels: np.ndarray,
    subject: np.ndarray,
    unit: np.ndarray,
    split_sha256: str,
    *,
    leaky: bool,
    unit_name: str = "trials",
    equal_trials: bool = False,
) -> Table:
    """Compares `results` on the test rows of one manifest.

    `labels` [N, C], `subject` and `unit` [N] belong to the test rows in the order of the manifest. With fewer
    than 6 subjects intervals and tests are over `unit`, called `unit_name` in the caption. Raises ValueError,
    naming the method, for another number of rows and for predictions that are no distributions or have an infinite
    KL, and where "train_mean", which the skill needs, is missing.
    """
    results = sorted(results, key=_place)
    if REFERENCE not in (names := [result.method for result in results]):
        raise ValueError(f"{REFERENCE!r} is missing from {names}: the skill needs it")
    units = _units(np.asarray(subject), np.asarray(unit), unit_name, equal_trials)
    rows = [_row(result, labels, np.asarray(subject), units) for result in results]
    reference = next(row for row in rows if row.method == REFERENCE).mean["kl"]
    for row in rows:
        row.mean["skill"] = metrics.skill(row.mean["kl"], reference) if reference > 0 else float("nan")
    return Table(
        rows=tuple(rows),
        windows=len(labels),
        subjects=len(np.unique(subject)),
        over=units.over,
        unit_weight=units.total,
        split_sha256=split_sha256,
        leaky=leaky,
        equal_trials=equal_trials,
    )


def _place(result: Result) -> int:
    """Built-in baselines, registered baselines, MPCL, variants, oracles."""
    order = (*BASELINES, "registered", METHOD, "variants", *ORACLES)
    if result.method in ORACLES:
        return len(order)
    other = "variants" if result.tried is None else "registered"
    return order.index(result.method if result.method in order else other)


def _units(subject: np.ndarray, unit: np.ndarray, unit_name: str, equal_trials: bool) -> _Units:
    subjects, place, windows = np.unique(subject, return_inverse=True, return_counts=True)
    weight = 1 / (len(subjects) * windows[place])
    if equal_trials:
        _, first, of_unit, windows = np.unique(
            unit, return_index=True, return_inverse=True, return_counts=True
        )
        trials = np.bincount(place[first])  # of each subject
        weight = 1 / (len(subjects) * trials[place] * windows[of_unit])
    if len(subjects) >= FEWEST:
        index, over = place, count_of(len(subjects), "subjects")
    else:
        ids, index = np.unique(unit, return_inverse=True)
        over = f"{count_of(len(ids), unit_name)} of {count_of(len(subjects), 'subjects')}"
    return _Units(index, weight, np.bincount(index, weight), over, weight if equal_trials else None)


def _row(result: Result, labels, subject, units: _Units) -> Row:
    try:
        seeds = [metrics.scores(labels, predicted) for predicted in result.predicted]
    except ValueError as error:
        raise ValueError(f"{result.method}: {error}") from error
    values = {name: np.mean([each[name] for each in seeds], axis=0) for name in seeds[0]}
    if not np.isfinite(values["kl"]).all():
        bad = int(np.flatnonzero(~np.isfinite(values["kl"]))[0])
        raise ValueError(f"{result.method}, row {bad}: predicts 0 for a reported emotion, KL is infinite")
    by_measure = {name: metrics.subject_means(values[name], subject, units.within) for name in values}
    per_seed = np.stack([np.bincount(units.index, units.weight * each["kl"]) / units.total for each in seeds])
    per_unit = per_seed.mean(0)
    low, high = subject_interval(per_unit, weight=units.total)
    kl_of_seeds = [float((units.weight * each["kl"]).sum()) for each in seeds]
    further = [agreement.means(labels, predicted, units.weight) for predicted in result.predicted]
    return Row(
        method=result.method,
        mean={name: float(np.mean(list(means.values()))) for name, means in by_measure.items()},
        low=low,
        high=high,
        seeds=len(seeds),
        spread=float(np.std(kl_of_seeds, ddof=1)) if len(seeds) > 1 else float("nan"),
        per_subject={x: {name: by_measure[name][x] for name in by_measure} for x in by_measure["kl"]},
        per_unit=per_unit,
        per_seed=per_seed,
        agreement={name: float(np.mean([means[name] for means, _ in further])) for name in further[0][0]},
        emotion_error=sum(error for _, error in further) / len(seeds),
        tried=result.tried,
    )
