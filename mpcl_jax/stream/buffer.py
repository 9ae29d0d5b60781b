"""The samples of one sensor that a window may still need, each in its slot of the nominal rate."""

import numpy as np


class SensorBuffer:
    """Slots of one sensor, in the order of time. Slot i is at i / rate seconds after the start of the stream.

    A sample goes into the slot nearest to its time stamp. A slot keeps its first sample: a second one is a duplicate,
    or the clock of the sensor is faster than its nominal rate. A slot without a sample is lost.
    """

    def __init__(self, rate: float, size: int, channels: int):
        """`rate` in Hz; `size`: slots of a window."""
        self.rate, self.size, self.channels = rate, size, channels
        self.slots = np.empty(0, np.int64)  # filled ones, ascending
        self.values = np.empty((0, channels))
        self.first = 0  # earlier slots are of closed windows

    @property
    def last(self) -> int:
        """The newest filled slot, -1 without any; also of samples that were dropped since."""
        return int(self.slots[-1]) if len(self.slots) else self.first - 1

    def put(self, seconds: np.ndarray, values: np.ndarray) -> int:
        """Adds n samples at `seconds` since the start; returns how many came after their window was closed."""
        slots = np.rint(seconds * self.rate).astype(np.int64)
        late = slots < self.first
        slots, values = slots[~late], values[~late]
        if len(slots) and (slots[0] <= self.last or (np.diff(slots) <= 0).any()):
            slots = np.concatenate([self.slots, slots])
            values = np.concatenate([self.values, values])
            self.slots, kept = np.unique(slots, return_index=True)  # the first of equal ones
            self.values = values[kept]
        elif len(slots):
            self.slots, self.values = np.append(self.slots, slots), np.append(self.values, values, axis=0)
        return int(late.sum())

    def held(self, first: int) -> int:
        """How many slots of the window that begins at slot `first` are filled."""
        begin, end = np.searchsorted(self.slots, (first, first + self.size))
        return int(end - begin)

    def window(self, first: int) -> np.ndarray:
        """The window [size, channels] that begins at slot `first`, NaN where a slot is lost.

        All NaN where the sensor has not reached the end of the window: what follows its last sample is not known.
        """
        x = np.full((self.size, self.channels), np.nan)
        if self.last >= first + self.size - 1:
            begin, end = np.searchsorted(self.slots, (first, first + self.size))
            x[self.slots[begin:end] - first] = self.values[begin:end]
        return x

    def drop_before(self, first: int) -> None:
        """Forgets the slots before `first`."""
        kept = np.searchsorted(self.slots, first)
        self.slots, self.values = self.slots[kept:].copy(), self.values[kept:].copy()
        self.first = max(self.first, first)
