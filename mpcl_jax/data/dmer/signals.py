"""DMER's aligned signals (layout A): from `datas.mat` of a subject to features of windows within clips.

The file holds eeg_datas [18 + k, 300 Hz], gsr_datas [1 + k, 4 Hz] and ppg_datas [1 + k, 100 Hz]; one of the k
last rows carries the video id of every sample. k is 1 in the form of the official code and 2 in the Zenodo
release of 2024, where the meaning of the other row is not documented. Each clip was cut from its end to a
whole number of seconds common to all signals.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax.data.dmer.features import streams_of
from mpcl_jax.data.dmer.files import CLIPS, PRACTICE, REST, Clip
from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.types import DataError

BANDS = ((1, 4), (4, 8), (8, 14), (14, 31), (31, 49))  # Hz
FFT_SAMPLES = 256
PULSE_BAND = (0.5, 8.0)  # Hz
LEAST_POWER = 1e-12  # of a flat channel, whose logarithm would be -inf
LEAST_SAMPLES = 4  # of a window of GSR, so that its second difference has a spread


class Recorded(NamedTuple):
    """Where one modality lies in the file."""

    key: str
    channels: int
    rate_key: str
    rate: float  # Hz, where the file has none
    least_rate: float  # Hz, which the features need


class Stream(NamedTuple):
    """One modality of one subject."""

    values: np.ndarray  # [channels, samples]
    videos: np.ndarray  # [samples] video ids
    rate: float  # Hz


KINDS = {
    "eeg": Recorded("eeg_datas", 18, "fs_eeg", 300.0, 2 * BANDS[-1][1]),
    "gsr": Recorded("gsr_datas", 1, "fs_gsr", 4.0, 1.0),
    "ppg": Recorded("ppg_datas", 1, "fs_ppg", 100.0, 2 * PULSE_BAND[1] + 1),
}


def read_signals(folder: Path, window_seconds: float, step_seconds: float) -> list[Clip]:
    """The clips of one subject as features of windows that never leave a clip; rest and practice are dropped.

    EEG [n, 18, 5], GSR [n, 1, 28], PPG [n, 1, 27]; a modality stored as an empty array is left out. Where the
    folder holds videoFea.mat too, a window has the video features of its last second. Raises DataError
    for shapes, rates or video ids that do not fit the description of this module.
    """
    path = folder / "datas.mat"
    data = parse_mat(path, names=tuple(key for kind in KINDS.values() for key in (kind.key, kind.rate_key)))
    streams = {m: stream_of(data, x, path) for m, x in KINDS.items() if data.get(x.key, np.empty(0)).size}
    for m, stream in streams.items():
        if round(window_seconds * stream.rate) < LEAST_SAMPLES:
            wanted = f"at least {LEAST_SAMPLES / stream.rate:g} s of {m}"
            raise DataError(path, f"config.data.dmer.window_seconds = {window_seconds}: wanted {wanted}")
    camera = streams_of(folder / "videoFea.mat") if (folder / "videoFea.mat").is_file() else {}
    clips = []
    for video in range(CLIPS):
        cut, seconds = _cut(streams, video, path)
        start = np.arange(int((seconds - window_seconds) / step_seconds + 1e-6 + 1)) * step_seconds
        if not len(start):
            continue
        clip = Clip(video, {}, {}, start)
        for m, stream in cut.items():
            clip.signals[m], clip.quality[m] = _described(m, stream, start, window_seconds)
        if camera:
            # The features of the last second of each window; clips are aligned at their end.
            values = camera["video"].values[camera["video"].videos == video]
            row = np.ceil(start + window_seconds - 1e-6).astype(int) - 1 - seconds + len(values)
            inside = row >= 0
            if inside.any():
                clip.signals["video"] = np.full((len(row), *values.shape[1:]), np.nan)
                clip.signals["video"][inside] = values[row[inside]]
                clip.quality["video"] = inside.astype(float)
        clips.append(clip)
    return clips


def _cut(streams: dict[str, Stream], video: int, path: Path) -> tuple[dict[str, Stream], int]:
    """The streams of one clip, all cut from their end to the same whole number of seconds, and that number."""
    cut = {m: s._replace(values=s.values[:, s.videos == video]) for m, s in streams.items()}
    cut = {m: s for m, s in cut.items() if s.values.size}
    seconds = {m: s.values.shape[1] / s.rate for m, s in cut.items()}
    if cut and max(seconds.values()) - min(seconds.values()) > 1:
        text = ", ".join(f"{m} {x:g} s" for m, x in seconds.items())
        raise DataError(path, f"video {video}: signals differ in length ({text}); align them at their end")
    whole = int(min(seconds.values(), default=0) + 1e-6)
    kept = {m: s.values[:, s.values.shape[1] - round(whole * s.rate) :] for m, s in cut.items()}
    return {m: s._replace(values=kept[m]) for m, s in cut.items()}, whole


def _described(m: str, stream: Stream, start, window_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, T, F] and quality [n] of the windows that begin at `start` [n] seconds of a clip."""
    rate = stream.rate
    x = _pulse(stream.values, rate) if m == "ppg" else stream.values
    samples = np.rint(start * rate).astype(int)[:, None] + np.arange(round(window_seconds * rate))
    samples = np.minimum(samples, x.shape[1] - 1)  # rounding of a rate that is no whole number
    windows = x[:, samples].swapaxes(0, 1)  # [n, channels, samples]
    features = eeg_features(windows, rate) if m == "eeg" else _peripheral(windows, rate, m)
    return features, (np.ptp(windows, axis=-1) > 0).mean(1)


def eeg_features(windows: np.ndarray, rate: float) -> np.ndarray:
    """Differential entropy [n, channels, 5] of EEG windows [n, channels, samples] at `rate` Hz.

    1/2 ln(2 pi e P), P the mean power of a band over the Hann-windowed seconds of the window: for a window of
    1 s the published recipe, for a longer one the same with a steadier estimate of P.
    """
    size = min(round(rate), windows.shape[-1])
    whole = windows.shape[-1] // size * size
    seconds = windows[..., -whole:].reshape(*windows.shape[:-1], -1, size)
    spectrum = np.fft.rfft(seconds * scipy.signal.windows.hann(size), n=FFT_SAMPLES)
    power = (np.abs(spectrum) ** 2).mean(-2)
    bins = [(int(low / rate * FFT_SAMPLES), int(high / rate * FFT_SAMPLES) + 1) for low, high in BANDS]
    band = np.stack([power[..., first:end].mean(-1) for first, end in bins], -1)
    return 0.5 * np.log(2 * np.pi * np.e * np.maximum(band, LEAST_POWER))


def _pulse(x: np.ndarray, rate: float) -> np.ndarray:
    """PPG [1, samples] of one clip in its band. Lost samples stay lost and do not spread to others."""
    good = np.isfinite(x[0])
    if not good.any():
        return x
    at = np.arange(x.shape[1])
    sections = scipy.signal.butter(3, PULSE_BAND, "bandpass", fs=rate, output="sos")
    filtered = scipy.signal.sosfiltfilt(sections, np.interp(at, at[good], x[0, good]))
    return np.where(good, filtered, np.nan)[None]


def _peripheral(windows: np.ndarray, rate: float, modality: str) -> np.ndarray:
    """Features [n, 1, 28] of GSR or [n, 1, 27] of PPG windows [n, 1, samples].

    Seven statistics of the signal and of its two differences, six of the magnitudes of its spectrum without the
    constant part, and of GSR the mean power density: the published list, whose spectrum is left complex.
    """
    x = windows[:, 0]
    columns = [_statistics(np.diff(x, n=order)) for order in (0, 1, 2)]
    magnitude = np.abs(np.fft.rfft(x)[:, 1:])
    low, high = magnitude.min(1), magnitude.max(1)
    columns += [np.median(magnitude, 1), magnitude.mean(1), magnitude.std(1), low, high, high - low]
    if modality == "gsr":
        columns.append(scipy.signal.welch(x, rate, nperseg=x.shape[1])[1].mean(1))
    return np.column_stack(columns)[:, None]


def _statistics(x: np.ndarray) -> np.ndarray:
    """Median, mean, sd, min, max, share of samples at the min, share at the max of each row: [n, 7].

    All NaN where a sample is.
    """
    low, high = x.min(1), x.max(1)
    shares = [np.where(np.isnan(y), y, (x == y[:, None]).mean(1)) for y in (low, high)]
    return np.column_stack([np.median(x, 1), x.mean(1), x.std(1), low, high, *shares])


def stream_of(data: dict, kind: Recorded, path: Path) -> Stream:
    """One modality of what datas.mat holds, its rate and the video of every sample. Raises DataError."""
    values = data[kind.key]
    if values.ndim != 2 or values.shape[0] <= kind.channels or values.dtype.kind not in "fiu":
        wanted = f"numbers [{kind.channels} signals and the video id, samples]"
        raise DataError(path, f"{kind.key} is {values.dtype} {values.shape}; wanted {wanted}")
    stored = data.get(kind.rate_key, np.empty(0))
    rate = float(stored.ravel()[0]) if stored.size and stored.dtype.kind in "fiu" else kind.rate
    if not kind.least_rate <= rate <= 1e5:
        raise DataError(path, f"{kind.rate_key} = {rate}; wanted a rate of at least {kind.least_rate:g} Hz")
    values = np.asarray(values, np.float64)
    row = _video_row(values, kind, rate, path)
    return Stream(values[: kind.channels], values[row].astype(int), rate)


def _video_row(values: np.ndarray, kind: Recorded, rate: float, path: Path) -> int:
    """The row of `values` that holds video ids.

    Such a row has only ids in it, each in one stretch of at least 1 s. Flags, triggers and counters fail
    that; a constant row counts only where nothing else fits, for it would be one single clip.
    """
    fits = [r for r in range(len(values)) if _holds_ids(values[r], rate)]
    fits = [r for r in fits if np.ptp(values[r])] or fits
    extra = [r for r in fits if r >= kind.channels]
    what = f"{kind.key} {values.shape}"
    rule = "integers of 0 to 31 or 40 (rest), 50 (practice), each in one stretch; add them as last row"
    if not extra:
        raise DataError(path, f"{what}: no row after the {kind.channels} signals holds video ids: {rule}")
    differ = [r for r in fits if (values[r] != values[extra[-1]]).any()]
    if differ:
        rows = ", ".join(map(str, sorted({*differ, extra[-1]})))
        raise DataError(path, f"{what}: rows {rows} could all be the video ids; keep one of them: {rule}")
    return extra[-1]


def _holds_ids(row: np.ndarray, rate: float) -> bool:
    if not np.isin(row, (*range(CLIPS), REST, PRACTICE)).all():
        return False
    edges = np.flatnonzero(np.diff(row, prepend=np.nan, append=np.nan))
    return len(edges) - 1 == len(np.unique(row)) and np.diff(edges).min() >= rate
