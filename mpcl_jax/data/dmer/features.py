"""DMER's published features: layouts B (a file per modality), C (merged) and D (shuffled and split).

Features of B and C. EEG: differential entropy of 1-s windows, 18 channels x 5 bands (1-4, 4-8, 8-14, 14-31,
31-49 Hz). GSR (28) and PPG (27): 5-s windows in steps of 1 s; columns 0-20 are median, mean, sd, min, max, share
of minima and share of maxima of the signal, of its first and of its second difference, columns 21-26 median,
mean, sd, min, max and range of its complex spectrum, column 27 (GSR) the mean power density. Video: three
LBP-TOP histograms of 256 bins in 1-s windows (768), or 32 pooled VGG16 features in EmotionDict's files.
A row of ours covers the 5 s of its peripheral window; EEG and video describe its last second.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.dmer.files import CLIPS, EMOTIONS, PRACTICE, REST, Clip, distributions
from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.types import DataError

CHANNELS, BANDS, GSR, PPG, VIDEO = 18, 5, 28, 27, (768, 32)
PERIPHERAL = ("gsr", "ppg")
# Layout B: file -> modality -> its key, and the shape of a window in the file (of video also 32 features).
FILES = {
    "eegfea.mat": {"eeg": ("feas", (BANDS, CHANNELS))},
    "perifea.mat": {"gsr": ("feas_gsr", (GSR,)), "ppg": ("feas_ppg", (PPG,))},
    "videoFea.mat": {"video": ("lbps_all", VIDEO[:1])},
}
SPECTRUM = slice(21, 27)  # columns of the peripheral features that are complex in the release
LEAD = 4  # seconds of a clip before its first complete 5-s window
WINDOW_SECONDS, STEP_SECONDS = 5.0, 1.0
SPLIT_WINDOW_SECONDS = 1.0
SPLIT_SHAPES = {"eeg": (CHANNELS, 4), "gsr": (1, 4), "ppg": (1, 4), "video": VIDEO[1:]}


class Stream(NamedTuple):
    """All windows of one modality of one subject, in time order within each clip."""

    values: np.ndarray  # [N, T_m, F_m]
    videos: np.ndarray  # [N] video ids
    lead: int  # windows of every clip that end before its first complete 5-s window


def read_folder(folder: Path, complex_part: str) -> list[Clip]:
    """The clips of one subject of layout B; modalities whose file is absent or empty are left out.

    Windows of different modalities are aligned at the end of each clip: every modality keeps its last n,
    n = the smallest number of windows that any recorded modality has from second 4 of the clip on.
    Raises DataError for arrays of an undocumented shape or windows that are not in order.
    """
    streams = {}
    for name in FILES:
        if (folder / name).is_file():
            streams |= streams_of(folder / name, complex_part)
    return _aligned(streams)


def streams_of(path: Path, complex_part: str = "real") -> dict[str, Stream]:
    """The modalities in one of `FILES` of a subject; those that are empty are left out."""
    stored, streams = FILES[path.name], {}
    data = parse_mat(path, names=(*(key for key, _ in stored.values()), "vids"))
    for m, (key, shape) in stored.items():
        if key in data and data[key].size == 0:  # the release writes (0, 0) where the wristband failed
            continue
        if m == "video" and key in data and data[key].shape[-1] in VIDEO:
            shape = data[key].shape[-1:]
        x = _rows(data, key, shape, path)
        values = _numbers(x, key, path, complex_part if m in PERIPHERAL else "")
        values = values.transpose(0, 2, 1) if m == "eeg" else values
        streams[m] = Stream(values, _videos(data, len(x), path), 0 if m in PERIPHERAL else LEAD)
    return streams


def read_merged(path: Path, complex_part: str) -> list[Clip]:
    """The clips of one subject of layout C. Raises DataError as `read_folder`."""
    widths = {"eeg": CHANNELS * BANDS, "gsr": GSR, "ppg": PPG, "video": VIDEO[0]}
    data = parse_mat(path, names=("feas", "vids"))
    feas = _rows(data, "feas", (sum(widths.values()),), path)
    videos, streams = _videos(data, len(feas), path), {}
    for m, x in zip(widths, np.split(feas, np.cumsum([*widths.values()])[:-1], axis=1), strict=True):
        x = x.reshape(-1, CHANNELS, BANDS) if m == "eeg" else x  # the band runs fastest
        streams[m] = Stream(_numbers(x, "feas", path, complex_part if m in PERIPHERAL else ""), videos, 0)
    return _aligned(streams)


def read_split(path: Path, subject: str) -> dict[str, np.ndarray]:
    """All windows of one subject of layout D, training rows first; keys as in `load.read_subject`.

    The file has no clip ids: windows with equal labels form one trial, which is a clip or several clips.
    Raises DataError where an array is absent or has an undocumented shape.
    """
    shapes, halves = SPLIT_SHAPES, ("train", "test")
    data = parse_mat(path, names=tuple(f"{half}_{name}" for half in halves for name in (*shapes, "label")))
    tables = {key: _rows(data, key, (len(EMOTIONS),), path) for key in (f"{half}_label" for half in halves)}
    sizes = [len(table) for table in tables.values()]
    joined = {}
    for name, shape in shapes.items():
        parts = [_rows(data, f"{half}_{name}", shape, path) for half in halves]
        for half, x, size in zip(halves, parts, sizes, strict=True):
            if len(x) != size:
                raise DataError(path, f"{half}_{name} has {len(x)} rows, {half}_label has {size}")
        joined[name] = _numbers(np.concatenate(parts), name, path)
    n = sum(sizes)
    labels = np.concatenate(
        [distributions(_numbers(table, key, path)[:, 0], path, key) for key, table in tables.items()]
    )
    _, group = np.unique(labels.round(6), axis=0, return_inverse=True)
    trial = np.array([f"{subject}/labels {k:02d}" for k in group.ravel()])
    arrays = {f"signals/{m}": x.astype(np.float32) for m, x in joined.items()}
    arrays |= {"labels": labels, "trial": trial, "stimulus": trial, "start": np.full(n, np.nan)}
    return arrays | {"published_test": np.arange(n) >= sizes[0]}


def _aligned(streams: dict[str, Stream]) -> list[Clip]:
    clips = []
    for video in range(CLIPS):
        rows = {m: np.flatnonzero(s.videos == video)[s.lead :] for m, s in streams.items()}
        rows = {m: r for m, r in rows.items() if len(r)}
        if not rows:
            continue
        n, longest = min(map(len, rows.values())), max(map(len, rows.values()))
        signals = {m: streams[m].values[r[-n:]] for m, r in rows.items()}
        clips.append(Clip(video, signals, {}, (longest - n + np.arange(n)) * STEP_SECONDS))
    return clips


def _rows(data: dict, key: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """`data[key]`, numeric [n, *shape]."""
    wanted = f"wanted [windows, {', '.join(map(str, shape))}], numbers"
    if key not in data:
        raise DataError(path, f"has no {key}; {wanted}")
    values = data[key]
    if values.shape[1:] != shape or values.ndim < 2 or values.dtype.kind not in "fiuc":
        raise DataError(path, f"{key} is {values.dtype} {values.shape}; {wanted}")
    return values


def _videos(data: dict, n: int, path: Path) -> np.ndarray:
    if "vids" not in data:
        raise DataError(path, "has no vids; wanted the video id of every window")
    videos = data["vids"].ravel()
    if len(videos) != n:
        raise DataError(path, f"vids has {len(videos)} entries for {n} windows")
    bad = ~np.isin(videos, (*range(CLIPS), REST, PRACTICE))
    if bad.any():
        allowed = f"0 to {CLIPS - 1}, {REST} (rest) or {PRACTICE} (practice)"
        reason = f"vids, window {bad.argmax()}: {videos[bad.argmax()]} is no video id; wanted {allowed}"
        raise DataError(path, reason)
    runs = np.flatnonzero(np.diff(videos, prepend=np.nan))
    if len(runs) > len(np.unique(videos)):
        raise DataError(path, "windows of one clip are not together; keep them in the order of recording")
    return videos.astype(int)


def _numbers(values: np.ndarray, key: str, path: Path, complex_part: str = "") -> np.ndarray:
    """Real numbers [n, T, F] of the stored `values`; "" where none may be complex, else `config…complex_part`.

    Only the spectrum of the peripheral features has a magnitude; their other columns keep their sign.
    """
    if not complex_part and np.iscomplexobj(values) and values.imag.any():
        reason = f"{key} is complex where only spectra of GSR and PPG may be; extract it again"
        raise DataError(path, reason)
    real = np.array(values.real, np.float64)
    if complex_part == "magnitude":
        if not np.iscomplexobj(values):
            reason = f"{key} holds real numbers, so magnitudes are lost; set config.data.dmer.complex_part to 'real'"
            raise DataError(path, reason)
        real[:, SPECTRUM] = np.abs(values[:, SPECTRUM])
    return real if real.ndim == 3 else real[:, None]
