"""The reports of a wearer, written into the personal memory as the trials of the protocol `sequential`."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories, Seen, adapted, seen_by, write
from mpcl_jax.model.outputs import MPCLOutput
from mpcl_jax.runs.predict import FinishedModel
from mpcl_jax.stream.events import Report
from mpcl_jax.stream.sensors import stacked
from mpcl_jax.types import DataError

ROUNDING = 1e-6  # seconds


@dataclasses.dataclass
class Window:
    """One predicted window."""

    begin: float  # seconds
    end: float
    rows: prediction.Rows  # one
    models: Sequence[FinishedModel]  # with the normalisation of that time
    seen: list[Seen] | None = None  # what each model makes of it; computed where the memory needs it


class TrialMemory:
    """A report describes the windows that begin after the report before it and end before it: they are one trial.

    Where there is none, it describes the newest window.
    Windows of a trial recall together, as in the protocol; each with those of the same trial so far.
    """

    def __init__(self, memories: Memories | None, reason: str, longest: float):
        """`memories`: None where the memory is off, for this `reason`. `longest`: seconds of a trial at most."""
        self.memories, self.reason, self.longest = memories, reason, longest
        self._windows: list[Window] = []  # of the last `longest` seconds
        self._last = -np.inf  # time of the last report

    @property
    def names(self) -> tuple[str, ...]:
        """The written trials."""
        return self.memories.trials if self.memories else ()

    def predict(
        self, models: Sequence[FinishedModel], rows: prediction.Rows, begin: float, end: float
    ) -> tuple[np.ndarray, list[tuple[str, float]]]:
        """The shares [C] of a window, and the written trials with their weights, the largest first."""
        window = Window(begin, end, rows, models)
        recalled = []
        if self.names:
            seen = _seen_together([*self._of_trial(end), window] if self._is_new(window) else [window])
            log_probs, weight = adapted(self.memories, seen, np.zeros(len(seen[0].output.log_probs), int))
            shares = prediction.mean_shares(log_probs)[-1]
            if not np.isfinite(shares).all():  # `shares_of` refuses such values by itself
                raise DataError("window", "holds values that are too large for the model; check its units")
            recalled = sorted(zip(self.names, weight[-1].tolist(), strict=True), key=lambda x: -abs(x[1]))
        else:
            mean = np.zeros(len(models[0].spec.emotions))  # of rows without a value
            shares = prediction.shares_of(models, _several([rows]), mean, "error")[0]
        if self.memories is not None:
            self._windows = [w for w in self._windows if w.end > end - self.longest] + [window]
        return shares, recalled

    def write(self, report: Report) -> str:
        """Writes a report of shares [C] that sum to 1; returns why it was not written, or ""."""
        if self.memories is None:
            return f"the personal memory is {self.reason}; reports are not written"
        trial = self._of_trial(report.time) or self._recent(report.time)[-1:]
        if not trial:
            return f"no window ended in the {self.longest:g} s before a report; the report is not written"
        name = f"report {len(self.names) + 1}"
        labels, names = np.tile(report.label, (len(trial), 1)), np.full(len(trial), name)
        self.memories = write(self.memories, _seen_together(trial), labels, names)
        self._last = max(self._last, report.time)
        return ""

    def _is_new(self, window: Window) -> bool:
        """Whether it begins after the last report."""
        return window.begin >= self._last - ROUNDING

    def _of_trial(self, at: float) -> list[Window]:
        """The windows between the last report and `at` seconds."""
        return [w for w in self._recent(at) if self._is_new(w)]

    def _recent(self, at: float) -> list[Window]:
        return [w for w in self._windows if at - self.longest < w.end <= at + ROUNDING]


def _several(rows: list[prediction.Rows]) -> prediction.Rows:
    """Rows of windows, at least two: one alone is predicted by another program, whose last digits may differ."""
    return stacked(rows if len(rows) > 1 else rows * 2)


def _seen_together(windows: Iterable[Window]) -> list[Seen]:
    """What each model makes of n windows, views and log-probabilities [n, ...]."""
    windows = list(windows)
    new = [w for w in windows if w.seen is None]
    for _, group in itertools.groupby(new, key=lambda w: id(w.models)):
        alike = list(group)
        found = seen_by(alike[0].models, _several([w.rows for w in alike]))
        for row, window in enumerate(alike):
            window.seen = [_of_row(x, slice(row, row + 1)) for x in found]
    return jax.tree.map(lambda *x: np.concatenate(x), *[w.seen for w in windows])


def _of_row(seen: Seen, row: slice) -> Seen:
    """What the personal memory reads."""
    others = dict.fromkeys(MPCLOutput._fields)
    output = MPCLOutput(**others | {"log_probs": seen.output.log_probs[row]})
    return Seen(output, None, {view: x[row] for view, x in seen.views.items()})
