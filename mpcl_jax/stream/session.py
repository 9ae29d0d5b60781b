"""A stream of samples and self-reports to one distribution per hop: `stream`, and `StreamSession` that it uses."""

import bisect
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np

from mpcl_jax.data.tables.arrays import distributions
from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.opened_model import OpenedModel, opened_model
from mpcl_jax.runs.predict import LEAST_WINDOWS
from mpcl_jax.stream.events import Report, Samples, StreamPrediction
from mpcl_jax.stream.memory import TrialMemory
from mpcl_jax.stream.sensors import rows_of_window, sensors_of, stacked
from mpcl_jax.stream.wearer import read_wearer, save_wearer
from mpcl_jax.stream.windows import Cut, WindowCutter
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataError

Normalise = Literal["auto", "training", "wearer"]
RECALLED = 10  # written trials of a prediction that are named
Predictions = list[tuple[float, StreamPrediction]]


class StreamSession:
    """The push form of `mpcl_jax.stream`: `push` takes what arrives and returns the predictions that became due.

    Args:
        model: a fitted `MPCLRegressor`, or the folder of a saved model or finished run.
        window: seconds of a window; default: that of the training data, where the model knows it.
        hop: seconds from window to window; default: half a window.
        rates: sensor -> Hz, by the names of the model's modalities; the others are absent. Default:
            those that the model was fitted with.
        kinds: sensor -> kind of signal (`mpcl.features.KINDS`); default: guessed from the name.
        memory: `.npz` file with the state of the wearer. It is read where it exists and written after each report and
            at the end.
        normalise: "training" uses the statistics of the training data, "wearer" those of the wearer's own windows so
            far, from the tenth on. "auto" is "training", but "wearer" for a model that standardises each subject.
        lateness: seconds that a sample may come after newer ones.
        start: time at which the first window begins; default: the first sample.
        report_seconds: a report describes at most so many seconds before it.

    Raises DataError that names argument, sensor or file.
    """

    def __init__(
        self,
        model: Any,
        *,
        window: float | None = None,
        hop: float | None = None,
        rates: Mapping[str, float] | None = None,
        kinds: Mapping[str, str] | None = None,
        memory: str | os.PathLike | None = None,
        normalise: Normalise = "auto",
        lateness: float = 1.0,
        start: float | None = None,
        report_seconds: float = 600.0,
    ):
        """See the class."""
        self._model = model if isinstance(model, OpenedModel) else opened_model(model)
        window = self._model.window if window is None else window
        if window is None:
            raise DataError("window", "is not known to the model; give the seconds of a window")
        self.window = _seconds("window", window)
        self.hop = self.window / 2 if hop is None else _seconds("hop", hop)
        _seconds("report_seconds", report_seconds)
        self.emotions = self._model.models[0].spec.emotions
        shapes = self._model.models[0].spec.shapes
        self._sensors = sensors_of(
            shapes,
            {**self._model.rates, **(rates or {})},
            {**self._model.kinds, **(kinds or {})},
            self.window,
        )
        self.sensors = tuple(self._sensors)
        self.channels = {m: sensor.channels for m, sensor in self._sensors.items()}
        lateness = _seconds("lateness", lateness, least=-1e-9)
        start = None if start is None else _seconds("start", start, least=-math.inf)
        self._cutter = WindowCutter(self._sensors, self.window, self.hop, lateness, start)
        self._running = _running(normalise, self._model)
        self._file = None if memory is None else user_path(memory)
        self._wearer = read_wearer(self._file, self._model)
        self._trials = TrialMemory(self._wearer.memories, self._model.reason, report_seconds)
        self._reports: list[Report] = []  # that are not written yet, in the order of time
        self._said: set[str] = set()
        self._notes: list[str] = []
        self._first: list[prediction.Rows] | None = []  # windows whose range is checked once
        self._end = -math.inf  # of the last window
        self._origin: float | None = None  # beginning of the first window
        self._closed = False

    @property
    def written_trials(self) -> tuple[str, ...]:
        """Names of the reports in the personal memory."""
        return self._trials.names

    def push(self, event: Samples | Report) -> Predictions:
        """Takes one chunk or report and returns (t, prediction) of every window that is closed by it.

        Raises DataError for anything else, for a wrong shape and for a report that is no distribution.
        """
        if isinstance(event, Report):
            bisect.insort(self._reports, self._checked(event), key=lambda report: report.time)
        elif isinstance(event, Samples):
            self._cutter.put(event)
        else:
            raise DataError("source", f"gave {type(event).__name__}; wanted Samples or Report")
        return self._advance(final=False)

    def close(self) -> Predictions:
        """The predictions of the last windows; writes the file of the wearer. More calls do nothing."""
        if self._closed:
            return []
        self._closed = True
        found = self._advance(final=True)
        while self._reports:
            self._write(self._reports.pop(0))
        self._save()
        return found

    def take_notes(self) -> tuple[str, ...]:
        """The notes that no prediction holds yet, for example after `close`."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def _advance(self, final: bool) -> Predictions:
        """Closed windows and due reports in the order of time; a report at the end of a window comes after it."""
        found = []
        while True:
            cut = self._cutter.cut(final)
            for note in self._cutter.take_notes():
                self._say(note)
            end = cut.end if cut else self._cutter.next_end
            while self._reports and end is not None and self._reports[0].time < end:
                self._write(self._reports.pop(0))
            if cut is None:
                return found
            predicted = self._predict(cut)
            if predicted is not None:
                found.append((cut.end, predicted))

    def _predict(self, cut: Cut) -> StreamPrediction | None:
        """The prediction of a window; None, with a note, where it holds nothing to predict from."""
        self._origin = cut.begin if self._origin is None else self._origin
        at = f"the window that ends {cut.end - self._origin:.0f} s after the beginning"
        for m in self.sensors:
            self._say_once(m in cut.vanished, m, f"{m}: no samples in {at}; absent")
        rows, texts = rows_of_window(self._sensors, cut.samples, self.window)
        for text in texts:
            self._say(text)
        present = [m for m, here in rows.present.items() if here[0]]
        nothing = not present
        self._say_once(nothing, "nothing", f"no sensor is usable in {at}; not predicted")
        if nothing:
            return None
        self._check_range(rows)
        models, covered = self._model.models, 0.0
        if self._running:
            self._wearer = self._wearer.with_window(rows, min(self.window, cut.end - self._end))
            if self._wearer.knows(rows):
                models, covered = [self._wearer.normalising(m) for m in models], self._wearer.seconds
            elif models[0].per_subject:
                self._say(
                    f"the model standardises each subject: it predicts after {LEAST_WINDOWS} windows of a sensor"
                )
                return None
        self._end = cut.end
        try:
            shares, recalled = self._trials.predict(models, rows, cut.begin, cut.end)
        except DataError as error:
            self._say_once(True, "refused", f"a window was not predicted: {error.reason}")
            return None
        spec = self._model.models[0].spec
        sensors = {m: "present" if m in present else "absent" for m in spec.shapes}
        return StreamPrediction(
            shares.astype(np.float32), self.emotions, sensors, recalled[:RECALLED], covered, self.take_notes()
        )

    def _check_range(self, rows: prediction.Rows) -> None:
        """Says which typical values of the first windows lie far outside the training range."""
        if self._first is None or self._model.ranges is None:
            return
        self._first.append(rows)
        if len(self._first) == LEAST_WINDOWS:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                prediction.warn_out_of_range(stacked(self._first), self._model.ranges, {})
            for warning in caught:
                self._say(str(warning.message).replace("in row", "in window", 1))
            self._first = None

    def _checked(self, report: Report) -> Report:
        """The report as shares that sum to 1, as the windows of a data set hold them."""
        label, count = np.asarray(report.label, np.float64), len(self.emotions)
        if label.shape != (count,):
            raise DataError("report", f"has shape {label.shape}; wanted {count} numbers: {self.emotions}")
        if not np.isfinite(report.time):
            raise DataError("report", f"has the time {report.time}; wanted seconds")
        if abs(label.sum() - 1) > 1e-6:
            label = distributions(label[None], name="report")[0]
        return Report(float(report.time), label.astype(np.float32))

    def _write(self, report: Report) -> None:
        if refused := self._trials.write(report):
            self._say(refused)
        self._wearer = self._wearer._replace(memories=self._trials.memories)
        self._save()

    def _save(self) -> None:
        if self._file is not None:
            save_wearer(self._file, self._wearer, self._model)

    def _say(self, text: str) -> None:
        self._say_once(True, text, text)

    def _say_once(self, holds: bool, key: str, text: str) -> None:
        """Adds a note where something begins to hold; it is said again only after it has ended."""
        if holds and key not in self._said:
            self._notes.append(text)
        (self._said.add if holds else self._said.discard)(key)


def stream(
    model: Any,
    source: Iterable[Samples | Report],
    **options: Any,
) -> Iterator[tuple[float, StreamPrediction]]:
    """One distribution per hop, from the samples of sensors as they arrive: yields (t, prediction)::

        from mpcl_jax.stream import sources

        for t, p in mpcl.stream(model, sources.replay(signals, rates), hop=5):
            print(t, dict(zip(p.emotions, p.distribution)))

    Args:
        model: a fitted `MPCLRegressor`, or the folder of a saved model or finished run.
        source: any iterable of `Samples` and `Report` objects, in the order of arrival. `source.rates` is the default
            of `rates`.
        options: those of `StreamSession`.

    t is the end of a window, in seconds on the clock of the samples. The features are those of
    `mpcl.features.extract`, the shares those of `predict` for 2 to 1023 windows, to the last digit of float32. A
    window without any usable sensor is not predicted. Raises DataError that names argument, sensor or file.
    """
    options["rates"] = options.get("rates") or getattr(source, "rates", None)
    session = StreamSession(model, **options)
    try:
        for event in source:
            yield from session.push(event)
        yield from session.close()
    finally:
        session.close()


def _seconds(name: str, value: Any, least: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not least < value < math.inf:
        raise DataError(name, f"is {value!r}; wanted a number of seconds")
    return float(value)


def _running(normalise: str, model: OpenedModel) -> bool:
    if normalise not in ("auto", "training", "wearer"):
        raise DataError("normalise", f"is {normalise!r}; wanted 'auto', 'training' or 'wearer'")
    per_subject = model.models[0].per_subject
    if normalise == "training" and per_subject:
        reason = "needs the statistics of its training data, but the model standardises each subject"
        raise DataError("normalise='training'", f"{reason}; use 'auto'")
    return normalise == "wearer" or (normalise == "auto" and per_subject)
