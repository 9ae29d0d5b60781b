"""All faults of DMER, any of its four layouts: every subject's files, key by key and clip by clip."""

import collections
from pathlib import Path
from typing import Any

import numpy as np

from mpcl_jax.config.data import DmerConfig
from mpcl_jax.data.dmer import features as dmer_features
from mpcl_jax.data.dmer import load as dmer
from mpcl_jax.data.dmer import signals as dmer_signals
from mpcl_jax.data.dmer.files import CLIPS, EMOTIONS, FEATURE_FILES, Found, Layout, find_subjects, read_labels
from mpcl_jax.data.io.safe_read import parse_mat, run_guarded
from mpcl_jax.data.issues import (
    CHECK_SENSOR,
    FEWEST_WINDOWS,
    Examined,
    Issue,
    Summary,
    as_issue,
    attempt,
    channel_issues,
    label_issues,
    print_of,
    row_issue,
    still_issue,
    twin_issues,
)
from mpcl_jax.types import DataFileError

STILL = 60.0  # seconds for which a worn sensor may say the same
RATINGS = np.arange(1, 6)
# File of layout B -> its features and the number of their axes.
FEATURES = {
    "eegfea.mat": {"feas": "eeg"},
    "perifea.mat": {"feas_gsr": "gsr", "feas_ppg": "ppg"},
    "videoFea.mat": {"lbps_all": "video"},
}


def examine(root: str, settings: DmerConfig) -> Examined:
    """Every fault below `root`, and what it holds. Each subject is read once, in a guarded child."""
    issues: list[Issue] = []
    found = attempt(issues, find_subjects, Path(root), settings.subjects) or []
    options = {"complex_part": settings.complex_part}
    options |= {"window_seconds": settings.window_seconds, "step_seconds": settings.step_seconds}
    windows, held, clips, people = 0, collections.Counter(), {}, 0
    prints: dict[str, dict[str, str]] = {"the same signals": {}, "the same reports": {}}
    for one in found:
        answer = attempt(
            issues, run_guarded, read_subject_issues, one.path, one.subject, str(one.layout), options
        )
        if answer is None:
            continue
        people += 1
        own, count, modalities, clips[one.subject], signals, reports = answer
        issues += [Issue(*issue) for issue in own]
        windows += count
        held.update(modalities)
        prints["the same signals"][str(one.path)] = signals
        prints["the same reports"][str(one.path)] = reports
    for what, of in prints.items():
        issues += twin_issues(of, f"holds {what}", "keep one of them: one person may not be two")
    missing = [f"{m} of {people - held[m]} of {people} people" for m in dmer.GROUPS if held[m] < people]
    few = [f"{s} ({n})" for s, n in clips.items() if n < CLIPS and found[0].layout is not Layout.SPLIT]
    missing += [f"clips of people with fewer than {CLIPS}: {', '.join(few)}"] if few else []
    groups = {m: group for m, group in dmer.GROUPS.items() if held[m]}
    return Examined(tuple(issues), Summary(len(found), windows, groups, EMOTIONS, tuple(missing)))


def read_subject_issues(path: Path, subject: str, layout: str, options: dict) -> tuple:
    """For `run_guarded`: (faults, windows, modalities, clips, print of the signals, print of the reports)."""
    found = Found(subject, Layout(layout), Path(path))
    checks = {
        Layout.SPLIT: _split_issues,
        Layout.MERGED: _merged_issues,
        Layout.FEATURES: _feature_issues,
        Layout.SIGNALS: _recorded_issues,
    }
    issues, numbers = checks[found.layout](found)
    reports = []
    if found.layout is not Layout.SPLIT:
        issues += _table_issues(found, reports)
    arrays: dict[str, np.ndarray] = {}
    try:  # the loader has the last word
        arrays = dmer.read_subject(found.path, subject, layout, options)
    except DataFileError as error:
        if not any(issue.file == error.file for issue in issues):
            issues.append(as_issue(error))
    modalities = [m for m in dmer.GROUPS if f"signals/{m}" in arrays]
    windows, clips = len(arrays.get("labels", ())), len(set(arrays.get("trial", ())))
    if not arrays and not issues:
        issues.append(Issue(str(path), "", "no clip is long enough for one window", "leave the subject out"))
    signals = print_of(numbers) if numbers else ""
    return (
        [tuple(f) for f in issues],
        windows,
        modalities,
        clips,
        signals,
        print_of(reports) if reports else "",
    )


def _table_issues(found: Found, reports: list) -> list[Issue]:
    """Faults of `dis_label`; a usable table is added to `reports`."""
    issues: list[Issue] = []
    answer = attempt(issues, read_labels, found)
    if answer is None:
        return issues
    table, file = np.asarray(answer[0], np.float64), answer[1]
    names = np.array([f"video {video}" for video in range(CLIPS)])
    issues += label_issues(file, "dis_label", table, names)
    good = np.isfinite(table).all(1) & (table >= 0).all(1) & (table > 0).any(1)
    ratings = np.isin(table, RATINGS).all(1)
    shares = np.abs(np.where(np.isfinite(table), table, 0).sum(1) - 1) < 0.01
    odd = good & ~ratings & ~shares
    for video in np.flatnonzero(odd):
        what = f"sums to {table[video].sum():.4g} and is no list of ratings 1 to 5"
        issues.append(
            Issue(str(file), f"dis_label, video {video}", what, "store ratings, or shares that sum to 1")
        )
    mixed = (ratings & ~shares & good).any() and (shares & good).any()
    if mixed and not odd.any():
        which = ", ".join(names[shares & good][:5])
        what = "holds ratings in some rows and shares in others"
        issues.append(Issue(str(file), f"dis_label, {which}", what, "store all rows alike"))
    if np.unique(table, axis=0).shape[0] > 1:
        reports.append(table)
    return issues


def _features_of(file: Path, key: str, x: Any, modality: str, numbers: list) -> list[Issue]:
    """Faults of the windows x [n, ...] of one modality; its numbers are added to `numbers`."""
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiuc" or x.ndim < 2:
        return [Issue(str(file), key, "holds no numbers [windows, …]", "extract it again")]
    numbers.append(x)
    issues = row_issue(
        file, key, ~np.isfinite(x).reshape(len(x), -1).all(1), "is not finite", "extract it again"
    )
    if still := still_issue(file, key, np.nan_to_num(x.real.reshape(len(x), -1))):
        return issues + still
    if modality == "eeg" and x.ndim == 3 and len(x) >= FEWEST_WINDOWS:
        axis = (
            2 if x.shape[1] == dmer_features.BANDS else 1
        )  # layout B: [n, bands, channels], D: the other way
        spread = np.ptp(np.moveaxis(x.real, axis, 0).reshape(x.shape[axis], -1), axis=1)
        for channel in np.flatnonzero(spread == 0):
            what = "is the same in every window: the electrode may be off"
            issues.append(Issue(str(file), f"{key}, channel {channel}", what, CHECK_SENSOR))
    return issues


def _split_issues(found: Found) -> tuple[list[Issue], list]:
    issues, numbers = [], []
    keys = [f"{half}_{m}" for half in ("train", "test") for m in (*dmer_features.SPLIT_SHAPES, "label")]
    data = attempt(issues, parse_mat, found.path, tuple(keys))
    if data is None:
        return issues, numbers
    for half in ("train", "test"):
        labels = data.get(f"{half}_label")
        n = len(labels) if labels is not None else None
        for key in (k for k in keys if k.startswith(half)):
            if key not in data:
                issues.append(Issue(str(found.path), key, "is missing", "download the file again"))
            elif n is not None and len(data[key]) != n:
                what = f"has {len(data[key])} rows, {half}_label has {n}"
                issues.append(Issue(str(found.path), key, what, "keep the rows of all keys together"))
            elif not key.endswith("label"):
                issues += _features_of(found.path, key, data[key], key.split("_")[1], numbers)
        if labels is not None and labels.ndim == 2 and labels.dtype.kind in "fiu":
            issues += _share_issues(found.path, f"{half}_label", labels.astype(np.float64))
    return issues, numbers


def _share_issues(file: Path, key: str, labels: np.ndarray) -> list[Issue]:
    names = np.array([f"row {row}" for row in range(len(labels))])
    issues = label_issues(file, key, labels, names)
    sums = np.where(np.isfinite(labels), labels, np.nan).sum(1)
    ratings = np.isin(labels, RATINGS).all(1)
    odd = (np.abs(sums - 1) > 0.01) & ~ratings & (labels >= 0).all(1) & (sums > 0)
    return issues + row_issue(file, key, odd, "does not sum to 1", "store ratings, or shares that sum to 1")


def _merged_issues(found: Found) -> tuple[list[Issue], list]:
    issues, numbers = [], []
    data = attempt(issues, parse_mat, found.path, ("feas", "vids"))
    if data and "feas" in data:
        issues += _features_of(found.path, "feas", data["feas"], "", numbers)
    return issues, numbers


def _feature_issues(found: Found) -> tuple[list[Issue], list]:
    issues, numbers = [], []
    for name in FEATURE_FILES:
        file = found.path / name
        data = attempt(issues, parse_mat, file, (*FEATURES[name], "vids")) if file.is_file() else None
        if data is None:
            continue
        for key, modality in FEATURES[name].items():
            if key in data and data[key].size:
                issues += _features_of(file, key, data[key], modality, numbers)
        if not any(issue.file == str(file) for issue in issues):  # the loader's own checks of this file
            if name == "perifea.mat":
                attempt(issues, dmer_features.peripheral_streams, file, "real")
            else:
                attempt(
                    issues,
                    dmer_features.eeg_stream if name == "eegfea.mat" else dmer_features.video_stream,
                    file,
                )
    return issues, numbers


def _recorded_issues(found: Found) -> tuple[list[Issue], list]:
    issues, numbers = [], []
    file = found.path / "datas.mat"
    keys = [key for kind in dmer_signals.KINDS.values() for key in (kind.key, kind.rate_key)]
    data = attempt(issues, parse_mat, file, tuple(keys))
    for kind in dmer_signals.KINDS.values() if data else ():
        if data.get(kind.key, np.empty(0)).size:
            numbers.append(data[kind.key])
            stream = attempt(issues, dmer_signals.stream_of, data, kind, file)
            if stream is not None:
                issues += channel_issues(file, kind.key, stream.values.T, stream.rate, STILL)
    return issues, numbers
