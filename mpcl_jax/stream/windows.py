"""Samples in the order of arrival to windows in the order of time."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.features.own_signals import LONGEST
from mpcl_jax.stream.buffer import SensorBuffer
from mpcl_jax.stream.events import Samples
from mpcl_jax.stream.sensors import Sensor
from mpcl_jax.types import DataError


class Cut(NamedTuple):
    """One window, which is closed: later samples do not change it."""

    begin: float  # seconds, on the clock of the samples
    end: float
    samples: dict[str, np.ndarray]  # sensor -> [size, channels] float64, NaN where a sample is lost
    vanished: tuple[str, ...]  # sensors that sent no sample up to its end


class WindowCutter:
    """Window k begins k * hop seconds after the start, the time of the first sample of any sensor.

    A window is closed as soon as all its samples are there. Where some are missing, it is closed when their sensor is
    `lateness` seconds past its end, or has sent nothing for `lateness` plus the longest chunk so far.
    """

    def __init__(
        self, sensors: Mapping[str, Sensor], window: float, hop: float, lateness: float, start: float | None
    ):
        """All in seconds; `start`: time of the first window, None for that of the first sample."""
        self.window, self.hop, self.lateness, self.start = window, hop, lateness, start
        self.buffers = {m: SensorBuffer(s.rate, s.size, s.channels) for m, s in sensors.items()}
        self.newest: dict[str, float] = {}  # sensor -> time of its newest sample
        self.chunk = 0.0  # seconds, of the longest chunk so far
        self.notes: list[str] = []  # what went wrong since the last call of `take_notes`
        self._number = 0  # of the next window
        self._early: list[Samples] = []  # until the start is known
        self._ahead: list[Samples] = []  # whose time stamp is far ahead of all others

    @property
    def next_end(self) -> float | None:
        """Seconds at which the next window ends; None before the first sample."""
        return None if self.start is None else self.start + self._number * self.hop + self.window

    def put(self, samples: Samples) -> None:
        """Takes one chunk; what cannot be used is left out with a note. Raises DataError for a wrong shape."""
        name = samples.sensor
        if name not in self.buffers:
            self.notes.append(f"{name}: is no sensor of this stream ({', '.join(self.buffers)}); left out")
            return
        if not np.size(samples.times):
            return
        times, values = _checked(samples, self.buffers[name].channels)
        usable = np.abs(times) <= LONGEST  # False for NaN
        if not usable.all():
            self.notes.append(f"{name}: samples without a time were left out")
            times, values = times[usable], values[usable]
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        # A jump of the time stamps begins a chunk of its own.
        borders = np.flatnonzero(np.diff(times) > self._far) + 1
        for t, x in zip(np.split(times, borders), np.split(values, borders), strict=True):
            if len(t):
                self._put(Samples(name, t, x))

    @property
    def _far(self) -> float:
        """A gap of so many seconds may be a wrong time stamp."""
        return self.window + self.lateness + self.chunk

    def _put(self, samples: Samples) -> None:
        """A jump ahead counts from the second chunk on: one wrong time stamp must not close all windows before it."""
        if self.newest and samples.times[0] > max(self.newest.values()) + self._far:
            self._ahead.append(samples)
            if len(self._ahead) < 2:
                return
        elif self._ahead:
            self.notes.append(
                f"{self._ahead[0].sensor}: samples far ahead of all others were left out; check its clock"
            )
            self._ahead = []
        chunks, self._ahead = self._ahead or [samples], []
        for chunk in chunks:
            self._take(chunk)

    def _take(self, samples: Samples) -> None:
        self.chunk = max(self.chunk, float(samples.times[-1] - samples.times[0]))
        newest = self.newest.get(samples.sensor, -np.inf)
        self.newest[samples.sensor] = max(newest, float(samples.times[-1]))
        if self.start is None:
            self._early.append(samples)
        else:
            self._fill(samples)

    def _fill(self, samples: Samples) -> None:
        buffer = self.buffers[samples.sensor]
        late = buffer.put(samples.times - self.start, samples.values)
        if late and buffer.first:
            self.notes.append(
                f"{samples.sensor}: samples came after their window was closed and were left out; "
                "a higher lateness waits longer"
            )

    def _find_start(self, final: bool) -> None:
        """The start is known when no earlier sample can come."""
        if not self._early:
            return
        first = min(float(chunk.times[0]) for chunk in self._early)
        newest = max(self.newest.values())
        waiting = any(
            self.newest.get(m, first) < first + self.lateness and not self._is_silent(m, newest, first)
            for m in self.buffers
        )
        if final or (newest > first + self.lateness and not waiting):
            self.start = first
            for chunk in self._early:
                self._fill(chunk)
            self._early = []

    def _is_silent(self, m: str, newest: float, since: float) -> bool:
        """Whether the sensor sends nothing any more, where the newest sample of all is at `newest`."""
        behind = newest - self.newest.get(m, since)
        return behind > self.lateness + self.chunk + 1 / self.buffers[m].rate

    def _first_slot(self, m: str) -> int:
        return int(np.rint(self._number * (self.hop * self.buffers[m].rate)))  # as `features.extract`

    def cut(self, final: bool = False) -> Cut | None:
        """The next window that is closed; None where there is none. `final`: no more samples will come."""
        if final and self._ahead:
            self._take(self._ahead.pop())
        if self.start is None:
            self._find_start(final)
        if self.start is None or not self.newest:
            return None
        if not any(map(self._held, self.buffers)):
            self._skip_gap()
        reached = [m for m, b in self.buffers.items() if b.last >= self._first_slot(m) + b.size - 1]
        if not reached or not (final or all(map(self._is_closed, self.buffers))):
            return None
        begin, end = self.start + self._number * self.hop, self.next_end
        samples = {m: b.window(self._first_slot(m)) for m, b in self.buffers.items()}
        vanished = tuple(m for m in self.buffers if m not in reached)
        self._number += 1
        for m, buffer in self.buffers.items():
            buffer.drop_before(self._first_slot(m))
        return Cut(begin, end, samples, vanished)

    def _held(self, m: str) -> int:
        return self.buffers[m].held(self._first_slot(m))

    def _skip_gap(self) -> None:
        """Goes on with the first window that holds a sample; all before it are empty."""
        later = [b.slots[0] / b.rate for b in self.buffers.values() if len(b.slots)]
        if later:
            self._number = max(self._number, int((min(later) - self.window) / self.hop))

    def _is_closed(self, m: str) -> bool:
        if self._held(m) == self.buffers[m].size:
            return True
        newest = max(self.newest.values())
        reached = self.newest.get(m, self.start) >= self.next_end + self.lateness
        return reached or self._is_silent(m, newest, self.start)

    def take_notes(self) -> list[str]:
        """The notes since the last call."""
        notes, self.notes = self.notes, []
        return notes


def _checked(samples: Samples, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Times [n] and values [n, channels], float64."""
    try:
        times, values = np.asarray(samples.times, np.float64), np.asarray(samples.values, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"samples of {samples.sensor}", "hold no numbers; wanted times and values") from None
    values = values[:, None] if values.ndim == 1 else values
    if times.ndim != 1 or values.shape != (len(times), channels):
        wanted = f"{(len(times), channels)}, one row per time stamp and one column per channel"
        raise DataError(f"samples of {samples.sensor}", f"have shape {values.shape}; wanted {wanted}")
    return times, values
