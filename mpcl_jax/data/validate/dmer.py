"""All issues of DMER, any of its four layouts: every subject's files, key by key and clip by clip."""

import collections
from pathlib import Path

import numpy as np

from mpcl_jax.config.data import DmerConfig
from mpcl_jax.data.dmer import features as dmer_features
from mpcl_jax.data.dmer import load as dmer
from mpcl_jax.data.dmer import signals as dmer_signals
from mpcl_jax.data.dmer.files import CLIPS, EMOTIONS, Found, Layout, find_subjects, read_labels
from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.data.issues import (
    Examined,
    Issue,
    Summary,
    as_issue,
    attempt,
    digest_of,
    duplicate_issues,
    label_issues,
    row_issue,
)
from mpcl_jax.data.validate.signals import CHECK_SENSOR, FEWEST_WINDOWS, channel_issues, still_issue
from mpcl_jax.types import DataFileError

STILL = 60.0  # seconds for which a worn sensor may repeat a value
# File of layout B -> the keys of its features.
FEATURES = {"eegfea.mat": ("feas",), "perifea.mat": ("feas_gsr", "feas_ppg"), "videoFea.mat": ("lbps_all",)}
HALVES = ("train", "test")


def examine(root: str, settings: DmerConfig) -> Examined:
    """Every issue below `root`, and what it holds. Each subject is read once, in a guarded child."""
    issues: list[Issue] = []
    found = attempt(issues, find_subjects, Path(root), settings.subjects) or []
    options = {"complex_part": settings.complex_part}
    options |= {"window_seconds": settings.window_seconds, "step_seconds": settings.step_seconds}
    windows, held, clips, signals, reports = 0, collections.Counter(), {}, {}, {}
    for one in found:
        args = (one.path, one.subject, str(one.layout), options)
        result = attempt(issues, run_guarded, read_subject_issues, *args)
        if result is None:
            continue
        own, count, modalities, clips[one.subject], signals[str(one.path)], reports[str(one.path)] = result
        issues += [Issue(*issue) for issue in own]
        windows += count
        held.update(modalities)
    for digests, what in ((signals, "signals"), (reports, "reports")):
        issues += duplicate_issues(digests, what, "keep one of them: one subject may not count as two")
    missing = [
        f"{m} of {len(clips) - held[m]} of {len(clips)} subjects" for m in dmer.GROUPS if held[m] < len(clips)
    ]
    few = [f"{s} ({n})" for s, n in clips.items() if n < CLIPS and found[0].layout is not Layout.SPLIT]
    missing += [f"clips of subjects with fewer than {CLIPS}: {', '.join(few)}"] if few else []
    groups = {m: group for m, group in dmer.GROUPS.items() if held[m]}
    return Examined(tuple(issues), Summary(len(found), windows, groups, EMOTIONS, tuple(missing)))


def read_subject_issues(path: Path | str, subject: str, layout: str, options: dict) -> tuple:
    """For `run_guarded`: (issues, windows, modalities, clips, digest of the signals, digest of the reports)."""
    found = Found(subject, Layout(layout), Path(path))
    issues, arrays = _recorded_issues(found) if found.layout is Layout.SIGNALS else _feature_issues(found)
    reports = _report_issues(issues, found)
    loaded: dict[str, np.ndarray] = {}
    try:
        loaded = dmer.read_subject(found.path, subject, layout, options)
    except DataFileError as error:
        if not any(issue.file == error.file for issue in issues):
            issues.append(as_issue(error))
    if not loaded and not issues:
        issues.append(Issue(str(path), "", "no clip is long enough for one window", "leave the subject out"))
    modalities = [m for m in dmer.GROUPS if f"signals/{m}" in loaded]
    windows, clips = len(loaded.get("labels", ())), len(set(loaded.get("trial", ())))
    return [tuple(x) for x in issues], windows, modalities, clips, digest_of(arrays), digest_of(reports)


def _report_issues(issues: list[Issue], found: Found) -> list[np.ndarray]:
    """Adds the issues of the labels; returns the tables that tell subjects apart."""
    if found.layout is Layout.SPLIT:
        keys = tuple(f"{half}_label" for half in HALVES)
        tables = {k: (x, found.path, None) for k, x in (_read(issues, found.path, keys)).items()}
    else:
        answer = attempt(issues, read_labels, found)
        names = np.array([f"video {video}" for video in range(CLIPS)])
        tables = {"dis_label": (*answer, names)} if answer else {}
    for key, (table, file, names) in tables.items():
        if table.ndim == 2 and table.dtype.kind in "fiu":
            issues += _table_issues(file, key, table.astype(np.float64), names)
    if found.layout is Layout.SPLIT:
        return []
    return [table.astype(np.float64) for table, _, _ in tables.values() if len(np.unique(table, axis=0)) > 1]


def _table_issues(file: Path, key: str, table: np.ndarray, names: np.ndarray | None) -> list[Issue]:
    """Rows [n, 10] that are no report, and tables that hold ratings in some rows and shares in others."""
    issues = label_issues(file, key, table, names)
    good = np.isfinite(table).all(1) & (table >= 0).all(1) & (table > 0).any(1)
    ratings = np.isin(table, np.arange(1, 6)).all(1)
    shares = np.abs(np.where(good, table.sum(1), 0) - 1) < 0.01
    odd, fix = good & ~ratings & ~shares, "store ratings, or shares that sum to 1"
    what = "neither ratings of 1 to 5 nor shares that sum to 1"
    issues += row_issue(file, key, odd, what, fix, names)
    if (ratings & good).any() and not odd.any():
        mixed = shares & good & ~ratings
        issues += row_issue(file, key, mixed, "shares, where other rows hold ratings", fix, names)
    return issues


def _feature_issues(found: Found) -> tuple[list[Issue], list[np.ndarray]]:
    """Issues of the windows of layouts B, C and D, and their numbers."""
    if found.layout is Layout.SPLIT:
        keys = tuple(f"{half}_{m}" for half in HALVES for m in dmer_features.SPLIT_SHAPES)
        files = {found.path: keys}
    elif found.layout is Layout.MERGED:
        files = {found.path: ("feas",)}
    else:
        files = {found.path / name: keys for name, keys in FEATURES.items()}
    issues, arrays = [], []
    for file, keys in files.items():
        for key, x in (_read(issues, file, keys) if file.is_file() else {}).items():
            if x.size and x.ndim > 1 and x.dtype.kind in "fiuc":
                arrays.append(x)
                issues += _window_issues(file, key, x)
    return issues, arrays


def _read(issues: list[Issue], file: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    return attempt(issues, parse_mat, file, keys) or {}


def _window_issues(file: Path, key: str, x: np.ndarray) -> list[Issue]:
    """Issues of the windows x [n, ...] of one array."""
    flat = x.reshape(len(x), -1)
    issues = row_issue(file, key, ~np.isfinite(flat).all(1), "not finite", "extract it again")
    if still := still_issue(file, key, np.nan_to_num(flat.real)):
        return issues + still
    if x.ndim == 3 and dmer_features.CHANNELS in x.shape[1:] and len(x) >= FEWEST_WINDOWS:
        channels = np.moveaxis(x.real, x.shape.index(dmer_features.CHANNELS, 1), 0)
        for channel in np.flatnonzero(np.ptp(channels.reshape(len(channels), -1), axis=1) == 0):
            what = "is the same in every window: the electrode may be off"
            issues.append(Issue(str(file), f"{key}, channel {channel}", what, CHECK_SENSOR))
    return issues


def _recorded_issues(found: Found) -> tuple[list[Issue], list[np.ndarray]]:
    """Issues of the signals of layout A, and their numbers."""
    issues, arrays = [], []
    file, kinds = found.path / "datas.mat", dmer_signals.KINDS.values()
    data = _read(issues, file, tuple(key for kind in kinds for key in (kind.key, kind.rate_key)))
    for kind in kinds:
        if data.get(kind.key, np.empty(0)).size:
            arrays.append(data[kind.key])
            stream = attempt(issues, dmer_signals.stream_of, data, kind, file)
            if stream is not None:
                issues += channel_issues(file, kind.key, stream.values.T, stream.rate, STILL)
    return issues, arrays
