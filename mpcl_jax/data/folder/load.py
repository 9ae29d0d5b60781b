"""A user's own recordings: a folder with one `.npz` per subject and one `meta.json`.

`load` says what belongs into them; `docs/own_data.md` writes such a folder step by step.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpcl_jax.config.data import PROTOCOLS
from mpcl_jax.data.folder.between import between_issues, notes_of, shapes_of
from mpcl_jax.data.folder.files import list_files, name_for_read, names_of
from mpcl_jax.data.folder.meta import PRESENT, ROW_KEYS, Meta, read_meta, suggestion
from mpcl_jax.data.folder.numbers import refuse_rounded
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.types import DataFileError, Recordings, beyond, check_recordings, first_row

WITHOUT_TRIALS = tuple(kind for kind in PROTOCOLS if kind not in ("trial_kfold", "calibrated"))


class Subject(NamedTuple):
    """What one file says. n is the number of its windows."""

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


def load(path: str) -> Recordings:
    """All windows of the folder `path`.

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

    Without `trial`, neighbouring windows with equal labels and stimulus count as one trial; this can not be
    told from two recordings with equal reports, nor a changing label from a new recording. Such data support
    no trial_kfold (`protocols` of the result), and `notes` say so.

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
    subjects = [read_subject(file, meta) for file in files.read]
    joined = joined_of(subjects, meta, shapes_of(subjects, meta, folder), folder)
    for issue in between_issues(subjects, meta.of_stimulus):
        raise DataFileError(issue.file, f"{issue.place}: {issue.what}; {issue.fix}")
    return check_recordings(joined._replace(notes=notes_of(subjects, files, folder)), path)


def read_subject(file: Path, meta: Meta) -> Subject:
    """One file, checked as `load` says."""
    return check_subject(file, read_npz(file), meta)


def check_subject(file: Path, held: dict[str, np.ndarray], meta: Meta) -> Subject:
    """What `file` holds, checked as `load` says. The subject's id is only ever a label, never part of a path."""
    if not file.stem.isprintable() or len(file.stem) > 100:
        raise DataFileError(ascii(file.name), "is no name for a subject; use up to 100 printable characters")
    known = [*ROW_KEYS, *meta.groups, *(PRESENT + m for m in meta.groups)]
    for key in held:
        if key not in known:
            raise DataFileError(file, f"{key!r}: unknown key; {suggestion(key, known)}")
    labels = _labels(file, held, meta)
    n = len(labels)
    for key, x in held.items():
        if key != "subject" and (x.ndim == 0 or len(x) != n):
            raise DataFileError(file, f"{key!r} has shape {x.shape}; labels have {n} rows")
    signals, present = {}, {}
    for m in meta.groups:
        if m in held:
            here = _present(file, held, m)
            refuse_rounded(file, m, held[m], here)
            x = _signals(file, m, held[m], here, meta)
            present[m] = here & ~np.isnan(x).all((1, 2))
            signals[m] = np.where(present[m][:, None, None], x, np.float32(0))
        elif PRESENT + m in held:
            raise DataFileError(file, f"{PRESENT + m!r}: there is no {m!r}; remove it or add the signals")
    nothing = ~np.any([np.zeros(n, bool), *present.values()], axis=0)
    _refuse_rows(file, "the windows", nothing, "no modality is present; leave these windows out")
    stimulus = _ids(file, held, "stimulus") if "stimulus" in held else np.full(n, "")
    trial = _ids(file, held, "trial") if "trial" in held else _runs(labels, stimulus)
    return Subject(
        file=file,
        subject=_subject(file, held),
        signals=signals,
        present=present,
        labels=labels,
        trial=np.array([f"{file.stem}/{x}" for x in trial]),
        stimulus=stimulus,
        start=_start(file, held, trial),
        has_trials="trial" in held,
        has_subject="subject" in held,
    )


def _refuse_rows(file: Path, key: str, bad: np.ndarray, what: str) -> None:
    """Raises DataFileError naming the first of the rows where `bad` [N] is True."""
    if bad.any():
        raise DataFileError(file, first_row(key, bad, what))


def _numbers(file: Path, key: str, x: np.ndarray) -> np.ndarray:
    if x.dtype.kind not in "biuf":
        raise DataFileError(file, f"{key!r} holds {x.dtype}; wanted real numbers")
    return x


def _labels(file: Path, held: dict[str, np.ndarray], meta: Meta) -> np.ndarray:
    """[N, C] distributions."""
    if "labels" not in held:
        raise DataFileError(file, f"'labels' is missing; it holds {', '.join(held) or 'nothing'}")
    labels = _numbers(file, "labels", held["labels"]).astype(np.float64)
    c = len(meta.emotions)
    if labels.ndim != 2 or labels.shape[1] != c or len(labels) == 0:
        raise DataFileError(
            file,
            f"'labels' has shape {labels.shape}; wanted [windows, {c}], a column per emotion of meta.json",
        )
    _refuse_rows(file, "'labels'", ~np.isfinite(labels).all(1), "not finite; leave windows without label out")
    _refuse_rows(file, "'labels'", (labels < 0).any(1), "negative; wanted strengths >= 0")
    top = labels.max(1, keepdims=True)
    _refuse_rows(file, "'labels'", top[:, 0] == 0, "no emotion is above 0; leave windows without label out")
    labels = labels / top  # so that the sum of very large numbers does not overflow
    return labels / labels.sum(1, keepdims=True)


def _present(file: Path, held: dict[str, np.ndarray], m: str) -> np.ndarray:
    """[N] bool."""
    key = PRESENT + m
    if key not in held:
        return np.ones(len(held["labels"]), bool)
    x = _numbers(file, key, held[key])
    if x.ndim != 1 or not np.isin(x, (0, 1)).all():
        raise DataFileError(file, f"{key!r}: wanted one 0 or 1 per window")
    return x.astype(bool)


def _signals(file: Path, m: str, x: np.ndarray, present: np.ndarray, meta: Meta) -> np.ndarray:
    """[N, T, F] float32, zeros where absent, NaN where a feature is missing."""
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise DataFileError(file, f"{m!r} has shape {x.shape}; wanted [windows, tokens, features]")
    x = _numbers(file, m, x).reshape(len(x), -1, x.shape[-1])
    if m in meta.rates and not math.isnan(meta.window_seconds):
        samples = meta.rates[m] * meta.window_seconds
        if abs(x.shape[1] - samples) > 1:
            raise DataFileError(
                file,
                f"{m!r} has {x.shape[1]} samples a window; meta.json says {meta.rates[m]:g} per second for "
                f"{meta.window_seconds:g} s = {samples:g}; remove 'rate' if the second axis is not time",
            )
    with np.errstate(over="ignore"):  # what does not fit float32 becomes inf and is refused below
        x = np.where(present[:, None, None], x, 0).astype(np.float32)
    huge, what = beyond(x)
    _refuse_rows(file, f"{m!r}", huge, f"{what}, and {PRESENT}{m} 0 where the modality is absent")
    return x


def _ids(file: Path, held: dict[str, np.ndarray], key: str) -> np.ndarray:
    """[N] str from integers or text."""
    x = held[key]
    if x.ndim != 1 or x.dtype.kind not in "iuUS":
        raise DataFileError(
            file, f"{key!r} holds {x.dtype} of shape {x.shape}; wanted one whole number or text per window"
        )
    if x.dtype.kind == "S":
        _refuse_rows(file, f"{key!r}", np.array([not y.isascii() for y in x]), "bytes that are no ASCII text")
    x = x.astype(str)
    odd = np.array([not y.isprintable() or len(y) > 100 for y in x])
    _refuse_rows(file, f"{key!r}", odd, "wanted at most 100 printable characters")
    if key == "trial":
        _refuse_rows(file, "'trial'", x == "", "empty; every window needs the name of its trial")
    return x


def _subject(file: Path, held: dict[str, np.ndarray]) -> str:
    """The subject that the file names, else the name of the file."""
    if "subject" not in held:
        return file.stem
    x = np.atleast_1d(held["subject"])
    if x.dtype.kind not in "iuUS":
        raise DataFileError(
            file, f"'subject' holds {x.dtype}; wanted one whole number or text for the whole file"
        )
    names = set(_ids(file, {"subject": x}, "subject").tolist())
    if len(names) != 1 or not (name := names.pop().strip()):
        raise DataFileError(file, "'subject': wanted one id for the whole file; write one file per subject")
    return name


def _runs(labels: np.ndarray, stimulus: np.ndarray) -> np.ndarray:
    """[N] number of the run of neighbouring windows with equal labels and stimulus."""
    new = (labels[1:] != labels[:-1]).any(1) | (stimulus[1:] != stimulus[:-1])
    return np.concatenate([[0], np.cumsum(new)]).astype(str)


def _start(file: Path, held: dict[str, np.ndarray], trial: np.ndarray) -> np.ndarray:
    """[N] seconds, NaN where unknown."""
    if "start" not in held:
        return np.full(len(trial), np.nan)
    start = _numbers(file, "start", held["start"]).astype(np.float64)
    if start.ndim != 1:
        raise DataFileError(file, f"'start' has shape {start.shape}; wanted one number per window")
    _refuse_rows(file, "'start'", np.isinf(start), "infinite; use NaN where it is not known")
    seen = {}
    for row, (name, seconds) in enumerate(zip(trial.tolist(), start.tolist(), strict=True)):
        window = (name, f"{seconds + 0.0:.3f}")  # as in the names of the rows that protocols make
        if not math.isnan(seconds) and window in seen:
            raise DataFileError(
                file,
                f"'start', row {row}: row {seen[window]} of trial {name!r} starts at {window[1]} s too; "
                "'start' counts from the beginning of the trial",
            )
        seen[window] = row
    return start


def joined_of(
    subjects: list[Subject], meta: Meta, shapes: dict[str, tuple[int, int]], folder: Path
) -> Recordings:
    """The windows of all `subjects`, in that order; `shapes` as `folder_between.shapes_of` finds them."""
    signals, present = {}, {}
    for m, shape in shapes.items():
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
