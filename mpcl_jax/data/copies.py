"""Windows of two subjects with the same values: one recording that was saved for two subjects.

A copy of all windows of a subject is refused when the data set is read (`pipeline.refuse_duplicates`). A copy of some
windows, or of some modalities of them, is an issue of `mpcl check` and a note of every run.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.splits.descriptions import counted
from mpcl_jax.types import Recordings

FEWEST_VALUES = 4  # different numbers that a modality's row needs to count as a copy
FEWEST_WINDOWS = 2


class Copies(NamedTuple):
    """Windows of the subject `second` that have the values of windows of `first`."""

    first: str
    second: str
    windows: int
    modalities: tuple[str, ...]  # that are equal in at least one of the windows

    @property
    def sentence(self) -> str:
        """ "subjects S1 and S2 have 3 windows with the same values of eda, bvp"."""
        count = counted(self.windows, "window", "windows")
        equal = ", ".join(self.modalities)
        return f"subjects {self.first} and {self.second} have {count} with the same values of {equal}"


def copies_of(recordings: Recordings) -> list[Copies]:
    """The pairs of subjects that share windows; rows with fewer than `FEWEST_VALUES` different numbers do not count.

    A modality of the stimulus is left out: one that is declared as such, and rows that all windows of one stimulus
    have at the same time. Rows of a modality with few different values are equal by chance, also within a
    subject. So a pair needs more equal rows than all subjects have within themselves, and at least `FEWEST_WINDOWS`.
    """
    pairs: dict[tuple[str, str], dict[str, list[int]]] = {}
    moment = _moments(recordings)
    for m in recordings.signals:
        if m in recordings.of_stimulus:
            continue
        of_pair, by_chance, windows = {}, 0, np.bincount(moment[recordings.present[m]])
        for rows in _equal_rows(recordings, m):
            first, *others = dict.fromkeys(recordings.subject[rows].tolist())
            by_chance += len(rows) - 1 - len(others)
            same = recordings.stimulus[rows[0]] != "" and (moment[rows] == moment[rows[0]]).all()
            if others and not (same and windows[moment[rows[0]]] == len(rows)):
                for row in rows[recordings.subject[rows] != first].tolist():
                    of_pair.setdefault((first, str(recordings.subject[row])), []).append(row)
        for pair, rows in of_pair.items():
            if len(rows) > by_chance and len(rows) >= FEWEST_WINDOWS:
                pairs.setdefault(pair, {})[m] = rows
    return [Copies(*pair, len(set().union(*of_m.values())), tuple(of_m)) for pair, of_m in pairs.items()]


def _equal_rows(recordings: Recordings, m: str) -> Iterator[np.ndarray]:
    """The rows of each group of two or more windows with the same values of modality `m`."""
    rows = np.flatnonzero(recordings.present[m])
    flat = np.ascontiguousarray(recordings.signals[m].reshape(len(recordings.subject), -1)[rows])
    _, code, count = np.unique([hash(x.tobytes()) for x in flat], return_inverse=True, return_counts=True)
    groups = np.split(np.argsort(code, kind="stable"), np.cumsum(count)[:-1])
    for own in (own for own in groups if len(own) > 1):
        if len(np.unique(flat[own[0]])) >= FEWEST_VALUES:
            yield rows[own]


def _moments(recordings: Recordings) -> np.ndarray:
    """[N] code of the stimulus and the seconds, or the number of the window, since the trial began."""
    at = recordings.start
    if np.isnan(at).any():
        _, trial, windows = np.unique(recordings.trial, return_inverse=True, return_counts=True)
        at = np.empty(len(trial))
        at[np.argsort(trial, kind="stable")] = np.concatenate([np.arange(n) for n in windows])
    stimulus = np.unique(recordings.stimulus, return_inverse=True)[1]
    times, time = np.unique(at, return_inverse=True)
    return np.unique(stimulus * len(times) + time, return_inverse=True)[1]
