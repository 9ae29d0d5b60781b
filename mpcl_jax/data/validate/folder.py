"""All faults of a user's own folder: `meta.json`, every file, every key, and what only shows between files."""

import collections
from pathlib import Path

import numpy as np

from mpcl_jax.data.folder import load as own
from mpcl_jax.data.folder.between import between_issues, session_hint, shapes_of
from mpcl_jax.data.folder.files import list_files, name_for_read, names_of
from mpcl_jax.data.folder.meta import PRESENT, ROW_KEYS, Meta, find_issues, read_meta, suggestion
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.data.issues import (
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
from mpcl_jax.data.normalise import far_values, notes_on
from mpcl_jax.types import DataFileError, beyond

STILL = 120.0  # seconds for which a worn sensor of known rate may say the same
LEFT_OUT = "correct it, or leave the file out"


def examine(root: str) -> Examined:
    """Every fault below `root`, and what it holds. Each file is read once."""
    folder = Path(root)
    if not folder.is_dir():
        issue = Issue(
            root, "", "is not a folder", "give the folder with meta.json and a .npz file per subject"
        )
        return Examined((issue,), Summary(0, 0, {}, (), ()))
    issues = [as_issue(error) for error in find_issues(folder / "meta.json")]
    meta = None if issues else read_meta(folder / "meta.json")
    files = list_files(folder)
    issues += [
        Issue(str(x), "", "is not read: only *.npz directly in the folder is", name_for_read(x, folder))
        for x in files.lost
    ]
    if not files.read:
        issues.append(Issue(root, "", "holds no .npz file", "write one per subject with numpy.savez"))
    shapes, prints, rows, absent = collections.defaultdict(dict), {}, 0, collections.Counter()
    highest, accepted = [], []
    for file in files.read:
        held = attempt(issues, read_npz, file)
        if held is None:
            continue
        own_issues = _file_issues(file, held, meta)
        subject = None
        if not own_issues and meta:  # the loader has the last word
            subject = attempt(own_issues, own.check_subject, file, held, meta)
        accepted += [subject] if subject else []
        issues += own_issues
        names = [m for m in (meta.groups if meta else held) if m in held and _is_signal(m)]
        for m in names:
            shapes[m].setdefault(held[m].shape[1:], file)
        absent.update(m for m in (meta.groups if meta else ()) if m not in held)
        numbers = subject.signals if subject else {m: held[m] for m in names if held[m].dtype.kind in "biuf"}
        prints[str(file)] = _print_of(numbers, meta)
        labels = held.get("labels", np.empty(0))
        rows += len(labels) if labels.ndim else 0
        if labels.ndim == 2 and labels.dtype.kind in "biuf" and len(labels):
            highest.append(labels.max(0))
    issues += twin_issues(
        prints, "holds the same signals", "keep one of them: one subject may not count as two"
    )
    issues += _between_files(folder, meta, shapes, highest) if files.read else []
    issues += between_issues(accepted, meta.of_stimulus) if meta else []
    far, notes = _of_features(accepted, meta, folder) if meta and accepted else ([], ())
    issues += far
    named = {s.file: s.subject for s in accepted if s.has_subject}
    if hint := session_hint(file.stem for file in files.read if file not in named):
        fix = "write `subject` into every such file: the same for sessions of one subject (docs/own_data.md)"
        issues.append(Issue(root, "", hint, fix))
    missing = [f"{m} in {n} of {len(files.read)} files" for m, n in absent.items()]
    missing += [f"not read: {names_of(files.other, folder)}"] if files.other else []
    groups, emotions = (dict(meta.groups), meta.emotions) if meta else ({}, ())
    people = len({named.get(file, file.stem) for file in files.read})
    return Examined(tuple(issues), Summary(people, rows, groups, emotions, tuple(missing), notes))


def _of_features(
    subjects: list[own.Subject], meta: Meta, folder: Path
) -> tuple[list[Issue], tuple[str, ...]]:
    """Values far outside their feature in all accepted files, and what a run would note on the features."""
    try:
        recordings = own.joined_of(subjects, meta, shapes_of(subjects, meta, folder), folder)
    except DataFileError:  # shapes that differ, a modality in no file: named one by one elsewhere
        return [], ()
    issues, ends = [], np.cumsum([len(s.labels) for s in subjects])
    for far in far_values(recordings):
        at = int(np.searchsorted(ends, far.row, side="right"))
        row = far.row - int(ends[at]) + len(subjects[at].labels)
        place = f"{far.place}, row {row}"
        issues.append(Issue(str(subjects[at].file), place, far.what, "write NaN where it is wrong"))
    return issues, notes_on(recordings)


def _print_of(signals: dict[str, np.ndarray], meta: Meta | None) -> str:
    """The print of the numbers of the subject; "" where there are none.

    Of an accepted file they are those of a run, in float32. Others are compared as they are: float32 may have made
    them equal, which is another issue.
    """
    of_stimulus = meta.of_stimulus if meta else ()
    own_numbers = [
        x.astype(np.float64).reshape(len(x), -1)
        for m, x in signals.items()
        if m not in of_stimulus and x.ndim and x.size
    ]
    return print_of(own_numbers) if own_numbers else ""


def _is_signal(key: str) -> bool:
    return key not in ROW_KEYS and not key.startswith(PRESENT)


def _between_files(folder: Path, meta: Meta | None, shapes: dict, highest: list[np.ndarray]) -> list[Issue]:
    issues = []
    for m, found in shapes.items():
        files = list(found.items())
        for shape, file in files[1:]:
            what = f"has {list(shape)} tokens and features, in {files[0][1].name} it has {list(files[0][0])}"
            issues.append(Issue(str(file), m, what, "extract it alike for all people"))
    if meta is None:
        return issues
    for m in meta.groups:
        if m not in shapes:
            issues.append(
                Issue(
                    str(folder / "meta.json"), f"modalities.{m}", "is in no .npz file", "remove it or add it"
                )
            )
    if highest and {len(x) for x in highest} == {len(meta.emotions)}:
        for column in np.flatnonzero(np.max(highest, axis=0) == 0):
            what = f"{meta.emotions[column]!r} is 0 in every row of every file"
            issues.append(
                Issue(
                    str(folder / "meta.json"),
                    f"emotions[{column}]",
                    what,
                    "remove the emotion and its column",
                )
            )
    return issues


def _file_issues(file: Path, held: dict[str, np.ndarray], meta: Meta | None) -> list[Issue]:
    """Faults of one file; without a usable `meta` only those that need none."""
    issues = []
    if meta:
        known = [*ROW_KEYS, *meta.groups, *(PRESENT + m for m in meta.groups)]
        issues += [
            Issue(str(file), key, "unknown key", suggestion(key, known)) for key in held if key not in known
        ]
    n, label_found = _check_labels(file, held, meta)
    issues += label_found
    if n is None:
        return issues
    for key, x in held.items():
        if key != "subject" and (x.ndim == 0 or len(x) != n):
            fix = "give every key one row per window"
            issues.append(Issue(str(file), key, f"has shape {x.shape}, labels have {n} rows", fix))
    whole = {key: x for key, x in held.items() if x.ndim and len(x) == n}
    names = [m for m in (meta.groups if meta else whole) if m in whole and _is_signal(m)]
    present = {m: _present_of(issues, file, whole, m, n) for m in names}
    for key in held:
        if key.startswith(PRESENT) and key.removeprefix(PRESENT) not in held:
            issues.append(Issue(str(file), key, "there are no such signals", "remove it or add the signals"))
    for m in names:
        issues += _signal_issues(file, m, whole[m], present[m], meta)
    if names and not label_found:
        nothing = ~np.any(list(present.values()), axis=0)
        issues += row_issue(file, "windows", nothing, "no modality is present", "leave these windows out")
    return issues + _id_issues(file, whole)


def _check_labels(file: Path, held: dict, meta: Meta | None) -> tuple[int | None, list[Issue]]:
    """Number of rows, None where the labels do not say, and the faults of the labels."""
    if "labels" not in held:
        return None, [Issue(str(file), "labels", "is missing", "add the reports of the windows [N, C]")]
    labels = held["labels"]
    if labels.dtype.kind not in "biuf":
        return None, [Issue(str(file), "labels", f"holds {labels.dtype}, wanted numbers", LEFT_OUT)]
    c = len(meta.emotions) if meta else labels.shape[-1] if labels.ndim else 0
    if labels.ndim != 2 or labels.shape[1] != c or len(labels) == 0:
        what = f"has shape {labels.shape}, wanted [windows, {c}]"
        fix = "give one column for each emotion of meta.json"
        return None, [Issue(str(file), "labels", what, fix)]
    names = np.array([f"row {row}" for row in range(len(labels))])
    return len(labels), label_issues(file, "labels", labels.astype(np.float64), names)


def _present_of(issues: list[Issue], file: Path, held: dict, m: str, n: int) -> np.ndarray:
    x = held.get(PRESENT + m, np.ones(n, bool))
    if x.ndim != 1 or x.dtype.kind not in "biuf" or not np.isin(x, (0, 1)).all():
        issues.append(
            Issue(str(file), PRESENT + m, "is not one 0 or 1 per window", "write 1 where it was recorded")
        )
        return np.ones(n, bool)
    return x.astype(bool)


def _signal_issues(file: Path, m: str, x: np.ndarray, present: np.ndarray, meta: Meta | None) -> list[Issue]:
    if x.ndim not in (2, 3) or 0 in x.shape or x.dtype.kind not in "biuf":
        what = f"is {x.dtype} {x.shape}, wanted numbers [windows, tokens, features]"
        return [Issue(str(file), m, what, LEFT_OUT)]
    x = x.reshape(len(x), -1, x.shape[-1])[present]
    issues = []
    bad, what = beyond(x)  # NaN is a missing value, which a run replaces
    rows = np.zeros(len(present), bool)
    rows[np.flatnonzero(present)[bad]] = True
    issues += row_issue(file, m, rows, what, f"write NaN there, or set {PRESENT}{m} to 0 in these rows")
    rate = meta.rates.get(m) if meta else None
    if rate and not np.isnan(meta.window_seconds) and abs(x.shape[1] - rate * meta.window_seconds) > 1:
        what = f"has {x.shape[1]} samples a window, {rate:g} Hz for {meta.window_seconds:g} s do not fit"
        issues.append(
            Issue(str(file), m, what, "correct 'rate' or 'window_seconds' in meta.json, or resample")
        )
    x = x[~bad & np.isfinite(x).all((1, 2))]
    if not len(x):
        return issues
    if rate and x.shape[1] > 1:  # samples in time
        return issues + channel_issues(file, m, x.reshape(-1, x.shape[2]), rate, STILL)
    of_stimulus = meta is not None and m in meta.of_stimulus
    return issues if of_stimulus else issues + still_issue(file, m, x)


def _id_issues(file: Path, held: dict) -> list[Issue]:
    """Trials that do not hold together: two reports, two stimuli, or windows that are not in time order."""
    issues = []
    for key in ("trial", "stimulus"):
        x = held.get(key)
        if x is not None and (x.ndim != 1 or x.dtype.kind not in "iuUS"):
            what = f"holds {x.dtype} {x.shape}, wanted one whole number or text per window"
            issues.append(Issue(str(file), key, what, LEFT_OUT))
    start = held.get("start")
    if start is not None and (start.ndim != 1 or start.dtype.kind not in "biuf"):
        issues.append(
            Issue(str(file), "start", f"holds {start.dtype} {start.shape}", "give seconds, one per window")
        )
        start = None
    trial = held.get("trial")
    if trial is None or any(f.place == "trial" for f in issues):
        return issues
    trial = trial.astype(str)
    issues += row_issue(file, "trial", trial == "", "has no name", "name the trial of every window")
    labels, stimulus = held["labels"], held.get("stimulus")
    for name in dict.fromkeys(trial.tolist()):
        rows = np.flatnonzero(trial == name)
        for key, x in (("labels", labels), ("stimulus", stimulus)):
            other = (
                rows[[not np.array_equal(x[r], x[rows[0]], equal_nan=x.dtype.kind == "f") for r in rows]]
                if x is not None
                else []
            )
            if len(other):
                place = f"{key}, rows {rows[0]} and {other[0]}"
                what = f"differ within trial {name!r}: one recording has one report and one stimulus"
                issues.append(Issue(str(file), place, what, "correct the row, or name two trials"))
        if start is not None:
            issues += _start_issues(file, name, rows, start[rows])
    return issues


def _start_issues(file: Path, name: str, rows: np.ndarray, start: np.ndarray) -> list[Issue]:
    steps = np.diff(start)
    for bad, what, fix in (
        (np.isinf(start[1:]) | np.isinf(start[:-1]), "is infinite", "write NaN where it is not known"),
        (
            steps == 0,
            f"says the same as the row before, in trial {name!r}",
            "count from the beginning of the trial",
        ),
        (steps < 0, f"goes back in time within trial {name!r}", "sort the windows of a trial by time"),
    ):
        if bad.any():
            return [Issue(str(file), f"start, row {rows[1:][bad][0]}", what, fix)]
    return []
