"""A fault of a data set in words, and how the data doctor finds faults in arrays of any data set.

The loaders refuse the first fault they meet. The doctor (`check_folder`, `check_wesad`, `check_dmer`) goes on,
and also names what a loader has no reason to refuse: a sensor that was off, one file saved under two names.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.types import DataFileError

# A signal counts as clipped where this share of its samples lies at one end of its range, and so many times as
# many as at the value next to it; on the real wrist recordings of WESAD the largest share is .004. At the top of a
# clean wave that is stored in coarse steps lie two to three times as many samples as one step below.
CLIPPED, CLIPPED_PEAK = 0.05, 10
NATURAL_ENDS = (
    0.0,
    1.0,
    100.0,
)  # of amounts, shares and per cent: a quantity may lie there, and is not clipped
FEWEST_VALUES = 10  # distinct values below which a signal is a code or a switch, which lies at its ends
FEWEST_WINDOWS = 10  # below which equal windows say nothing about a sensor
FEWEST_SAMPLES = 100  # below which nothing is said of the shape of a signal
LONG_STILL = 20  # times as long as its other still stretches: longer than the quantity is still by itself
CHECK_SENSOR = "look at the recording; mark these windows as absent if the sensor was off"


class Issue(NamedTuple):
    """One thing that is wrong."""

    file: str
    place: str  # row, key or channel, "" for the file as a whole
    what: str
    fix: str  # one line: what to do


class Summary(NamedTuple):
    """What a data set holds, as far as it could be read."""

    people: int
    windows: int
    modalities: dict[str, str]  # modality -> group
    emotions: tuple[str, ...]
    missing: tuple[str, ...]  # what is not there and need not be
    notes: tuple[str, ...] = ()  # what a run says of its features: missing values, constant features


class Examined(NamedTuple):
    """What the doctor says of a data set."""

    issues: tuple[Issue, ...]
    summary: Summary


def as_issue(error: DataFileError, fix: str = "correct the file or leave it out") -> Issue:
    """A loader's refusal, which ends in what to do after its last semicolon; `fix` where it does not."""
    what, _, advice = error.reason.rpartition("; ")
    return Issue(error.file, "", what, advice) if what else Issue(error.file, "", error.reason, fix)


def attempt(issues: list[Issue], function: Callable, *args: Any) -> Any:
    """`function(*args)`; a refusal is added to `faults` and None returned."""
    try:
        return function(*args)
    except DataFileError as error:
        issues.append(as_issue(error))
        return None


def row_issue(file: Any, key: str, bad: np.ndarray, what: str, fix: str) -> list[Issue]:
    """One fault that names the rows where `bad` [N] is True; none if there are none."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    shown = ", ".join(map(str, rows[:5])) + (f", … ({len(rows)} in all)" if len(rows) > 5 else "")
    return [Issue(str(file), f"{key}, row{'s' * (len(rows) > 1)} {shown}", what, fix)]


def channel_issues(file: Any, key: str, x: np.ndarray, rate: float, longest_still: float) -> list[Issue]:
    """Faults of raw signals x [samples, channels] at `rate` per second: lost samples, off, stuck or clipped.

    `longest_still`: seconds for which a worn sensor may say the same; infinity where a subject may be still. Of fewer
    than FEWEST_SAMPLES samples only lost ones are named: a few samples say nothing about a sensor.
    """
    issues = []
    for channel in range(x.shape[1]):
        values = np.asarray(x[:, channel], np.float64)
        place = f"{key}, channel {channel}"
        bad = ~np.isfinite(values)
        if bad.any():
            first, last = np.flatnonzero(bad)[[0, -1]]
            place_of = f"{place}, samples {first} to {last}"
            what = f"{int(bad.sum()):,} of {len(values):,} are not finite"
            issues.append(
                Issue(str(file), place_of, what, "export the recording again, or cut these samples out")
            )
        values = values[~bad]
        if len(values):
            issues += _shape_issues(str(file), place, values, rate, longest_still)
    return issues


def still_issue(file: Any, key: str, x: np.ndarray) -> list[Issue]:
    """One fault where all of at least FEWEST_WINDOWS windows x [n, ...] are the same, else none."""
    if len(x) < FEWEST_WINDOWS or np.ptp(x, axis=0).max() > 0:
        return []
    return [Issue(str(file), key, "is the same in every window", CHECK_SENSOR)]


def _shape_issues(
    file: str, place: str, values: np.ndarray, rate: float, longest_still: float
) -> list[Issue]:
    if len(values) < FEWEST_SAMPLES:
        return []
    if values.min() == values.max():
        return [Issue(file, place, f"is {values[0]:g} throughout: the sensor may be off", CHECK_SENSOR)]
    edges = np.flatnonzero(np.r_[True, values[1:] != values[:-1], True])
    still = np.sort(np.diff(edges))
    if still[-1] > max(longest_still * rate, LONG_STILL * still[:-1].mean()):
        at = edges[np.diff(edges).argmax()]
        what = f"says {values[at]:g} for {still[-1] / rate:g} s from sample {at} on: the sensor may have been stuck"
        return [Issue(file, place, what, CHECK_SENSOR)]
    for end in _clipped_ends(values):
        what = (
            f"{(values == end).mean():.0%} of the samples lie at the end of its range, {end:g}: it is clipped"
        )
        return [Issue(file, place, what, "look at the recording; if the sensor saturated, use a wider range")]
    return []


def _clipped_ends(values: np.ndarray) -> list[float]:
    """The ends of the range of `values` [n] at which they were cut off."""
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) <= FEWEST_VALUES:
        return []
    return [
        float(levels[end])
        for end, beside in ((0, 1), (-1, -2))
        if counts[end] > max(CLIPPED * len(values), CLIPPED_PEAK * counts[beside])
        and levels[end] not in NATURAL_ENDS
    ]


def label_issues(file: Any, key: str, labels: np.ndarray, names: np.ndarray) -> list[Issue]:
    """Rows of ratings or shares [n, C] that can not become a distribution; `names` [n] are those of the rows."""
    finite = np.isfinite(labels).all(1)
    clean = np.where(np.isfinite(labels), labels, 0)
    negative, nothing = (clean < 0).any(1), finite & (clean >= 0).all(1) & ~(clean > 0).any(1)
    kinds = (
        (~finite, "are not finite", "ask for the missing answers or leave these rows out"),
        (negative, "hold a negative strength", "give strengths from 0 upwards"),
        (nothing, "hold no emotion above 0", "leave rows without a report out"),
    )
    issues = []
    for bad, what, fix in kinds:
        if bad.any():
            shown = ", ".join(names[bad][:5]) + (f", … ({int(bad.sum())} in all)" if bad.sum() > 5 else "")
            issues.append(Issue(str(file), f"{key}, {shown}", what, fix))
    return issues


def print_of(arrays: Iterable[np.ndarray]) -> str:
    """sha256 of the numbers in `arrays`: equal for one recording saved under two names."""
    digest = hashlib.sha256()
    for x in arrays:
        digest.update(f"{x.shape}".encode())
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest()


def twin_issues(prints: dict[str, str], what: str, fix: str) -> list[Issue]:
    """Files that hold the same: `prints` file -> `print_of` its numbers ("" = nothing to compare)."""
    first: dict[str, str] = {}
    issues = []
    for file, digest in prints.items():
        if digest and digest in first:
            issues.append(Issue(file, "", f"{what} as {first[digest]}", fix))
        elif digest:
            first[digest] = file
    return issues
