"""All issues of a user's own folder: `meta.json`, every file, every key, and what only shows between files."""

import collections
from pathlib import Path

import numpy as np

from mpcl_jax.data.folder import load as own
from mpcl_jax.data.folder.between import between_issues, session_hint, shape_issues
from mpcl_jax.data.folder.checks import file_issues, present_of, start_issues, values_of
from mpcl_jax.data.folder.files import Files, list_files, name_for_read, names_of
from mpcl_jax.data.folder.meta import PRESENT, Meta, examine_meta
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.data.issues import Examined, Issue, Summary, attempt, digest_of, duplicate_issues
from mpcl_jax.data.normalise import far_values, notes_on
from mpcl_jax.data.validate.signals import channel_issues, still_issue

STILL = 120.0  # seconds for which a worn sensor of known rate may repeat a value


def examine(root: str) -> Examined:
    """Every issue below `root`, and what it holds. Each file is read once."""
    folder = Path(root)
    if not folder.is_dir():
        fix = "give the folder with meta.json and a .npz file per subject"
        return Examined((Issue(root, "", "is not a folder", fix),), Summary(0, 0, {}, (), ()))
    meta, issues = examine_meta(folder / "meta.json")
    files = list_files(folder)
    what = "is not read: only *.npz directly in the folder is"
    issues += [Issue(str(x), "", what, name_for_read(x, folder)) for x in files.lost]
    if not files.read:
        issues.append(Issue(root, "", "holds no .npz file", "write one per subject with numpy.savez"))
    if meta is None:
        missing = ("a usable meta.json: the files were not checked",)
        return Examined(tuple(issues), Summary(len(files.read), 0, {}, (), missing))
    return _examine_files(folder, meta, files, issues)


def _examine_files(folder: Path, meta: Meta, files: Files, issues: list[Issue]) -> Examined:
    subjects, rows, absent, unusable = [], 0, collections.Counter(), set()
    for file in files.read:
        held = attempt(issues, read_npz, file)
        if held is None:
            continue
        absent.update(m for m in meta.groups if m not in held)
        rows += len(held["labels"]) if held.get("labels", np.empty(())).ndim else 0
        found = file_issues(file, held, meta)
        issues += found
        unusable |= set(held) if found else set()
        if not found:
            subjects.append(own.subject_of(file, held, meta))
            issues += start_issues(file, subjects[-1].trial, subjects[-1].start)
        # A bad row of the labels is no reason to leave the signals unchecked.
        wrong = {x.place.partition(",")[0] for x in found if not x.place.startswith("labels, ")}
        issues += _quality_issues(file, held, meta, wrong)
    # A modality that no usable file has may be in a file with issues.
    issues += [
        x for x in _issues_of(subjects, meta, folder) if "no .npz" not in x.what or x.place not in unusable
    ]
    named = {s.file: s.subject for s in subjects if s.has_subject}
    if hint := session_hint(file.stem for file in files.read if file not in named):
        fix = "write `subject` into every such file: the same for sessions of one subject (docs/own_data.md)"
        issues.append(Issue(str(folder), "", hint, fix))
    missing = [f"{m} in {n} of {len(files.read)} files" for m, n in absent.items()]
    missing += [f"not read: {names_of(files.other, folder)}"] if files.other else []
    notes = ()
    if subjects and not shape_issues(subjects, meta, folder):
        recordings = own.joined_of(subjects, meta, folder)
        notes = notes_on(recordings)
        issues += _far_issues(subjects, recordings)
    count = len({named.get(file, file.stem) for file in files.read})
    summary = Summary(count, rows, dict(meta.groups), meta.emotions, tuple(missing), notes)
    return Examined(tuple(issues), summary)


def _issues_of(subjects: list[own.Subject], meta: Meta, folder: Path) -> list[Issue]:
    """Issues between the files of `subjects`."""
    if not subjects:
        return []
    own_signals = {
        str(s.file): digest_of(x for m, x in s.signals.items() if m not in meta.of_stimulus) for s in subjects
    }
    issues = duplicate_issues(own_signals, "signals", "keep one of them: one subject may not count as two")
    issues += shape_issues(subjects, meta, folder) + between_issues(subjects, meta)
    used = np.max([s.labels.max(0) for s in subjects], axis=0)
    for column in np.flatnonzero(used == 0):
        what = f"{meta.emotions[column]!r} is 0 in every row of every file"
        fix = "remove the emotion and its column"
        issues.append(Issue(str(folder / "meta.json"), f"emotions[{column}]", what, fix))
    return issues


def _far_issues(subjects: list[own.Subject], recordings) -> list[Issue]:
    """Values far outside their feature."""
    issues, ends = [], np.cumsum([len(s.labels) for s in subjects])
    for far in far_values(recordings):
        at = int(np.searchsorted(ends, far.row, side="right"))
        row = far.row - int(ends[at]) + len(subjects[at].labels)
        place = f"{far.place}, row {row}"
        issues.append(Issue(str(subjects[at].file), place, far.what, "write NaN where it is wrong"))
    return issues


def _quality_issues(file: Path, held: dict[str, np.ndarray], meta: Meta, wrong: set[str]) -> list[Issue]:
    """What the loader accepts: sensors that were off, and trials that do not hold together; `wrong` keys aside."""
    issues = []
    usable = [m for m in meta.groups if m in held and not {m, PRESENT + m, "labels"} & wrong]
    for m in usable:
        x = values_of(held, m)
        x = x[present_of(held, m) & np.isfinite(x).all((1, 2))]
        if len(x) and m in meta.rates and x.shape[1] > 1:  # samples in time
            issues += channel_issues(file, m, x.reshape(-1, x.shape[2]), meta.rates[m], STILL)
        elif m not in meta.of_stimulus:
            issues += still_issue(file, m, x)
    trial = held.get("trial", np.zeros(0)).astype(str)
    if not {"trial", "labels"} & wrong:
        for name in dict.fromkeys(trial.tolist()):
            of_trial = {
                key: held[key] for key in ("labels", "stimulus", "start") if key in held and key not in wrong
            }
            issues += _trial_issues(str(file), name, np.flatnonzero(trial == name), of_trial)
    return issues


def _trial_issues(file: str, name: str, rows: np.ndarray, held: dict[str, np.ndarray]) -> list[Issue]:
    """Two reports or two stimuli in the `rows` of one trial, or windows that are not in time order."""
    issues = []
    for key in [key for key in ("labels", "stimulus") if key in held]:
        x = held[key].reshape(len(held[key]), -1)
        other = rows[(x[rows] != x[rows[0]]).any(1)]
        if len(other):
            what = f"differ within trial {name!r}: one recording has one report and one stimulus"
            place = f"{key}, rows {rows[0]} and {other[0]}"
            issues.append(Issue(file, place, what, "correct the row, or name two trials"))
    back = rows[1:][np.diff(held["start"][rows]) < 0] if "start" in held else ()
    if len(back):
        what = f"goes back in time within trial {name!r}"
        issues.append(Issue(file, f"start, row {back[0]}", what, "sort the windows of a trial by time"))
    return issues
