"""Checks between the files of a user's own folder: shapes, names spelt in two ways, modalities of the stimulus."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpcl_jax.data.folder.files import Files, alike, names_of, sessions_of
from mpcl_jax.data.folder.meta import Meta
from mpcl_jax.data.issues import Issue

SAME = 1e-4  # relative; what is computed twice from one stimulus differs by rounding


def between_issues(subjects: Sequence[Any], meta: Meta) -> list[Issue]:
    """Issues of the checked files (`folder.Subject`) that one file alone does not show."""
    issues = _spelling_issues("subject", [(s.file, [s.subject]) for s in subjects])
    issues += _spelling_issues("stimulus", [(s.file, s.stimulus.tolist()) for s in subjects])
    for s in subjects:
        issues += _spelling_issues("trial", [(s.file, s.trial.tolist())])
    for m in meta.of_stimulus:
        issues += _stimulus_issues(m, [s for s in subjects if m in s.signals])
    return issues


def session_hint(stems: Iterable[str]) -> str:
    """One sentence about files whose names look like sessions of one subject; "" where there are none."""
    found = sessions_of(stems)
    if not found:
        return ""
    names = next(iter(found.values()))
    return (
        f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''} look like sessions of one subject by name "
        f"({len(found)} such groups of files), but each file counts as a subject of its own"
    )


def _spelling_issues(key: str, names: list[tuple[Path, list[str]]]) -> list[Issue]:
    file_of = {name: file for file, held in reversed(names) for name in held}
    issues = []
    for first, second in alike(name for _, held in names for name in held):
        here = "" if file_of[first] == file_of[second] else f" of {file_of[first].name}"
        what = f"{second!r} and {first!r}{here} differ in capital letters or blanks only"
        issues.append(Issue(str(file_of[second]), key, what, f"write one name if they are the same {key}"))
    return issues


def _stimulus_issues(m: str, subjects: list[Any]) -> list[Issue]:
    """Issues of a modality of the stimulus (meta.json): its rows must not depend on the subject."""
    issues, first = [], {}
    for s in subjects:
        rows = np.flatnonzero(s.present[m])
        unnamed = rows[s.stimulus[rows] == ""]
        if len(unnamed):
            what = f"describes the stimulus (meta.json), but {len(unnamed)} windows name no stimulus"
            issues.append(Issue(str(s.file), m, what, "give `stimulus` in this file"))
            continue
        for row, place in zip(rows.tolist(), _places(s, rows), strict=True):
            other = first.setdefault(place, (s.signals[m][row], s.file, row))
            if not np.allclose(s.signals[m][row], other[0], rtol=SAME, atol=1e-6):
                what = (
                    f"differs from row {other[2]} of {other[1].name}, which has the same stimulus {place[0]!r} at "
                    f"{place[1]}, but describes the stimulus (meta.json)"
                )
                fix = f"correct it, give `start`, or remove 'of' from modalities.{m} of meta.json"
                issues.append(Issue(str(s.file), f"{m}, row {row}", what, fix))
                break
    return issues


def _places(subject: Any, rows: np.ndarray) -> list[tuple[str, str]]:
    """Stimulus and time of `rows`; where no start is known, the number of the window within its trial."""
    count, places = Counter(), []
    for row in rows.tolist():
        trial, start = str(subject.trial[row]), float(subject.start[row])
        count[trial] += 1
        at = f"window {count[trial]} of a trial" if np.isnan(start) else f"{start:.3f} s"
        places.append((str(subject.stimulus[row]), at))
    return places


def shape_issues(subjects: Sequence[Any], meta: Meta, folder: Path) -> list[Issue]:
    """Modalities that no file has, or whose tokens and features differ between files."""
    issues = []
    for m in meta.groups:
        having = [s for s in subjects if m in s.signals]
        if not having:
            issues.append(Issue(str(folder), m, "is in no .npz file", "remove it from meta.json or add it"))
        for s in having:
            shape, wanted = s.signals[m].shape[1:], having[0].signals[m].shape[1:]
            if shape != wanted:
                what = f"has {shape} tokens and features, in {having[0].file} it has {wanted}"
                issues.append(Issue(str(s.file), m, what, "extract it alike for all subjects"))
    return issues


def notes_of(subjects: Sequence[Any], files: Files, folder: Path) -> tuple[str, ...]:
    """What a reader of results on these recordings has to know."""
    notes = []
    unnamed = [s.file.name for s in subjects if not s.has_trials]
    if files.lost:
        notes.append(f"not read: {names_of(files.lost, folder)}; only *.npz directly in the folder is")
    if hint := session_hint(s.file.stem for s in subjects if not s.has_subject):
        notes.append(f"{hint}; give them one `subject` (docs/own_data.md) if they are")
    named = {s.subject: s.file.name for s in reversed(subjects) if s.has_subject}
    for s in subjects:
        if not s.has_subject and s.subject in named:
            notes.append(
                f"{s.file.name} names no subject and counts as {s.subject!r} by its name; {named[s.subject]} names "
                "the same subject: rename the first if it is of another subject"
            )
    if unnamed:
        shown = ", ".join(unnamed[:3] + ["..."] * (len(unnamed) > 3))
        notes.append(
            f"{len(unnamed)} of {len(subjects)} files name no trials ({shown}): neighbouring "
            "windows with equal labels and stimulus count as one trial; trial_kfold is not offered"
        )
    if not all((s.stimulus != "").all() for s in subjects):
        notes.append("not every window names its stimulus: protocols that hold out stimuli are not possible")
    return tuple(notes)
