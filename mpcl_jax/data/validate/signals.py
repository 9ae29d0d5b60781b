"""Signals that a sensor cannot have measured: lost, constant, stuck or clipped samples."""

from typing import Any

import numpy as np

from mpcl_jax.data.issues import Issue

# A signal counts as clipped where this share of its samples lies at one end of its range, and so many times as
# many as at the value next to it; on the real wrist recordings of WESAD the largest share is 0.004. At the top of a
# clean wave that is stored in coarse steps lie two to three times as many samples as one step below.
CLIPPED, CLIPPED_PEAK = 0.05, 10
NATURAL_ENDS = (0.0, 1.0, 100.0)  # of amounts, shares and per cent: a quantity may lie there
FEWEST_VALUES = 10  # distinct values below which a signal is a code or a switch, which lies at its ends
FEWEST_WINDOWS = 10  # below which equal windows are no sign of a sensor
FEWEST_SAMPLES = 100  # below which only lost samples are reported
LONG_STILL = 20  # times as long as its other still stretches: longer than the quantity is still by itself
CHECK_SENSOR = "look at the recording; mark these windows as absent if the sensor was off"


def channel_issues(file: Any, key: str, x: np.ndarray, rate: float, longest_still: float) -> list[Issue]:
    """Issues of raw signals x [samples, channels] at `rate` per second: lost samples, off, stuck or clipped.

    `longest_still`: seconds for which a worn sensor may repeat a value; infinity where a subject may be still.
    """
    issues = []
    for channel in range(x.shape[1]):
        values = np.asarray(x[:, channel], np.float64)
        place = f"{key}, channel {channel}"
        bad = ~np.isfinite(values)
        if bad.any():
            first, last = np.flatnonzero(bad)[[0, -1]]
            what = f"{int(bad.sum()):,} of {len(values):,} are not finite"
            fix = "export the recording again, or cut these samples out"
            issues.append(Issue(str(file), f"{place}, samples {first} to {last}", what, fix))
        if what := _shape_issue(values[~bad], rate, longest_still):
            issues.append(Issue(str(file), place, what, CHECK_SENSOR))
    return issues


def still_issue(file: Any, key: str, x: np.ndarray) -> list[Issue]:
    """One issue where all of at least FEWEST_WINDOWS windows x [n, ...] are the same, else none."""
    if len(x) < FEWEST_WINDOWS or np.ptp(x, axis=0).max() > 0:
        return []
    return [Issue(str(file), key, "is the same in every window", CHECK_SENSOR)]


def _shape_issue(values: np.ndarray, rate: float, longest_still: float) -> str:
    """What is wrong with the samples `values` [n], "" if nothing."""
    if len(values) < FEWEST_SAMPLES:
        return ""
    if values.min() == values.max():
        return f"is {values[0]:g} throughout: the sensor may be off"
    edges = np.flatnonzero(np.r_[True, values[1:] != values[:-1], True])
    still = np.sort(np.diff(edges))
    if still[-1] > max(longest_still * rate, LONG_STILL * still[:-1].mean()):
        at = edges[np.diff(edges).argmax()]
        return f"is {values[at]:g} for {still[-1] / rate:g} s from sample {at} on: the sensor may have been stuck"
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) <= FEWEST_VALUES:
        return ""
    for end, beside in ((0, 1), (-1, -2)):
        many = counts[end] > max(CLIPPED * len(values), CLIPPED_PEAK * counts[beside])
        if many and levels[end] not in NATURAL_ENDS:
            share = counts[end] / len(values)
            return f"{share:.0%} of the samples lie at the end of its range, {levels[end]:g}: it is clipped"
    return ""
