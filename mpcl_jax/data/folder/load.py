"""A user's own recordings: a folder with one `.npz` per subject and one `meta.json`.

`docs/own_data.md` describes them and writes such a folder step by step.
"""

from pathlib import Path

import numpy as np

from mpcl_jax.config.data import BY_TRIAL, PROTOCOLS
from mpcl_jax.data.folder.between import between_issues, modality_issues, notes_of
from mpcl_jax.data.folder.checks import file_issues, start_issues, values_of
from mpcl_jax.data.folder.files import list_files, name_for_read, names_of
from mpcl_jax.data.folder.meta import Meta, read_meta
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.data.issues import refuse
from mpcl_jax.data.join import Part, joined, runs_of
from mpcl_jax.types import DataError, Recordings, check_recordings

WITHOUT_TRIALS = tuple(kind for kind in PROTOCOLS if kind not in BY_TRIAL)


def load(path: str, labelled: bool = True) -> Recordings:
    """All windows of the folder `path`, whose keys docs/own_data.md describes; without `labelled`, labels may lack.

    The file's name without `.npz` is the subject's id, unless the file names its subject: several files with one
    `subject` are sessions of that subject. T tokens (or samples) and F features may differ between modalities, not
    between subjects. Without `trial`, neighbouring windows with equal labels and stimulus count as one trial; two
    recordings with equal reports look the same, and so do a changing label and a new recording. Such data support no
    trial_kfold (`protocols` of the result), and `notes` report it.

    Raises DataError naming file, key, row and what to do: unknown keys, wrong shapes, labels that are
    negative or sum to 0, infinite or huge numbers in a present window, windows without any modality, two
    windows of a trial with one start, shapes that differ between subjects, features that float32 rounds away,
    names that differ in capital letters or blanks only, and a modality of the stimulus that differs between windows
    with one stimulus and start.
    """
    return _load(path, labelled)[0]


def load_partly_reported(path: str) -> tuple[Recordings, np.ndarray]:
    """`load` for recordings of which some have no report yet, and which windows have one, [N] bool.

    A file without labels, or a row of labels that is all NaN, has no report; its labels are equal shares.
    """
    return _load(path, labelled=False)


def _load(path: str, labelled: bool) -> tuple[Recordings, np.ndarray]:
    folder = Path(path)
    if not (folder / "meta.json").is_file():
        place, what = (folder / "meta.json", "is missing") if folder.is_dir() else (path, "is not a folder")
        how = "mpcl import makes one of tables and recordings"
        raise DataError(place, f"{what}; wanted a folder with meta.json and a .npz file per subject; {how}")
    meta = read_meta(folder / "meta.json")
    files = list_files(folder)
    if not files.read:
        lost = f"{names_of(files.lost, folder)}: {name_for_read(files.lost[0], folder)}" if files.lost else ""
        raise DataError(path, f"holds no .npz file; {lost or 'write one per subject with numpy.savez'}")
    read = [read_subject(file, meta, labelled) for file in files.read]
    subjects, reported = [part for part, _ in read], np.concatenate([known for _, known in read])
    refuse(modality_issues(subjects, meta, folder) + between_issues(subjects, meta))
    recordings = recordings_of(subjects, meta, folder)
    return check_recordings(recordings._replace(notes=notes_of(subjects, files, folder)), path), reported


def read_subject(file: Path, meta: Meta, labelled: bool = True) -> tuple[Part, np.ndarray]:
    """One file, checked as `load` describes, and which of its windows have a report, [n] bool."""
    held = read_npz(file)
    if not labelled and "labels" not in held:
        windows = next((len(held[m]) for m in meta.groups if m in held and held[m].ndim), 0)
        held["labels"] = np.full((windows, len(meta.emotions)), np.nan)
    labels = held.get("labels", np.empty(0))
    missing = np.zeros(len(labels) if labels.ndim else 0, bool)
    if not labelled and labels.ndim == 2 and labels.dtype.kind == "f":
        missing = np.isnan(labels).all(1)
        held["labels"] = np.where(missing[:, None], 1.0, labels)
    refuse(file_issues(file, held, meta))
    subject = subject_of(file, held, meta)
    refuse(start_issues(file, subject.trial, subject.start))
    return subject, ~missing


def subject_of(file: Path, held: dict[str, np.ndarray], meta: Meta) -> Part:
    """What `file` holds, if there are no `file_issues`. Ids are labels and never part of a path."""
    raw = held["labels"].astype(np.float64)
    labels = raw / raw.max(1, keepdims=True)  # so that the sum of very large numbers does not overflow
    labels /= labels.sum(1, keepdims=True)
    stimulus = held["stimulus"].astype(str) if "stimulus" in held else np.full(len(labels), "")
    trial = held["trial"].astype(str) if "trial" in held else runs_of(labels, stimulus)
    return Part(
        source=file,
        subject=str(np.atleast_1d(held["subject"]).astype(str)[0]).strip()
        if "subject" in held
        else file.stem,
        labels=labels,
        trial=np.array([f"{file.stem}/{x}" for x in trial]),
        stimulus=stimulus,
        start=held.get("start", np.full(len(labels), np.nan)).astype(np.float64),
        signals={m: values_of(held, m) for m in meta.groups if m in held},
        unnamed=tuple(key for key in ("subject", "trial") if key not in held),
    )


def recordings_of(subjects: list[Part], meta: Meta, folder: Path) -> Recordings:
    """The windows of all `subjects` without `modality_issues`, in that order."""
    return joined(
        subjects,
        meta.groups,
        name=meta.name or names_of([folder.resolve()], folder.resolve().parent),
        emotions=meta.emotions,
        valence=meta.valence,
        duration=meta.window_seconds,
        protocols=WITHOUT_TRIALS if any("trial" in s.unnamed for s in subjects) else (),
        of_stimulus=meta.of_stimulus,
    )
