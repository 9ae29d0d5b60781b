"""Checks between the files of a user's own folder: shapes, names spelt in two ways, modalities of the stimulus."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mpcl_jax.data.folder.files import Files, names_of, sessions_of, spelling
from mpcl_jax.data.folder.meta import Meta
from mpcl_jax.data.issues import Issue
from mpcl_jax.data.join import Part, shape_issues

SAME = 1e-4  # relative; what is computed twice from one stimulus differs by rounding


def between_issues(subjects: Sequence[Part], meta: Meta) -> list[Issue]:
    """Issues of the checked files that one file alone does not show."""
    issues = _spelling_issues("subject", [(s.source, [s.subject]) for s in subjects])
    issues += _spelling_issues("stimulus", [(s.source, s.stimulus.tolist()) for s in subjects])
    for s in subjects:
        issues += _spelling_issues("trial", [(s.source, s.trial.tolist())])
    for m in meta.of_stimulus:
        issues += _stimulus_issues(m, [s for s in subjects if m in s.signals])
    return issues


def modality_issues(subjects: Sequence[Part], meta: Meta, folder: Path) -> list[Issue]:
    """Modalities that no file has, or whose tokens and features differ between files."""
    fix = "remove it from meta.json or add it"
    nowhere = [m for m in meta.groups if not any(m in s.signals for s in subjects)]
    issues = [Issue(str(folder), m, "is in no .npz file", fix) for m in nowhere]
    return issues + shape_issues(subjects, meta.groups)


def session_hint(stems: Iterable[str]) -> str:
    """One sentence about files whose names look like sessions of one subject; "" where there are none."""
    found = sessions_of(stems)
    if not found:
        return ""
    names = next(iter(found.values()))
    shown = f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''} look like sessions of one subject"
    return f"{shown} by name ({len(found)} such groups of files), but each file counts as a subject"


def _spelling_issues(key: str, names: list[tuple[Path, list[str]]]) -> list[Issue]:
    """Names that differ only in what `spelling` leaves out, each with the first of its spelling."""
    file_of, first, issues = {}, {}, []
    for file, held in names:
        for name in held:
            file_of.setdefault(name, file)
    for name, file in file_of.items():
        if (other := first.setdefault(spelling(name), name)) != name:
            here = "" if file_of[other] == file else f" of {file_of[other].name}"
            what = f"{name!r} and {other!r}{here} differ in capital letters or blanks only"
            issues.append(Issue(str(file), key, what, f"write one name if they are the same {key}"))
    return issues


def _stimulus_issues(m: str, subjects: list[Part]) -> list[Issue]:
    """Issues of a modality of the stimulus (meta.json): its rows must not depend on the subject."""
    issues, first = [], {}
    for s in subjects:
        rows = np.flatnonzero(~np.isnan(s.signals[m]).all((1, 2)))
        if unnamed := int((s.stimulus[rows] == "").sum()):
            what = f"describes the stimulus (meta.json), but {unnamed} windows name no stimulus"
            issues.append(Issue(str(s.source), m, what, "give `stimulus` in this file"))
            continue
        count = Counter()
        for row in rows.tolist():
            x, start, trial = s.signals[m][row], float(s.start[row]), str(s.trial[row])
            count[trial] += 1
            at = f"window {count[trial]} of a trial" if np.isnan(start) else f"{start:.3f} s"
            stimulus = str(s.stimulus[row])
            other, file, other_row = first.setdefault((stimulus, at), (x, s.source, row))
            if not np.allclose(x, other, rtol=SAME, atol=1e-6):
                same = f"row {other_row} of {file.name}, with the same stimulus {stimulus!r} at {at}"
                what = f"differs from {same}, but describes the stimulus (meta.json)"
                fix = f"correct it, give `start`, or remove 'of' from modalities.{m} of meta.json"
                issues.append(Issue(str(s.source), f"{m}, row {row}", what, fix))
                break
    return issues


def notes_of(subjects: Sequence[Part], files: Files, folder: Path) -> tuple[str, ...]:
    """What a reader of results on these recordings has to know."""
    notes = []
    if files.lost:
        notes.append(f"not read: {names_of(files.lost, folder)}; only *.npz directly in the folder is")
    if hint := session_hint(s.source.stem for s in subjects if "subject" in s.unnamed):
        notes.append(f"{hint}; give them one `subject` (docs/own_data.md) if they are")
    named = {s.subject: s.source.name for s in reversed(subjects) if "subject" not in s.unnamed}
    for s in subjects:
        if "subject" in s.unnamed and s.subject in named:
            same = f"{named[s.subject]} names the same subject: rename the first if it is of another subject"
            notes.append(f"{s.source.name} names no subject and counts as {s.subject!r} by its name; {same}")
    if unnamed := [s.source.name for s in subjects if "trial" in s.unnamed]:
        shown = ", ".join(unnamed[:3] + ["..."] * (len(unnamed) > 3))
        how = "neighbouring windows with equal labels and stimulus count as one trial"
        unnamed = f"{len(unnamed)} of {len(subjects)} files name no trials ({shown})"
        notes.append(f"{unnamed}: {how}; trial_kfold is not offered")
    if not all((s.stimulus != "").all() for s in subjects):
        notes.append("not every window names its stimulus: protocols that hold out stimuli are not possible")
    return tuple(notes)
