"""A fault of a data set in words, and how the data doctor finds faults in arrays of any data set.

The loaders refuse the first fault they meet. The doctor (`check_folder`, `check_wesad`, `check_dmer`) goes on,
and also names what a loader has no reason to refuse: a sensor that was off, one file saved under two names.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.batch import DataFileError

# A signal counts as clipped where this share of its samples lies at one end of its range; on the real wrist
# recordings of WESAD the largest share is .004.
CLIPPED = 0.05
FEWEST_VALUES = 10  # distinct values below which a signal is a code or a switch, which lies at its ends


class Fault(NamedTuple):
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


class Examined(NamedTuple):
    """What the doctor says of a data set."""

    faults: tuple[Fault, ...]
    summary: Summary


def as_fault(error: DataFileError, fix: str = "correct the file or leave it out") -> Fault:
    """A loader's refusal, which ends in what to do after its last semicolon; `fix` where it does not."""
    what, _, advice = error.reason.rpartition("; ")
    return Fault(error.file, "", what, advice) if what else Fault(error.file, "", error.reason, fix)


def attempt(faults: list[Fault], function: Callable, *args: Any) -> Any:
    """`function(*args)`; a refusal is added to `faults` and None returned."""
    try:
        return function(*args)
    except DataFileError as error:
        faults.append(as_fault(error))
        return None


def row_fault(file: Any, key: str, bad: np.ndarray, what: str, fix: str) -> list[Fault]:
    """One fault that names the rows where `bad` [N] is True; none if there are none."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    shown = ", ".join(map(str, rows[:5])) + (f", … ({len(rows)} in all)" if len(rows) > 5 else "")
    return [Fault(str(file), f"{key}, row{'s' * (len(rows) > 1)} {shown}", what, fix)]


def channel_faults(file: Any, key: str, x: np.ndarray, rate: float, longest_still: float) -> list[Fault]:
    """Faults of raw signals x [samples, channels] at `rate` per second: lost samples, off, stuck or clipped.

    `longest_still`: seconds for which a worn sensor may say the same; infinity where a person may be still.
    """
    faults = []
    for channel in range(x.shape[1]):
        values = np.asarray(x[:, channel], np.float64)
        place = f"{key}, channel {channel}"
        bad = ~np.isfinite(values)
        if bad.any():
            first, last = np.flatnonzero(bad)[[0, -1]]
            place_of = f"{place}, samples {first} to {last}"
            what = f"{int(bad.sum()):,} of {len(values):,} are not finite"
            faults.append(
                Fault(str(file), place_of, what, "export the recording again, or cut these samples out")
            )
        values = values[~bad]
        if len(values):
            faults += _shape_faults(str(file), place, values, rate, longest_still)
    return faults


def _shape_faults(
    file: str, place: str, values: np.ndarray, rate: float, longest_still: float
) -> list[Fault]:
    low, high = values.min(), values.max()
    if low == high:
        return [Fault(file, place, f"is {low:g} throughout: the sensor was off", "leave the signal out")]
    edges = np.flatnonzero(np.r_[True, values[1:] != values[:-1], True])
    still = np.diff(edges)
    if still.max() > longest_still * rate:
        at = edges[still.argmax()]
        what = f"says {values[at]:g} for {still.max() / rate:g} s from sample {at} on: the sensor was stuck"
        return [Fault(file, place, what, "mark this stretch as absent or cut it out")]
    share = max((values == low).mean(), (values == high).mean())
    if share > CLIPPED and len(np.unique(values[:100_000])) > FEWEST_VALUES:
        what = f"{share:.0%} of the samples lie at the end of its range [{low:g}, {high:g}]: it is clipped"
        return [Fault(file, place, what, "record with a wider range, or leave the signal out")]
    return []


def label_faults(file: Any, key: str, labels: np.ndarray, names: np.ndarray) -> list[Fault]:
    """Rows of ratings or shares [n, C] that can not become a distribution; `names` [n] are those of the rows."""
    finite = np.isfinite(labels).all(1)
    clean = np.where(np.isfinite(labels), labels, 0)
    negative, nothing = (clean < 0).any(1), finite & (clean >= 0).all(1) & ~(clean > 0).any(1)
    kinds = (
        (~finite, "are not finite", "ask for the missing answers or leave these rows out"),
        (negative, "hold a negative strength", "give strengths from 0 upwards"),
        (nothing, "hold no emotion above 0", "leave rows without a report out"),
    )
    faults = []
    for bad, what, fix in kinds:
        if bad.any():
            shown = ", ".join(names[bad][:5]) + (f", … ({int(bad.sum())} in all)" if bad.sum() > 5 else "")
            faults.append(Fault(str(file), f"{key}, {shown}", what, fix))
    return faults


def print_of(arrays: Iterable[np.ndarray]) -> str:
    """sha256 of the numbers in `arrays`: equal for one recording saved under two names."""
    digest = hashlib.sha256()
    for x in arrays:
        digest.update(f"{x.shape}".encode())
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest()


def twin_faults(prints: dict[str, str], what: str, fix: str) -> list[Fault]:
    """Files that hold the same: `prints` file -> `print_of` its numbers ("" = nothing to compare)."""
    first: dict[str, str] = {}
    faults = []
    for file, digest in prints.items():
        if digest and digest in first:
            faults.append(Fault(file, "", f"{what} as {first[digest]}", fix))
        elif digest:
            first[digest] = file
    return faults
