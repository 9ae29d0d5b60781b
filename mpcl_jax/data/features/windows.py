"""From a recorded signal to one row of numbers a window.

The features are in `cardiac.py` and `features.py`; this file holds what they share. One fixed rule, made without
labels, decides which features there are: each sensor gives a few series (the length of heart beats, the level of
skin conductance, each axis of acceleration), and each series the same five `STATISTICS`. No feature was added or
removed because of a score. A feature that a window does not support is NaN and lowers the quality of the window;
normalisation replaces it (`normalise.py`).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded on first use

# Of the numbers made by cardiac.py and features.py; raised with each change, so that caches are computed again.
VERSION = 2
# Of every series: its median (a lost beat moves a mean), standard deviation, tenth and ninetieth percentile, and
# slope per minute.
STATISTICS = ("median", "sd", "low", "high", "slope")
LEAST_GOOD = 0.5  # share of samples that must be there for a window to count as present


class Described(NamedTuple):
    """One window of one signal, or N of them with one more axis in front."""

    values: np.ndarray  # [F] float64, NaN where a feature cannot be computed
    quality: float | np.ndarray  # in [0, 1]
    present: bool | np.ndarray  # False: the sensor measured nothing in this window


def constant(x: np.ndarray) -> bool:
    """Whether a window x [n] holds one value: the sensor is off."""
    return bool(np.ptp(x) == 0)


class Kind(NamedTuple):
    """A kind of signal: the names of its features, and how to get them from one window."""

    names: tuple[str, ...]  # F names
    # (x [n] or [n, axes] without lost samples, its rate in Hz) -> features by name, and quality in [0, 1]
    measure: Callable[[np.ndarray, float], tuple[dict[str, float], float]]
    # The window with NaN where a sample cannot be right.
    clean: Callable[[np.ndarray], np.ndarray] = np.asarray
    off: Callable[[np.ndarray], bool] = constant  # whether the sensor measured nothing


def describe(
    kind: Kind, x: np.ndarray, rate: float, starts: np.ndarray, seconds: float, unit: float = 1.0
) -> Described:
    """Features of the windows of `unit` * x [n, ...] that begin at `starts` (samples) and last `seconds`."""
    size = round(seconds * rate)
    rows = [describe_window(kind, x[a : a + size] * unit, rate) for a in starts]
    return Described(
        np.array([r.values for r in rows]).reshape(len(rows), len(kind.names)),
        np.array([r.quality for r in rows], np.float64),
        np.array([r.present for r in rows], bool),
    )


def describe_window(kind: Kind, x: np.ndarray, rate: float) -> Described:
    """One window, x [n] or [n, axes] with NaN where a sample is lost; absent where the sensor measured nothing."""
    x, good = repair(kind.clean(x))
    if good < LEAST_GOOD or kind.off(x):
        return Described(np.full(len(kind.names), np.nan), 0.0, False)
    measured, quality = kind.measure(x, rate)
    values = np.array([measured.get(name, np.nan) for name in kind.names], np.float64)
    known = np.isfinite(values)
    quality = good * quality * known.mean()  # a value that could not be computed costs quality
    return Described(np.where(known, values, np.nan), float(np.clip(quality, 0, 1)), True)


def repair(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Lost samples of x [n] or [n, axes] by linear interpolation, and the share in [0, 1] of good ones.

    A sample is lost if any of its axes is not finite. All lost: zeros and 0.
    """
    columns = x.reshape(len(x), -1).astype(np.float64)
    good = np.isfinite(columns).all(1)
    if not good.any():
        return np.zeros(x.shape), 0.0
    if not good.all():
        at = np.arange(len(x))
        columns = np.stack([np.interp(at, at[good], c[good]) for c in columns.T], 1)
    return columns.reshape(x.shape), float(good.mean())


def statistics(name: str, x: np.ndarray, seconds: np.ndarray) -> dict[str, float]:
    """The STATISTICS of the series x [n] measured at `seconds` [n]; nothing for fewer than two different times.

    Keys are "<name>_<statistic>"; the unit is that of x, of the slope that of x per minute.
    """
    t = seconds - seconds.mean() if len(x) else seconds
    if len(x) < 2 or not t.any():
        return {}
    low, median, high = np.percentile(x, (10, 50, 90))
    values = (median, x.std(), low, high, 60 * (t @ x) / (t @ t))
    return {f"{name}_{of}": float(value) for of, value in zip(STATISTICS, values, strict=True)}


def names_of(*series: str) -> tuple[str, ...]:
    """The names of the STATISTICS of these series, as `statistics` gives them."""
    return tuple(f"{name}_{of}" for name in series for of in STATISTICS)


def series(rate: float, **named: np.ndarray) -> dict[str, float]:
    """The STATISTICS of the series [n], each sampled at `rate` Hz, by name."""
    values = {}
    for name, x in named.items():
        values |= statistics(name, x, np.arange(len(x)) / rate)
    return values


def block_mean(x: np.ndarray, size: int) -> np.ndarray:
    """Means of x [n, ...] over consecutive blocks of `size` samples; an incomplete last block is left out."""
    n = len(x) // size
    return x[: n * size].reshape(n, size, *x.shape[1:]).mean(1)


def slower(x: np.ndarray, rate: float, wanted: float) -> tuple[np.ndarray, float]:
    """x [n, ...] averaged over blocks to about `wanted` Hz, and its new rate. A slower x stays as it is."""
    size = max(1, round(rate / wanted))
    return block_mean(x, size), rate / size


def band_pass(x: np.ndarray, low: float, high: float, rate: float) -> np.ndarray:
    """x [n, ...] between `low` and `high` Hz, or up to 90 % of what `rate` can hold; no delay."""
    return scipy.signal.sosfiltfilt(_sections(low, min(high, 0.45 * rate), rate), x, axis=0)


@functools.lru_cache(maxsize=64)
def _sections(low: float, high: float, rate: float) -> np.ndarray:
    """Second-order Butterworth band pass as second-order sections."""
    return scipy.signal.butter(2, (low, high), btype="bandpass", fs=rate, output="sos")
