"""All issues of a user's own folder: `meta.json`, every file, every key, and what only shows between files."""

import collections
from pathlib import Path

import numpy as np

from mpcl_jax.data.copies import copies_of
from mpcl_jax.data.folder.between import between_issues, modality_issues, session_hint
from mpcl_jax.data.folder.checks import file_issues, start_issues, values_of
from mpcl_jax.data.folder.files import Files, list_files, name_for_read, names_of
from mpcl_jax.data.folder.load import recordings_of, subject_of
from mpcl_jax.data.folder.meta import PRESENT, Meta, examine_meta
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.data.issues import SAME_SUBJECT, Examined, Issue, Summary, attempt, digest_of, duplicate_issues
from mpcl_jax.data.join import Part
from mpcl_jax.data.normalise import far_values, notes_on
from mpcl_jax.data.validate.signals import channel_issues, still_issue
from mpcl_jax.types import Recordings

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
        if found:
            unusable |= set(held)
        else:
            subjects.append(subject_of(file, held, meta))
            issues += start_issues(file, subjects[-1].trial, subjects[-1].start)
        # A bad row of the labels is no reason to leave the signals unchecked.
        wrong = {x.place.partition(",")[0] for x in found if not x.place.startswith("labels, ")}
        issues += _quality_issues(file, held, meta, wrong)
    notes = ()
    if subjects:
        of_modalities = modality_issues(subjects, meta, folder)
        issues += (whole := _copies(subjects, meta))
        # A modality that no usable file has may be in a file with issues.
        issues += [x for x in of_modalities if "no .npz" not in x.what or x.place not in unusable]
        issues += between_issues(subjects, meta) + _unused_emotions(subjects, meta, folder)
    named = {s.source: s.subject for s in subjects if "subject" not in s.unnamed}
    if hint := session_hint(file.stem for file in files.read if file not in named):
        fix = "write `subject` into every such file: the same for sessions of one subject (docs/own_data.md)"
        issues.append(Issue(str(folder), "", hint, fix))
    missing = [f"{m} in {n} of {len(files.read)} files" for m, n in absent.items()]
    missing += [f"not read: {names_of(files.other, folder)}"] if files.other else []
    if subjects and not of_modalities:
        recordings = recordings_of(subjects, meta, folder)
        notes = notes_on(recordings)
        issues += _partial_copies(recordings, subjects, {issue.file for issue in whole})
        place = [(s.source, row) for s in subjects for row in range(len(s.labels))]
        for far in far_values(recordings):
            file, row = place[far.row]
            where = f"{far.place}, row {row}"
            issues.append(Issue(str(file), where, far.what, "write NaN where it is wrong"))
    count = len({named.get(file, file.stem) for file in files.read})
    summary = Summary(count, rows, dict(meta.groups), meta.emotions, tuple(missing), notes)
    return Examined(tuple(issues), summary)


def _copies(subjects: list[Part], meta: Meta) -> list[Issue]:
    digests = {}
    for s in subjects:
        own = {m: x for m, x in s.signals.items() if m not in meta.of_stimulus}
        digests[str(s.source)] = digest_of(own.values())
    return duplicate_issues(digests, "signals", SAME_SUBJECT)


def _partial_copies(recordings: Recordings, subjects: list[Part], whole: set[str]) -> list[Issue]:
    """Windows that two subjects share, but for the files that are copies as a `whole`."""
    source = {s.subject: str(s.source) for s in reversed(subjects)}
    found = [pair for pair in copies_of(recordings) if source[pair.second] not in whole]
    return [Issue(source[pair.second], "", pair.sentence, SAME_SUBJECT) for pair in found]


def _unused_emotions(subjects: list[Part], meta: Meta, folder: Path) -> list[Issue]:
    used = np.max([s.labels.max(0) for s in subjects], axis=0)
    what, fix = "is 0 in every row of every file", "remove the emotion and its column"
    unused, file = np.flatnonzero(used == 0), str(folder / "meta.json")
    return [Issue(file, f"emotions[{c}]", f"{meta.emotions[c]!r} {what}", fix) for c in unused]


def _quality_issues(file: Path, held: dict[str, np.ndarray], meta: Meta, wrong: set[str]) -> list[Issue]:
    """What the loader accepts: sensors that were off, and trials that do not hold together; `wrong` keys aside."""
    issues = []
    usable = [m for m in meta.groups if m in held and not {m, PRESENT + m, "labels"} & wrong]
    for m in usable:
        x = values_of(held, m)
        x = x[np.isfinite(x).all((1, 2))]
        if len(x) and m in meta.rates and x.shape[1] > 1:  # samples in time
            issues += channel_issues(file, m, x.reshape(-1, x.shape[2]), meta.rates[m], STILL)
        elif m not in meta.of_stimulus:
            issues += still_issue(file, m, x)
    if {"trial", "labels"} & wrong or "trial" not in held:
        return issues
    trial = held["trial"].astype(str)
    for name in dict.fromkeys(trial.tolist()):
        rows = np.flatnonzero(trial == name)
        for key in ("labels", "stimulus", "start"):
            if key not in held or key in wrong:
                continue
            x = held[key].reshape(len(trial), -1)[rows]
            if key == "start":
                back = rows[1:][np.diff(x[:, 0]) < 0]
                what, fix = f"goes back in time within trial {name!r}", "sort the windows of a trial by time"
                issues += [Issue(str(file), f"start, row {row}", what, fix) for row in back[:1]]
                continue
            other = rows[(x != x[0]).any(1)]
            what = f"differ within trial {name!r}: one recording has one report and one stimulus"
            fix = "correct the row, or name two trials"
            issues += [Issue(str(file), f"{key}, rows {rows[0]} and {row}", what, fix) for row in other[:1]]
    return issues
