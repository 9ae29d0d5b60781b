"""All issues of DMER, any of its four layouts: every subject's files, key by key and clip by clip."""

import collections
from pathlib import Path

import numpy as np

from mpcl_jax.config.data import DmerConfig
from mpcl_jax.data import issues as common
from mpcl_jax.data.dmer.features import CHANNELS, FILES, SPLIT_SHAPES
from mpcl_jax.data.dmer.files import CLIPS, EMOTIONS, Found, Layout, find_subjects, read_labels, table_issues
from mpcl_jax.data.dmer.load import GROUPS, read_subject
from mpcl_jax.data.dmer.signals import KINDS, stream_of
from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.data.issues import Examined, Issue, Summary, as_issue, attempt, digest_of, row_issue
from mpcl_jax.data.validate.signals import CHECK_SENSOR, FEWEST_WINDOWS, channel_issues, still_issue
from mpcl_jax.types import DataError

STILL = 60.0  # seconds for which a worn sensor may repeat a value


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
    issues += common.duplicate_issues(signals, "signals", common.SAME_SUBJECT)
    issues += common.duplicate_issues(reports, "reports", common.SAME_SUBJECT)
    missing = [
        f"{m} of {len(clips) - held[m]} of {len(clips)} subjects" for m in GROUPS if held[m] < len(clips)
    ]
    few = [f"{s} ({n})" for s, n in clips.items() if n < CLIPS and found[0].layout is not Layout.SPLIT]
    missing += [f"clips of subjects with fewer than {CLIPS}: {', '.join(few)}"] if few else []
    groups = {m: group for m, group in GROUPS.items() if held[m]}
    return Examined(tuple(issues), Summary(len(found), windows, groups, EMOTIONS, tuple(missing)))


def read_subject_issues(path: Path | str, subject: str, layout: str, options: dict) -> tuple:
    """For `run_guarded`: (issues, windows, modalities, clips, digest of the signals, digest of the reports)."""
    found, issues, arrays, reports = Found(subject, Layout(layout), Path(path)), [], [], []
    for file, keys in _stored(found).items():
        data = (attempt(issues, parse_mat, file, keys) or {}) if file.is_file() else {}
        for key in (key for key in data if data[key].size and data[key].ndim > 1):
            x = data[key]
            if key.endswith("_label") and x.ndim == 2 and x.dtype.kind in "fiu":
                issues += table_issues(file, key, x.astype(np.float64), None)
            elif kind := next((kind for kind in KINDS.values() if kind.key == key), None):
                arrays.append(x)
                if (stream := attempt(issues, stream_of, data, kind, file)) is not None:
                    issues += channel_issues(file, key, stream.values.T, stream.rate, STILL)
            elif x.dtype.kind in "fiuc" and not key.startswith("fs_"):
                arrays.append(x)
                issues += _window_issues(file, key, x)
    if found.layout is not Layout.SPLIT and (answer := attempt(issues, read_labels, found)):
        table, file = answer[0].astype(np.float64), answer[1]
        issues += table_issues(file, "dis_label", table, np.array([f"video {i}" for i in range(CLIPS)]))
        reports = [table] if len(np.unique(table, axis=0)) > 1 else []
    loaded: dict[str, np.ndarray] = {}
    try:
        loaded = read_subject(found.path, subject, layout, options)
    except DataError as error:
        if not any(issue.file == error.file for issue in issues):
            issues.append(as_issue(error))
    if not loaded and not issues:
        issues.append(Issue(str(path), "", "no clip is long enough for one window", "leave the subject out"))
    modalities = [m for m in GROUPS if f"signals/{m}" in loaded]
    windows, clips = len(loaded.get("labels", ())), len(set(loaded.get("trial", ())))
    return [tuple(x) for x in issues], windows, modalities, clips, digest_of(arrays), digest_of(reports)


def _stored(found: Found) -> dict[Path, tuple[str, ...]]:
    """The files of a subject and the keys of their numbers, without the labels of layouts A, B and C."""
    match found.layout:
        case Layout.SIGNALS:
            keys = (key for kind in KINDS.values() for key in (kind.key, kind.rate_key))
            return {found.path / "datas.mat": tuple(keys)}
        case Layout.FEATURES:
            return {found.path / name: tuple(key for key, _ in held.values()) for name, held in FILES.items()}
        case Layout.MERGED:
            return {found.path: ("feas",)}
    return {found.path: tuple(f"{half}_{m}" for half in ("train", "test") for m in (*SPLIT_SHAPES, "label"))}


def _window_issues(file: Path, key: str, x: np.ndarray) -> list[Issue]:
    """Issues of the windows x [n, ...] of one array."""
    flat = x.reshape(len(x), -1)
    issues = row_issue(file, key, ~np.isfinite(flat).all(1), "not finite", "extract it again")
    if still := still_issue(file, key, np.nan_to_num(flat.real)):
        return issues + still
    if x.ndim == 3 and CHANNELS in x.shape[1:] and len(x) >= FEWEST_WINDOWS:
        channels = np.moveaxis(x.real, x.shape.index(CHANNELS, 1), 0).reshape(CHANNELS, -1)
        what = "is the same in every window: the electrode may be off"
        off = np.flatnonzero(np.ptp(channels, axis=1) == 0)
        issues += [Issue(str(file), f"{key}, channel {channel}", what, CHECK_SENSOR) for channel in off]
    return issues
