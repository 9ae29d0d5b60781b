"""All faults of a user's own folder: `meta.json`, every file, every key, and what only shows between files."""

import collections
from pathlib import Path

import numpy as np

from mpcl_jax.data.folder import load as own
from mpcl_jax.data.folder.between import between_faults, session_hint, shapes_of
from mpcl_jax.data.folder.files import list_files, name_for_read, names_of
from mpcl_jax.data.folder.meta import PRESENT, ROW_KEYS, Meta, find_faults, read_meta, suggestion
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.data.normalise import far_values, notes_on
from mpcl_jax.data.validate.issues import (
    Examined,
    Fault,
    Summary,
    as_fault,
    attempt,
    channel_faults,
    label_faults,
    print_of,
    row_fault,
    still_fault,
    twin_faults,
)
from mpcl_jax.types import DataFileError, beyond

STILL = 120.0  # seconds for which a worn sensor of known rate may say the same
LEFT_OUT = "correct it, or leave the file out"


def examine(root: str) -> Examined:
    """Every fault below `root`, and what it holds. Each file is read once."""
    folder = Path(root)
    if not folder.is_dir():
        fault = Fault(
            root, "", "is not a folder", "give the folder with meta.json and a .npz file per subject"
        )
        return Examined((fault,), Summary(0, 0, {}, (), ()))
    faults = [as_fault(error) for error in find_faults(folder / "meta.json")]
    meta = None if faults else read_meta(folder / "meta.json")
    files = list_files(folder)
    faults += [
        Fault(str(x), "", "is not read: only *.npz directly in the folder is", name_for_read(x, folder))
        for x in files.lost
    ]
    if not files.read:
        faults.append(Fault(root, "", "holds no .npz file", "write one per subject with numpy.savez"))
    shapes, prints, rows, absent = collections.defaultdict(dict), {}, 0, collections.Counter()
    highest, accepted = [], []
    for file in files.read:
        held = attempt(faults, read_npz, file)
        if held is None:
            continue
        own_faults = _file_faults(file, held, meta)
        subject = None
        if not own_faults and meta:  # the loader has the last word
            subject = attempt(own_faults, own.check_subject, file, held, meta)
        accepted += [subject] if subject else []
        faults += own_faults
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
    faults += twin_faults(
        prints, "holds the same signals", "keep one of them: one subject may not count as two"
    )
    faults += _between_files(folder, meta, shapes, highest) if files.read else []
    faults += between_faults(accepted, meta.of_stimulus) if meta else []
    far, notes = _of_features(accepted, meta, folder) if meta and accepted else ([], ())
    faults += far
    named = {s.file: s.subject for s in accepted if s.has_subject}
    if hint := session_hint(file.stem for file in files.read if file not in named):
        fix = "write `subject` into every such file: the same for sessions of one subject (docs/own_data.md)"
        faults.append(Fault(root, "", hint, fix))
    missing = [f"{m} in {n} of {len(files.read)} files" for m, n in absent.items()]
    missing += [f"not read: {names_of(files.other, folder)}"] if files.other else []
    groups, emotions = (dict(meta.groups), meta.emotions) if meta else ({}, ())
    people = len({named.get(file, file.stem) for file in files.read})
    return Examined(tuple(faults), Summary(people, rows, groups, emotions, tuple(missing), notes))


def _of_features(
    subjects: list[own.Subject], meta: Meta, folder: Path
) -> tuple[list[Fault], tuple[str, ...]]:
    """Values far outside their feature in all accepted files, and what a run would note on the features."""
    try:
        recordings = own.joined_of(subjects, meta, shapes_of(subjects, meta, folder), folder)
    except DataFileError:  # shapes that differ, a modality in no file: named one by one elsewhere
        return [], ()
    faults, ends = [], np.cumsum([len(s.labels) for s in subjects])
    for far in far_values(recordings):
        at = int(np.searchsorted(ends, far.row, side="right"))
        row = far.row - int(ends[at]) + len(subjects[at].labels)
        place = f"{far.place}, row {row}"
        faults.append(Fault(str(subjects[at].file), place, far.what, "write NaN where it is wrong"))
    return faults, notes_on(recordings)


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


def _between_files(folder: Path, meta: Meta | None, shapes: dict, highest: list[np.ndarray]) -> list[Fault]:
    faults = []
    for m, found in shapes.items():
        files = list(found.items())
        for shape, file in files[1:]:
            what = f"has {list(shape)} tokens and features, in {files[0][1].name} it has {list(files[0][0])}"
            faults.append(Fault(str(file), m, what, "extract it alike for all people"))
    if meta is None:
        return faults
    for m in meta.groups:
        if m not in shapes:
            faults.append(
                Fault(
                    str(folder / "meta.json"), f"modalities.{m}", "is in no .npz file", "remove it or add it"
                )
            )
    if highest and {len(x) for x in highest} == {len(meta.emotions)}:
        for column in np.flatnonzero(np.max(highest, axis=0) == 0):
            what = f"{meta.emotions[column]!r} is 0 in every row of every file"
            faults.append(
                Fault(
                    str(folder / "meta.json"),
                    f"emotions[{column}]",
                    what,
                    "remove the emotion and its column",
                )
            )
    return faults


def _file_faults(file: Path, held: dict[str, np.ndarray], meta: Meta | None) -> list[Fault]:
    """Faults of one file; without a usable `meta` only those that need none."""
    faults = []
    if meta:
        known = [*ROW_KEYS, *meta.groups, *(PRESENT + m for m in meta.groups)]
        faults += [
            Fault(str(file), key, "unknown key", suggestion(key, known)) for key in held if key not in known
        ]
    n, label_found = _check_labels(file, held, meta)
    faults += label_found
    if n is None:
        return faults
    for key, x in held.items():
        if key != "subject" and (x.ndim == 0 or len(x) != n):
            fix = "give every key one row per window"
            faults.append(Fault(str(file), key, f"has shape {x.shape}, labels have {n} rows", fix))
    whole = {key: x for key, x in held.items() if x.ndim and len(x) == n}
    names = [m for m in (meta.groups if meta else whole) if m in whole and _is_signal(m)]
    present = {m: _present_of(faults, file, whole, m, n) for m in names}
    for key in held:
        if key.startswith(PRESENT) and key.removeprefix(PRESENT) not in held:
            faults.append(Fault(str(file), key, "there are no such signals", "remove it or add the signals"))
    for m in names:
        faults += _signal_faults(file, m, whole[m], present[m], meta)
    if names and not label_found:
        nothing = ~np.any(list(present.values()), axis=0)
        faults += row_fault(file, "windows", nothing, "no modality is present", "leave these windows out")
    return faults + _id_faults(file, whole)


def _check_labels(file: Path, held: dict, meta: Meta | None) -> tuple[int | None, list[Fault]]:
    """Number of rows, None where the labels do not say, and the faults of the labels."""
    if "labels" not in held:
        return None, [Fault(str(file), "labels", "is missing", "add the reports of the windows [N, C]")]
    labels = held["labels"]
    if labels.dtype.kind not in "biuf":
        return None, [Fault(str(file), "labels", f"holds {labels.dtype}, wanted numbers", LEFT_OUT)]
    c = len(meta.emotions) if meta else labels.shape[-1] if labels.ndim else 0
    if labels.ndim != 2 or labels.shape[1] != c or len(labels) == 0:
        what = f"has shape {labels.shape}, wanted [windows, {c}]"
        fix = "give one column for each emotion of meta.json"
        return None, [Fault(str(file), "labels", what, fix)]
    names = np.array([f"row {row}" for row in range(len(labels))])
    return len(labels), label_faults(file, "labels", labels.astype(np.float64), names)


def _present_of(faults: list[Fault], file: Path, held: dict, m: str, n: int) -> np.ndarray:
    x = held.get(PRESENT + m, np.ones(n, bool))
    if x.ndim != 1 or x.dtype.kind not in "biuf" or not np.isin(x, (0, 1)).all():
        faults.append(
            Fault(str(file), PRESENT + m, "is not one 0 or 1 per window", "write 1 where it was recorded")
        )
        return np.ones(n, bool)
    return x.astype(bool)


def _signal_faults(file: Path, m: str, x: np.ndarray, present: np.ndarray, meta: Meta | None) -> list[Fault]:
    if x.ndim not in (2, 3) or 0 in x.shape or x.dtype.kind not in "biuf":
        what = f"is {x.dtype} {x.shape}, wanted numbers [windows, tokens, features]"
        return [Fault(str(file), m, what, LEFT_OUT)]
    x = x.reshape(len(x), -1, x.shape[-1])[present]
    faults = []
    bad, what = beyond(x)  # NaN is a missing value, which a run replaces
    rows = np.zeros(len(present), bool)
    rows[np.flatnonzero(present)[bad]] = True
    faults += row_fault(file, m, rows, what, f"write NaN there, or set {PRESENT}{m} to 0 in these rows")
    rate = meta.rates.get(m) if meta else None
    if rate and not np.isnan(meta.window_seconds) and abs(x.shape[1] - rate * meta.window_seconds) > 1:
        what = f"has {x.shape[1]} samples a window, {rate:g} Hz for {meta.window_seconds:g} s do not fit"
        faults.append(
            Fault(str(file), m, what, "correct 'rate' or 'window_seconds' in meta.json, or resample")
        )
    x = x[~bad & np.isfinite(x).all((1, 2))]
    if not len(x):
        return faults
    if rate and x.shape[1] > 1:  # samples in time
        return faults + channel_faults(file, m, x.reshape(-1, x.shape[2]), rate, STILL)
    of_stimulus = meta is not None and m in meta.of_stimulus
    return faults if of_stimulus else faults + still_fault(file, m, x)


def _id_faults(file: Path, held: dict) -> list[Fault]:
    """Trials that do not hold together: two reports, two stimuli, or windows that are not in time order."""
    faults = []
    for key in ("trial", "stimulus"):
        x = held.get(key)
        if x is not None and (x.ndim != 1 or x.dtype.kind not in "iuUS"):
            what = f"holds {x.dtype} {x.shape}, wanted one whole number or text per window"
            faults.append(Fault(str(file), key, what, LEFT_OUT))
    start = held.get("start")
    if start is not None and (start.ndim != 1 or start.dtype.kind not in "biuf"):
        faults.append(
            Fault(str(file), "start", f"holds {start.dtype} {start.shape}", "give seconds, one per window")
        )
        start = None
    trial = held.get("trial")
    if trial is None or any(f.place == "trial" for f in faults):
        return faults
    trial = trial.astype(str)
    faults += row_fault(file, "trial", trial == "", "has no name", "name the trial of every window")
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
                faults.append(Fault(str(file), place, what, "correct the row, or name two trials"))
        if start is not None:
            faults += _start_faults(file, name, rows, start[rows])
    return faults


def _start_faults(file: Path, name: str, rows: np.ndarray, start: np.ndarray) -> list[Fault]:
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
            return [Fault(str(file), f"start, row {rows[1:][bad][0]}", what, fix)]
    return []
