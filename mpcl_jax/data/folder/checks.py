"""What is wrong with one file of a user's own folder; the loader refuses the first issue, the validator lists all."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mpcl_jax.data.folder.meta import PRESENT, ROW_KEYS, Meta
from mpcl_jax.data.issues import Issue, label_issues, row_issue
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import beyond

# Share of its largest value below which the spread of a feature is rounding of float64: the feature is constant.
SAME_FLOAT64 = 1e-12


def file_issues(file: Path, held: dict[str, np.ndarray], meta: Meta) -> list[Issue]:
    """Everything for which the arrays `held` in `file` cannot be used; docs/own_data.md describes them."""
    name, issues = str(file), []
    if not file.stem.isprintable() or len(file.stem) > 100:
        fix = "use up to 100 printable characters"
        issues.append(Issue(ascii(file.name), "", "is no name for a subject", fix))
    known = [*ROW_KEYS, *meta.groups, *(PRESENT + m for m in meta.groups)]
    issues += [Issue(name, key, "unknown key", suggestion(key, known)) for key in held if key not in known]
    issues += (of_labels := _label_issues(name, held, meta))
    if any(issue.place == "labels" for issue in of_labels):
        return issues
    n = len(held["labels"])
    odd = [key for key, x in held.items() if key != "subject" and not (x.ndim and len(x) == n)]
    what, fix = "has shape {}; labels have {} rows", "give every key one row per window"
    issues += [Issue(name, key, what.format(held[key].shape, n), fix) for key in odd]
    whole = {key: x for key, x in held.items() if key not in odd}
    absent = np.ones(n, bool)
    for m in meta.groups:
        if PRESENT + m in held and m not in held:
            issues.append(Issue(name, PRESENT + m, f"there is no {m!r}", "remove it or add the signals"))
        of_signal = list(_signal_issues(name, whole, m, meta)) if m in whole else []
        issues += of_signal
        if m in held:
            usable = m in whole and not of_signal
            absent &= np.isnan(values_of(whole, m)).all((1, 2)) if usable else False
    issues += row_issue(name, "windows", absent, "no modality is present", "leave these windows out")
    return issues + list(_id_issues(name, whole))


def presence_of(held: dict[str, np.ndarray], m: str) -> np.ndarray:
    """[N] bool, what the file states: `present_<m>`, or True."""
    return held.get(PRESENT + m, np.ones(len(held[m]), bool)).astype(bool)


def values_of(held: dict[str, np.ndarray], m: str) -> np.ndarray:
    """[N, T, F] float32, NaN where the modality is absent or a feature is missing."""
    x = held[m].reshape(len(held[m]), -1, held[m].shape[-1])
    with np.errstate(over="ignore"):  # what does not fit float32 becomes inf, which is an issue
        return np.where(presence_of(held, m)[:, None, None], x.astype(np.float32), np.float32(np.nan))


def _label_issues(file: str, held: dict[str, np.ndarray], meta: Meta) -> list[Issue]:
    if "labels" not in held:
        what = f"is missing; the file holds {', '.join(held) or 'nothing'}"
        return [Issue(file, "labels", what, "add the reports of the windows [N, C]")]
    labels, c = held["labels"], len(meta.emotions)
    if labels.dtype.kind not in "biuf" or labels.ndim != 2 or labels.shape[1] != c or not len(labels):
        what = f"holds {labels.dtype} of shape {labels.shape}; wanted numbers [windows, {c}]"
        return [Issue(file, "labels", what, "give one column for each emotion of meta.json")]
    return label_issues(file, "labels", labels.astype(np.float64))


def _signal_issues(file: str, held: dict[str, np.ndarray], m: str, meta: Meta) -> Iterator[Issue]:
    x, stated = held[m], held.get(PRESENT + m, np.ones(0))
    if stated.ndim != 1 or stated.dtype.kind not in "biuf" or not np.isin(stated, (0, 1)).all():
        yield Issue(file, PRESENT + m, "wanted one 0 or 1 per window", "write 1 where it was recorded")
        return
    if x.ndim not in (2, 3) or 0 in x.shape or x.dtype.kind not in "biuf":
        what = f"holds {x.dtype} of shape {x.shape}; wanted numbers [windows, tokens, features]"
        yield Issue(file, m, what, "correct it, or leave the file out")
        return
    yield from _rounding_issue(file, m, x, presence_of(held, m))
    values = values_of(held, m)
    rows, what = beyond(values)
    yield from row_issue(file, m, rows, what, f"set {PRESENT}{m} to 0 where the modality is absent")
    if m in meta.rates and not math.isnan(meta.window_seconds):
        samples = meta.rates[m] * meta.window_seconds
        if abs(values.shape[1] - samples) > 1:
            wanted = f"{meta.rates[m]:g} per second for {meta.window_seconds:g} s = {samples:g}"
            what = f"has {values.shape[1]} samples a window; meta.json gives {wanted}"
            yield Issue(file, m, what, "remove 'rate' if the second axis is not time")


def _rounding_issue(file: str, m: str, x: np.ndarray, present: np.ndarray) -> Iterator[Issue]:
    """Features whose differences are smaller than the rounding of float32, with which a run computes."""
    if not present.any():
        return
    flat = np.ma.masked_invalid(x[present].reshape(-1, x.shape[-1]).astype(np.float64))
    spread, largest = flat.std(0).filled(0), np.abs(flat).max(0).filled(0)
    with np.errstate(over="ignore"):  # what does not fit float32 is an issue of its own
        step = np.spacing(largest.astype(np.float32)).astype(np.float64)
    lost = (spread < step) & (spread > SAME_FLOAT64 * largest)
    if lost.any():
        column = int(lost.argmax())
        vary = f"of about {largest[column]:.6g} vary by {spread[column]:.3g}"
        what = f"its values {vary}, less than the rounding of float32 ({step[column]:.3g})"
        place = f"{m}, feature {column} (of {int(lost.sum())} such features)"
        yield Issue(file, place, what, "subtract a constant from it, e.g. its first value")


def _id_issues(file: str, held: dict[str, np.ndarray]) -> Iterator[Issue]:
    for key in ("subject", "trial", "stimulus"):
        if key not in held:
            continue
        x = np.atleast_1d(held[key]) if key == "subject" else held[key]
        if x.ndim != 1 or x.dtype.kind not in "iuUS":
            what = f"holds {x.dtype} of shape {x.shape}; wanted one whole number or text per window"
            yield Issue(file, key, what, "correct it, or leave it out")
            continue
        odd = np.array([not _is_id(y) for y in x.tolist()])
        yield from row_issue(file, key, odd, "wanted at most 100 printable characters", "rename it")
        if odd.any():
            continue
        if key == "subject" and (len(set(x.tolist())) != 1 or not str(x[0]).strip()):
            yield Issue(file, key, "wanted one id for the whole file", "write one file per subject")
        if key == "trial":
            yield from row_issue(file, key, x.astype(str) == "", "has no name", "name every trial")
    start = held.get("start", np.zeros(0))
    if start.ndim != 1 or start.dtype.kind not in "biuf":
        what = f"holds {start.dtype} of shape {start.shape}; wanted seconds, one number per window"
        yield Issue(file, "start", what, "correct it, or leave it out")
    else:
        infinite = np.isinf(start.astype(np.float64))
        yield from row_issue(file, "start", infinite, "infinite", "use NaN where it is not known")


def start_issues(file: Path, trial: np.ndarray, start: np.ndarray) -> list[Issue]:
    """The first window [N] that starts when another one of its trial starts."""
    seen: dict[tuple[str, str], int] = {}
    for row, (name, seconds) in enumerate(zip(trial.tolist(), start.tolist(), strict=True)):
        at = f"{seconds + 0.0:.3f}"  # as in the names of the rows that protocols make
        if not math.isnan(seconds) and (other := seen.setdefault((name, at), row)) != row:
            what = f"row {other} of trial {name!r} starts at {at} s too"
            fix = "'start' counts from the beginning of the trial"
            return [Issue(str(file), f"start, row {row}", what, fix)]
    return []


def _is_id(value: int | str | bytes) -> bool:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.isprintable() and len(text) <= 100 and "\ufffd" not in text
