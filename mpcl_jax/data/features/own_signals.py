"""Features of raw signals that users bring: `extract` for a recording, `of_windows` for windows that are already cut.

The numbers come from `cardiac.py` and `features.py`, which also make the features of WESAD. This file decides the
kind of a signal, checks it, and lays the windows of signals with different rates over the same seconds.
"""

import re
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.features import cardiac, features
from mpcl_jax.data.features.windows import Kind, constant, describe
from mpcl_jax.types import LARGEST_VALUE, DataError

RATES = (1e-3, 1e5)  # Hz, the lowest and the highest that are accepted
LONGEST = 1e13  # seconds
LEAST_SAMPLES = 4  # of a window


class Features(NamedTuple):
    """The features of W windows of one recording; m is a modality, F_m its number of features."""

    values: dict[str, np.ndarray]  # m -> [W, F_m] float32, NaN where a window does not support a feature
    quality: dict[str, np.ndarray]  # m -> [W] float32 in [0, 1], 0 where the modality is absent
    present: dict[str, np.ndarray]  # m -> [W] bool, False where no feature could be computed
    names: dict[str, tuple[str, ...]]  # m -> F_m names
    start: np.ndarray  # [W] float64 seconds at which the windows begin
    kinds: dict[str, str]  # m -> the kind of signal it was taken for


class Accepted(NamedTuple):
    """What a signal of one kind has to be."""

    kind: Kind
    unit: str
    words: str  # regular expression of the words in a modality's name from which the kind is guessed
    least_rate: float = RATES[0]  # Hz
    least_seconds: float = 0.0  # the shortest window
    axes: int = 1  # channels that are described together


# In the order of guessing. Numbers that were derived from a signal (heart rate, intervals) come first.
ACCEPTED = {
    "generic": Accepted(features.GENERIC, "any", r"hrv?|ibi|rri?|bpm|rate"),
    "eda": Accepted(
        features.CONDUCTANCE,
        "microsiemens, above 0",
        r"eda|gsr|sc[lr]?|electroderm\w*|(skin ?)?conductance",
        1.0,
        5.0,
    ),
    "bvp": Accepted(cardiac.PULSE, "any", r"bvp|ppg|pulse|\w*plethysm\w*", 20.0, 5.0),
    "ecg": Accepted(cardiac.ECG, "any", r"ecg|ekg|electrocardio\w*", 100.0, 5.0),
    "resp": Accepted(features.BREATHING, "any", r"resp|rsp|respirat\w*|breath\w*", 4.0, 5.0),
    "temp": Accepted(features.TEMPERATURE, "°C, 15 to 45", r"temp|skt|temperature|thermo\w*", 0.1, 1.0),
    "emg": Accepted(features.MUSCLE, "millivolts", r"emg|electromyo\w*", 200.0, 3.0),
    # Only zeros mean that the sensor is off: unlike WESAD, some devices subtract gravity.
    "acc": Accepted(
        features.MOTION._replace(off=constant), "g or m/s²", r"acc|accel\w*|imu|motion", 10.0, 1.0, axes=3
    ),
    "eeg": Accepted(features.EEG, "microvolts", r"eeg|electroenceph\w*", 100.0, 1.0),
}
KINDS = tuple(ACCEPTED)


class _Signal(NamedTuple):
    """A checked signal, or many windows of one."""

    key: str  # its name in messages
    x: np.ndarray  # [..., channels] float64, NaN where a sample is lost
    rate: float  # Hz
    kind: str
    size: int  # samples of a window


def guess_kind(modality: str) -> str:
    """The kind that the words of a modality's name suggest: "wristEDA" and "skin_conductance" are "eda".

    Names of derived numbers ("hr", "ibi", "resp_rate") and unknown names are "generic".
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", str(modality))
    text = " ".join(words).lower()
    return next((kind for kind, of in ACCEPTED.items() if re.search(rf"\b({of.words})\b", text)), "generic")


def names(kind: str, channels: int = 1) -> tuple[str, ...]:
    """The F names of the features of a kind, in the order of `values`.

    Several channels are described one by one, and their names begin with `ch0_`, `ch1_`, ...; the three axes of "acc"
    are described together. Raises DataError for an unknown kind or fewer than one channel.
    """
    accepted = _accepted("kind", kind)
    if not isinstance(channels, int | np.integer) or channels < 1:
        raise DataError("channels", f"is {channels!r}; wanted a whole number, at least 1")
    if channels == 1 or accepted.axes > 1:
        return accepted.kind.names
    return tuple(f"ch{channel}_{name}" for channel in range(channels) for name in accepted.kind.names)


def extract(
    signals: Mapping[str, Any],
    rates: Mapping[str, float] | float,
    window: float,
    step: float | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    start: float = 0.0,
) -> Features:
    """Features of windows of `window` seconds that begin every `step` seconds (default: `window`)::

        found = mpcl.features.extract({"eda": eda, "bvp": bvp}, {"eda": 4, "bvp": 64}, window=60, step=30)
        found.values["eda"]  # [windows, features]

    `signals`: modality -> [n] or [n, channels], one uninterrupted recording whose modalities begin at the same time,
    at `start` seconds. `rates`: modality -> samples per second, or one number for all. `kinds`: modality -> one of
    `KINDS`, where the guess from the name (`guess_kind`) is wrong. Entries of `rates` and `kinds` for other
    modalities are ignored. docs/features.md has the unit, the lowest rate and the shortest window of each kind.

    All windows lie at the same seconds for all modalities; a modality that ends early is absent from later windows.
    A sample is lost if it is NaN, infinite, beyond ±1e30 or outside the range of its unit. A window that lost at most
    half of its samples is interpolated, which lowers its quality. With more lost samples the modality is absent, and
    also where its sensor was off: constant values, except of "temp" and "generic" (of "acc": the same on all axes).

    Raises DataError naming the modality: unknown kind, no or too low a rate, wrong shape, a window that is too short
    for the kind or longer than the recording. Warns (UserWarning) if no sample is inside the range of its unit.
    """
    window = _number("window", window)
    step = window if step is None else _number("step", step)
    start = _number("start", start, least=-LONGEST)
    checked = _recording(signals, rates, kinds, window)
    fastest = max(signal.rate for signal in checked.values())
    if step * fastest < 1:
        raise DataError("step", f"{step:g} s is shorter than one sample at {fastest:g} Hz; set it higher")
    cuts = {m: _starts(signal, step) for m, signal in checked.items()}
    count = max(map(len, cuts.values()))
    if not count:
        lengths = ", ".join(f"{m} {len(signal.x) / signal.rate:g} s" for m, signal in checked.items())
        raise DataError("signals", f"last less than a window of {window:g} s ({lengths}); set window lower")
    rows = {m: _described(signal, cuts[m], count) for m, signal in checked.items()}
    return Features(
        values={m: values for m, (values, _) in rows.items()},
        quality={m: quality for m, (_, quality) in rows.items()},
        present={m: np.isfinite(values).any(1) for m, (values, _) in rows.items()},
        names={m: names(signal.kind, signal.x.shape[-1]) for m, signal in checked.items()},
        start=start + step * np.arange(count),
        kinds={m: signal.kind for m, signal in checked.items()},
    )


def of_windows(
    x: Any, rate: float, kind: str, *, name: str = "x"
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Features of the windows x [N, T] or [N, T, channels] of T samples at `rate` Hz, each row one window.

    Returns values [N, F] float32, NaN where a window does not support a feature (all NaN where the signal is
    absent), quality [N] float32 in [0, 1], and the F names. Numbers, lost samples, errors and warnings are those of
    `extract`; `name` is what the messages call the array.
    """
    signal = _checked(name, x, rate, kind)
    count, size, channels = signal.x.shape
    flat = signal._replace(x=signal.x.reshape(count * size, channels))
    return *_described(flat, size * np.arange(count), count), names(kind, channels)


def _recording(signals: Any, rates: Any, kinds: Any, window: float) -> dict[str, _Signal]:
    """The checked signals of one recording by modality, for windows of `window` seconds."""
    if not isinstance(kinds, Mapping | None):
        raise DataError("kinds", f"is {kinds!r}; wanted a dict modality -> one of {', '.join(KINDS)}")
    if not isinstance(signals, Mapping) or not signals:
        raise DataError("signals", "is not a dict with at least one modality; wanted {'eda': samples, ...}")
    checked = {}
    for m, x in signals.items():
        key, rate = f"signals[{m!r}]", rates.get(m) if isinstance(rates, Mapping) else rates
        if rate is None:
            raise DataError(key, f"has no rate; add rates[{m!r}], its samples per second")
        checked[m] = _checked(key, x, rate, (kinds or {}).get(m) or guess_kind(m), window)
    return checked


def _checked(key: str, x: Any, rate: Any, kind: str, window: float | None = None) -> _Signal:
    """One recording x [n(, channels)], or windows x [N, T(, channels)] where `window` (seconds) is None."""
    accepted = _accepted(key, kind)
    leading = ("samples",) if window else ("windows", "samples")
    try:
        x = np.asarray(x)
        x = x.astype(np.float64, casting="unsafe" if x.dtype.kind == "O" else "same_kind")
    except (TypeError, ValueError) as error:
        raise DataError(key, f"does not hold real numbers; wanted [{', '.join(leading)}]") from error
    if x.ndim == len(leading):
        x = x[..., None]
    if x.ndim != len(leading) + 1 or not x.shape[-1]:
        wanted = ", ".join(leading)
        raise DataError(key, f"has shape {x.shape}; wanted [{wanted}] or [{wanted}, channels]")
    generic = f"or choose the kind 'generic' instead of {kind!r}"
    if accepted.axes > 1 and x.shape[-1] != accepted.axes:
        what = f"has {x.shape[-1]} channels; the kind {kind!r} needs the {accepted.axes} axes x, y, z"
        raise DataError(key, f"{what}; pass these alone, {generic}")
    if not _is_number(rate) or not RATES[0] <= rate <= RATES[1]:
        raise DataError(key, f"has the rate {rate!r}; wanted {RATES[0]:g} to {RATES[1]:g} samples per second")
    if rate < accepted.least_rate:
        what = (
            f"{rate:g} Hz is too low for the kind {kind!r}, which needs at least {accepted.least_rate:g} Hz"
        )
        raise DataError(key, f"{what}; use a faster signal, {generic}")
    window = window or x.shape[1] / rate
    shortest = max(accepted.least_seconds, LEAST_SAMPLES / rate)
    if window < shortest:
        what = f"windows of {window:g} s are too short for the kind {kind!r} at {rate:g} Hz"
        raise DataError(key, f"{what}; it needs at least {shortest:g} s")
    lost = ~(np.abs(x) <= LARGEST_VALUE)
    return _Signal(key, np.where(lost, np.nan, x), float(rate), kind, round(window * rate))


def _accepted(key: str, kind: str) -> Accepted:
    if not isinstance(kind, str) or kind not in ACCEPTED:
        raise DataError(key, f"has the unknown kind {kind!r}; known: {', '.join(KINDS)}")
    return ACCEPTED[kind]


def _number(key: str, value: Any, least: float = 0.0) -> float:
    if not _is_number(value) or not least < value <= LONGEST:
        raise DataError(key, f"is {value!r}; wanted a number of seconds{' above 0' if least == 0 else ''}")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(value))


def _starts(signal: _Signal, step: float) -> np.ndarray:
    """The first samples [w] of the windows of a recording that begin every `step` seconds and end inside it."""
    most = max(0, len(signal.x) - signal.size) / (step * signal.rate)
    starts = np.rint(np.arange(int(most) + 2) * (step * signal.rate)).astype(int)
    return starts[starts + signal.size <= len(signal.x)]


def _described(signal: _Signal, starts: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Values [count, F] and quality [count] of the windows that begin at `starts` [w]; later ones are absent."""
    accepted = ACCEPTED[signal.kind]
    columns = [signal.x] if accepted.axes > 1 else signal.x.T
    seconds = signal.size / signal.rate
    with np.errstate(all="ignore"):  # what is not finite becomes NaN and lowers the quality
        parts = [describe(accepted.kind, column, signal.rate, starts, seconds) for column in columns]
        varies = np.nanmax(signal.x, initial=-np.inf) > np.nanmin(signal.x, initial=np.inf)
        impossible = varies and not np.isfinite(accepted.kind.clean(signal.x)).any()
    if impossible:
        what = f"no sample can be of the kind {signal.kind!r} ({accepted.unit}), so it is absent everywhere"
        warnings.warn(f"{signal.key}: {what}; convert it, or choose the kind 'generic'", stacklevel=3)
    values = np.full((count, sum(part.values.shape[1] for part in parts)), np.nan, np.float32)
    values[: len(starts)] = np.concatenate([part.values for part in parts], 1)
    quality = np.zeros(count, np.float32)
    quality[: len(starts)] = np.mean([part.quality for part in parts], 0)
    return values, quality
