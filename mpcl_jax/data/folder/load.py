"""A user's own recordings: a folder with one `.npz` per subject and one `meta.json`.

`load` describes them; `docs/own_data.md` writes such a folder step by step.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpcl_jax.config.data import PROTOCOLS
from mpcl_jax.data.folder.between import between_issues, notes_of, shape_issues
from mpcl_jax.data.folder.checks import file_issues, present_of, start_issues, values_of
from mpcl_jax.data.folder.files import list_files, name_for_read, names_of
from mpcl_jax.data.folder.meta import Meta, read_meta
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.data.issues import refuse
from mpcl_jax.types import DataFileError, Recordings, check_recordings

WITHOUT_TRIALS = tuple(kind for kind in PROTOCOLS if kind not in ("trial_kfold", "calibrated"))


class Subject(NamedTuple):
    """The content of one file. n is the number of its windows."""

    file: Path
    subject: str  # the id: that of the file, or its name
    signals: dict[str, np.ndarray]  # m -> [n, T, F] float32, only the modalities of this file
    present: dict[str, np.ndarray]  # m -> [n] bool, only the modalities of this file
    labels: np.ndarray  # [n, C] float64, rows sum to 1
    trial: np.ndarray  # [n] str, "name of the file/trial"
    stimulus: np.ndarray  # [n] str
    start: np.ndarray  # [n] float64
    has_trials: bool  # whether the file names its trials
    has_subject: bool  # whether the file names its subject


def load(path: str, labelled: bool = True) -> Recordings:
    """All windows of the folder `path`; unless `labelled`, files may lack labels and then have equal shares.

    `<subject>.npz`, one file a subject, written with `numpy.savez`; the file's name without `.npz` is the
    subject's id, unless the file names its subject: several files with one `subject` are sessions of that subject.
    N windows, C emotions; T tokens (or samples) and F features may differ between modalities, not between subjects.

        labels       [N, C] numbers >= 0   how strong each emotion is; every row is divided by its sum
        <modality>   [N, T, F] or [N, F]   numbers; [N, F] is read as one token. NaN where a feature is missing;
                                           a window of NaN alone is absent. A modality that a file lacks is
                                           absent from all windows of that subject
        present_<modality>   [N] 0 or 1    optional; where 0, that modality is absent and its numbers unread
        subject      integer or text       optional; the subject's id, one for the whole file
        trial        [N] integers or text  optional; windows of one uninterrupted recording with one report
                                           share it. It need not be unique between files
        stimulus     [N] integers or text  optional; the clip or condition, the same name for every subject
        start        [N] seconds           optional; since the beginning of the trial, NaN where unknown

    `meta.json`:

        emotions        list of {"name": ..., "valence": ...} in the order of the columns of labels; valence is
                        the group of the emotion, e.g. "positive" or "negative"
        modalities      {"<modality>": {"group": "physiological" or "behavioural"}}; for raw signals also
                        "rate", samples per second, which is checked against T and window_seconds; for what
                        describes the stimulus and is equal for every subject "of": "stimulus"
        name            optional; for titles. Default: the name of the folder
        window_seconds  optional; seconds covered by one window

    Without `trial`, neighbouring windows with equal labels and stimulus count as one trial; two recordings with
    equal reports look the same, and so do a changing label and a new recording. Such data support no trial_kfold
    (`protocols` of the result), and `notes` report it.

    Raises DataFileError naming file, key, row and what to do: unknown keys, wrong shapes, labels that are
    negative or sum to 0, infinite or huge numbers in a present window, windows without any modality, two
    windows of a trial with one start, shapes that differ between subjects, features that float32 rounds away,
    names that differ in capital letters or blanks only, and a modality of the stimulus that differs between windows
    with one stimulus and start.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataFileError(path, "is not a folder; wanted one with meta.json and a .npz file per subject")
    meta = read_meta(folder / "meta.json")
    files = list_files(folder)
    if not files.read:
        lost = f"{names_of(files.lost, folder)}: {name_for_read(files.lost[0], folder)}" if files.lost else ""
        raise DataFileError(path, f"holds no .npz file; {lost or 'write one per subject with numpy.savez'}")
    subjects = [read_subject(file, meta, labelled) for file in files.read]
    joined = joined_of(subjects, meta, folder)
    refuse(between_issues(subjects, meta))
    return check_recordings(joined._replace(notes=notes_of(subjects, files, folder)), path)


def read_subject(file: Path, meta: Meta, labelled: bool = True) -> Subject:
    """One file, checked as `load` describes."""
    held = read_npz(file)
    if not labelled and "labels" not in held:
        windows = next((len(held[m]) for m in meta.groups if m in held and held[m].ndim), 0)
        held["labels"] = np.ones((windows, len(meta.emotions)))
    refuse(file_issues(file, held, meta))
    subject = subject_of(file, held, meta)
    refuse(start_issues(file, subject.trial, subject.start))
    return subject


def subject_of(file: Path, held: dict[str, np.ndarray], meta: Meta) -> Subject:
    """What `file` holds, if there are no `file_issues`. Ids are labels and never part of a path."""
    raw = held["labels"].astype(np.float64)
    labels = raw / raw.max(1, keepdims=True)  # so that the sum of very large numbers does not overflow
    labels /= labels.sum(1, keepdims=True)
    n = len(labels)
    stimulus = held["stimulus"].astype(str) if "stimulus" in held else np.full(n, "")
    trial = held["trial"].astype(str) if "trial" in held else _runs(labels, stimulus)
    names = [m for m in meta.groups if m in held]
    present = {m: present_of(held, m) for m in names}
    return Subject(
        file=file,
        subject=str(np.atleast_1d(held["subject"]).astype(str)[0]).strip()
        if "subject" in held
        else file.stem,
        signals={m: np.where(present[m][:, None, None], values_of(held, m), np.float32(0)) for m in names},
        present=present,
        labels=labels,
        trial=np.array([f"{file.stem}/{x}" for x in trial]),
        stimulus=stimulus,
        start=held["start"].astype(np.float64) if "start" in held else np.full(n, np.nan),
        has_trials="trial" in held,
        has_subject="subject" in held,
    )


def _runs(labels: np.ndarray, stimulus: np.ndarray) -> np.ndarray:
    """[N] number of the run of neighbouring windows with equal labels and stimulus."""
    new = (labels[1:] != labels[:-1]).any(1) | (stimulus[1:] != stimulus[:-1])
    return np.concatenate([[0], np.cumsum(new)]).astype(str)


def joined_of(subjects: list[Subject], meta: Meta, folder: Path) -> Recordings:
    """The windows of all `subjects`, in that order.

    Raises DataFileError where the shape of a modality differs, or no file has it.
    """
    refuse(shape_issues(subjects, meta, folder))
    signals, present = {}, {}
    for m in meta.groups:
        shape = next(s.signals[m].shape[1:] for s in subjects if m in s.signals)
        rows = [s.signals.get(m, np.zeros((len(s.labels), *shape), np.float32)) for s in subjects]
        signals[m] = np.concatenate(rows)
        present[m] = np.concatenate([s.present.get(m, np.zeros(len(s.labels), bool)) for s in subjects])
    return Recordings(
        name=meta.name or names_of([folder.resolve()], folder.resolve().parent),
        emotions=meta.emotions,
        valence=meta.valence,
        groups=dict(meta.groups),
        signals=signals,
        present=present,
        quality={m: x.astype(np.float32) for m, x in present.items()},
        labels=np.concatenate([s.labels for s in subjects]).astype(np.float32),
        subject=np.concatenate([np.full(len(s.labels), s.subject) for s in subjects]),
        trial=np.concatenate([s.trial for s in subjects]),
        stimulus=np.concatenate([s.stimulus for s in subjects]),
        start=np.concatenate([s.start for s in subjects]),
        duration=meta.window_seconds,
        protocols=() if all(s.has_trials for s in subjects) else WITHOUT_TRIALS,
        of_stimulus=meta.of_stimulus,
    )
