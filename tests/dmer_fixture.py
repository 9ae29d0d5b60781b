"""Writes small copies of DMER in its four layouts, with the time of every window planted in its features."""

import numpy as np
import pytest
from scipy.io import savemat

from mpcl_jax.types import DataError

VIDEOS = (0, 3, 8, 15, 16, 31)  # two positive, two negative, two mixed clips
SECONDS = 12  # of every clip: 12 one-second windows, 8 complete windows of 5 s
# Columns of the official peripheral features that carry an imaginary part.
IMAGINARY = {"gsr": (21, 22, 24, 26), "ppg": (21, 22, 24, 25, 26)}


def refusal(call, *args):
    """File and reason of the DataError that `call` must raise."""
    with pytest.raises(DataError) as caught:
        call(*args)
    return str(caught.value)


def ratings(seed):
    """Raw answers 1 to 5 of one subject to all 32 clips."""
    return np.random.default_rng(seed).integers(1, 6, (32, 10)).astype(float)


def save(file, **stored):
    """A .mat file, and its folder where there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, stored)


def label(folder, table):
    """The labels of one subject, beside its signals or features."""
    save(folder / "dis_label.mat", dis_label=table)


def seconds_of(videos, first, seconds=SECONDS):
    """Video ids and planted codes 100 * video + second, for the seconds `first` to `seconds` - 1 of each clip."""
    second = np.arange(first, seconds)
    ids = np.repeat(videos, len(second))
    return ids, 100.0 * ids + np.tile(second, len(videos))


def eeg_features(codes):
    """[N, 5 bands, 18 channels] = code + channel / 32 + band / 1024."""
    return codes[:, None, None] + np.arange(18) / 32 + np.arange(5)[:, None] / 1024


def row_features(codes, width):
    """[N, width] = code + column / 1024."""
    return codes[:, None] + np.arange(width) / 1024


def peripheral_features(codes, modality):
    """Complex [N, 28 or 27]: as `row_features`, and 3 more in the imaginary part of the official columns."""
    features = row_features(codes, {"gsr": 28, "ppg": 27}[modality]).astype(complex)
    features[:, IMAGINARY[modality]] += 3j
    return features


def write_feature_files(folder, videos=VIDEOS, seconds=SECONDS, video_width=768):
    """Layout B without labels. Window k of a peripheral ends with second k + 4 and carries its code."""
    folder.mkdir(parents=True)
    ids, codes = seconds_of(videos, 0, seconds)
    savemat(folder / "eegfea.mat", {"feas": eeg_features(codes), "vids": ids.astype(float)})
    video = {"lbps_all": row_features(codes, video_width), "vids": ids.astype(float)}
    savemat(folder / "videoFea.mat", video)
    ids, codes = seconds_of(videos, 4, seconds)
    peripheral = {f"feas_{m}": peripheral_features(codes, m) for m in ("gsr", "ppg")}
    savemat(folder / "perifea.mat", peripheral | {"vids": ids.astype(float)})


def write_merged(path, labels, videos=VIDEOS, seconds=SECONDS):
    """Layout C: complex features [N', 913] whose EEG columns are band-fastest; `labels` None = none stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids, codes = seconds_of(videos, 4, seconds)
    eeg = eeg_features(codes).transpose(0, 2, 1).reshape(len(codes), 90)
    peripheral = [peripheral_features(codes, m) for m in ("gsr", "ppg")]
    feas = np.hstack([eeg, *peripheral, row_features(codes, 768)])
    stored = {"feas": feas, "vids": ids[:, None].astype(float)}
    savemat(path, stored if labels is None else stored | {"dis_label": labels})


def write_split(path, labels, seed=0):
    """Layout D: windows of VIDEOS shuffled, the first 4/5 for training; columns of all modalities equal codes."""
    ids, codes = seconds_of(VIDEOS, 4)
    order = np.random.default_rng(seed).permutation(len(ids))
    blocks = {
        "eeg": np.broadcast_to(codes[:, None, None], (len(codes), 18, 4)),
        "gsr": np.broadcast_to(codes[:, None, None], (len(codes), 1, 4)),
        "ppg": np.broadcast_to(codes[:, None, None], (len(codes), 1, 4)),
        "video": np.broadcast_to(codes[:, None], (len(codes), 32)).astype(np.float32),
        "label": (labels / labels.sum(1, keepdims=True))[ids],
    }
    train = len(ids) // 5 * 4
    halves = {"train": order[:train], "test": order[train:]}
    savemat(path, {f"{h}_{k}": x[rows] for h, rows in halves.items() for k, x in blocks.items()})
    return ids[order]


def signals(videos=VIDEOS, seconds=SECONDS, rest=6):
    """Layout A as a dict of arrays with the id row last: rest first, then the clips.

    EEG: every second of every channel is the same wave, times 2 ** second. GSR: the code of the second.
    PPG: a pulse of 1.25 Hz and amplitude 1 + video, on a level of 500.
    """
    wave = np.random.default_rng(7).normal(size=(18, 300))
    ids, codes = seconds_of(videos, 0, seconds)
    ids, codes = np.r_[np.full(rest, 40), ids], np.r_[np.full(rest, 4000.0), codes]
    eeg = np.hstack([wave * 2.0 ** (code % 100) for code in codes])
    at = np.arange(100 * len(codes)) / 100
    pulse = 500 + (1 + np.repeat(ids, 100)) * np.sin(2 * np.pi * 1.25 * at)
    stack = {"eeg_datas": (eeg, 300), "gsr_datas": (np.repeat(codes, 4), 4), "ppg_datas": (pulse, 100)}
    return {key: np.vstack([x, np.repeat(ids, rate)]).astype(float) for key, (x, rate) in stack.items()}


def release_2024(stored):
    """`stored` in the form of the Zenodo release: one more row before the ids, rates, no labels."""
    widened = {}
    for key, x in stored.items():
        counter = np.arange(x.shape[1]) / 7.0
        widened[key] = np.vstack([x[:-1], counter, x[-1]])
    return widened | {"fs_eeg": 300.0, "fs_gsr": 4.0, "fs_ppg": 100.0}
