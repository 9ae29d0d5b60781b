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
from mpcl_jax.types import DataFileError

CHANNELS, BANDS, GSR, PPG, VIDEO = 18, 5, 28, 27, (768, 32)
SPECTRUM = slice(21, 27)  # columns of the peripheral features that are complex in the release
LEAD = 4  # seconds of a clip before its first complete 5-s window
WINDOW_SECONDS, STEP_SECONDS = 5.0, 1.0
SPLIT_WINDOW_SECONDS = 1.0
SPLIT_SHAPES = {"eeg": (CHANNELS, 4), "gsr": (1, 4), "ppg": (1, 4), "video": (1, 32)}


class Stream(NamedTuple):
    """All windows of one modality of one subject, in time order within each clip."""

    values: np.ndarray  # [N, T_m, F_m]
    videos: np.ndarray  # [N] video ids
    lead: int  # windows of every clip that end before its first complete 5-s window


def read_folder(folder: Path, complex_part: str) -> list[Clip]:
    """The clips of one subject of layout B; modalities whose file is absent or empty are left out.

    Windows of different modalities are aligned at the end of each clip: every modality keeps its last n,
    n = the smallest number of windows that any recorded modality has from second 4 of the clip on.
    Raises DataFileError for arrays of an undocumented shape or windows that are not in order.
    """
    streams = {}
    eeg, peripheral, video = (folder / name for name in ("eegfea.mat", "perifea.mat", "videoFea.mat"))
    if eeg.is_file():
        streams["eeg"] = eeg_stream(eeg)
    if peripheral.is_file():
        streams |= peripheral_streams(peripheral, complex_part)
    if video.is_file():
        streams["video"] = video_stream(video)
    return _aligned({m: stream for m, stream in streams.items() if stream.values.size})


def read_merged(path: Path, complex_part: str) -> list[Clip]:
    """The clips of one subject of layout C. Raises DataFileError as `read_folder`."""
    width = CHANNELS * BANDS + GSR + PPG + VIDEO[0]
    data = parse_mat(path, names=("feas", "vids"))
    feas = _rows(data, "feas", (width,), path)
    videos = _videos(data, len(feas), path)
    eeg, gsr, ppg, video = np.split(feas, np.cumsum([CHANNELS * BANDS, GSR, PPG]), axis=1)
    signals = {
        "eeg": _real(eeg, "feas", path).reshape(-1, CHANNELS, BANDS),  # the band runs fastest
        "gsr": _part_of(gsr, "feas", complex_part, path)[:, None],
        "ppg": _part_of(ppg, "feas", complex_part, path)[:, None],
        "video": _real(video, "feas", path)[:, None],
    }
    return _aligned({m: Stream(x, videos, 0) for m, x in signals.items()})


def read_split(path: Path, subject: str) -> dict[str, np.ndarray]:
    """All windows of one subject of layout D, training rows first; keys as in `load.read_subject`.

    The file has no clip ids: windows with equal labels form one trial, which is a clip or several clips.
    Raises DataFileError where an array is absent or has an undocumented shape.
    """
    keys = [f"{half}_{name}" for half in ("train", "test") for name in (*SPLIT_SHAPES, "label")]
    data = parse_mat(path, names=tuple(keys))
    sizes = [len(_rows(data, f"{half}_label", (len(EMOTIONS),), path)) for half in ("train", "test")]

    def joined(name, shape):
        halves = [_rows(data, f"{half}_{name}", shape, path) for half in ("train", "test")]
        for half, x, size in zip(("train", "test"), halves, sizes, strict=True):
            if len(x) != size:
                raise DataFileError(path, f"{half}_{name} has {len(x)} rows, {half}_label has {size}")
        return _real(np.concatenate(halves), name, path)

    signals = {}
    for m, (tokens, width) in SPLIT_SHAPES.items():
        stored = (width,) if m == "video" else (tokens, width)
        signals[m] = joined(m, stored).reshape(-1, tokens, width)
    n = sum(sizes)
    raw = joined("label", (len(EMOTIONS),))
    labels = distributions(raw, np.array([f"window {i}" for i in range(n)]), path)
    _, group = np.unique(labels.round(6), axis=0, return_inverse=True)
    trial = np.array([f"{subject}/labels {k:02d}" for k in group.ravel()])
    arrays = {f"signals/{m}": x.astype(np.float32) for m, x in signals.items()}
    arrays |= {f"quality/{m}": np.ones(n, np.float32) for m in signals}
    ids = {"labels": labels, "trial": trial, "stimulus": trial, "start": np.full(n, np.nan)}
    return arrays | ids | {"published_test": np.arange(n) >= sizes[0]}


def eeg_stream(path: Path) -> Stream:
    """EEG features of all seconds of one subject, from its eegfea.mat."""
    data = parse_mat(path, names=("feas", "vids"))
    feas = _rows(data, "feas", (BANDS, CHANNELS), path)
    return Stream(_real(feas, "feas", path).transpose(0, 2, 1), _videos(data, len(feas), path), LEAD)


def peripheral_streams(path: Path, complex_part: str) -> dict[str, Stream]:
    """GSR and PPG features of all windows of one subject, from its perifea.mat; those that are empty left out."""
    data = parse_mat(path, names=("feas_gsr", "feas_ppg", "vids"))
    streams = {}
    for m, width in (("gsr", GSR), ("ppg", PPG)):
        key = f"feas_{m}"
        if key in data and data[key].size == 0:  # the release writes (0, 0) where the wristband failed
            continue
        feas = _rows(data, key, (width,), path)
        values = _part_of(feas, key, complex_part, path)[:, None]
        streams[m] = Stream(values, _videos(data, len(feas), path), 0)
    return streams


def video_stream(path: Path) -> Stream:
    """Video features of all seconds of one subject, from its videoFea.mat."""
    data = parse_mat(path, names=("lbps_all", "vids"))
    width = data["lbps_all"].shape[-1] if "lbps_all" in data else VIDEO[0]
    feas = _rows(data, "lbps_all", (width if width in VIDEO else VIDEO[0],), path)
    return Stream(_real(feas, "lbps_all", path)[:, None], _videos(data, len(feas), path), LEAD)


def _aligned(streams: dict[str, Stream]) -> list[Clip]:
    clips = []
    for video in range(CLIPS):
        rows = {m: np.flatnonzero(s.videos == video)[s.lead :] for m, s in streams.items()}
        rows = {m: r for m, r in rows.items() if len(r)}
        if not rows:
            continue
        n, longest = min(map(len, rows.values())), max(map(len, rows.values()))
        signals = {m: streams[m].values[r[-n:]] for m, r in rows.items()}
        start = (longest - n + np.arange(n)) * STEP_SECONDS
        clips.append(Clip(video, signals, {m: np.ones(n) for m in signals}, start))
    return clips


def _rows(data: dict, key: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """`data[key]`, numeric [n, *shape]."""
    wanted = f"wanted [windows, {', '.join(map(str, shape))}]"
    if key not in data:
        raise DataFileError(path, f"has no {key}; {wanted}")
    values = data[key]
    if values.shape[1:] != shape or values.ndim < 2:
        raise DataFileError(path, f"{key} has shape {values.shape}; {wanted}")
    if values.dtype.kind not in "fiuc":
        raise DataFileError(path, f"{key} holds {values.dtype}; wanted numbers")
    return values


def _videos(data: dict, n: int, path: Path) -> np.ndarray:
    if "vids" not in data:
        raise DataFileError(path, "has no vids; wanted the video id of every window")
    videos = data["vids"].ravel()
    if len(videos) != n:
        raise DataFileError(path, f"vids has {len(videos)} entries for {n} windows")
    bad = ~np.isin(videos, (*range(CLIPS), REST, PRACTICE))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        allowed = f"0 to {CLIPS - 1}, {REST} (rest) or {PRACTICE} (practice)"
        raise DataFileError(path, f"vids, window {row}: {videos[row]} is no video id; wanted {allowed}")
    runs = np.flatnonzero(np.diff(videos, prepend=np.nan))
    if len(runs) > len(np.unique(videos)):
        raise DataFileError(path, "windows of one clip are not together; keep them in the order of recording")
    return videos.astype(int)


def _real(values: np.ndarray, key: str, path: Path) -> np.ndarray:
    if np.iscomplexobj(values) and values.imag.any():
        raise DataFileError(
            path, f"{key} is complex where only spectra of GSR and PPG may be; extract it again"
        )
    return np.asarray(values.real, np.float64)


def _part_of(values: np.ndarray, key: str, complex_part: str, path: Path) -> np.ndarray:
    """Real form of peripheral features; only the spectrum has a magnitude, the other columns keep their sign."""
    real = np.array(values.real, np.float64)
    if complex_part == "magnitude":
        if not np.iscomplexobj(values):
            reason = f"{key} holds real numbers, so magnitudes are lost; set config.data.dmer.complex_part to 'real'"
            raise DataFileError(path, reason)
        real[:, SPECTRUM] = np.abs(values[:, SPECTRUM])
    return real
