"""Recordings of laboratories: EDF and BDF files, read by MNE, and the physiological recordings of BIDS."""

import fnmatch
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpcl_jax.data.io.refusals import refusing
from mpcl_jax.data.io.safe_read import read_json, run_guarded
from mpcl_jax.data.tables.long_table import modality_columns
from mpcl_jax.data.tables.read_table import Table, read_table, roles_of
from mpcl_jax.data.tables.reports import Options
from mpcl_jax.data.tables.sessions import Mark, Session, Signal
from mpcl_jax.types import DataError

EDF = (".edf", ".bdf")
SCALES = {"V": 1.0, "mV": 1e-3, "µV": 1e-6, "uV": 1e-6, "nV": 1e-9}  # MNE returns volts


def read_edf(files: Iterable[Path], root: Path, options: Options) -> tuple[list[Session], list[str]]:
    """One session a file, in the units of the file; annotations are its trials. Needs the extra `mne`."""
    sessions, notes = [], []
    for file in files:
        held = run_guarded(parse_edf, str(file))
        columns = dict(zip(held["channels"], held["x"], strict=True))
        signals, of_columns = _signals(file, columns, held["rate"], 0.0, options)
        notes += [*of_columns, *(f"MNE on {file.name}: {text}" for text in held["noted"])]
        ends = len(held["x"].T) / held["rate"]
        marks = _marks(held["names"], held["onset"], held["duration"], ends)
        sessions.append(Session(str(file), *_subject_of(file, root), signals, held["began"], marks))
    return [session for session in sessions if session.signals], list(dict.fromkeys(notes))


def _signals(
    file: Path, columns: dict[str, np.ndarray], rate: float, first: float, options: Options
) -> tuple[dict[str, Signal], list[str]]:
    """The modalities of one file, and notes; a file need not have all modalities that the options name."""
    chosen = {m: p for m, p in options.modalities.items() if any(fnmatch.filter(columns, x) for x in p)}
    if options.modalities and not chosen:
        return {}, []
    names = [name for name in columns if not re.search(r"trigger|time|status", name, re.IGNORECASE)]
    table = Table(file, columns, np.empty(0))
    by_name, notes = modality_columns(names, table, options._replace(modalities=chosen))
    return {
        m: Signal(np.stack([columns[c] for c in own], 1), rate, first) for m, own in by_name.items()
    }, notes


def parse_edf(path: str) -> dict[str, Any]:
    """Channels and annotations of an EDF or BDF file: run this in a guarded child process only."""
    try:
        import mne
    except ImportError as error:
        raise DataError(path, "needs pip install 'mpcl-jax[mne]'") from error
    read = mne.io.read_raw_bdf if path.lower().endswith(".bdf") else mne.io.read_raw_edf
    with (
        refusing(path, "is not a readable EDF or BDF file; export it again"),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        raw = read(path, preload=True, verbose="warning")
    noted = [" ".join(str(x.message).split())[:200] for x in caught if x.category is RuntimeWarning]
    units = getattr(raw, "_orig_units", {})
    scale = np.array([SCALES.get(units.get(name, ""), 1.0) for name in raw.ch_names])
    date, notes = raw.info["meas_date"], raw.annotations
    return {
        "channels": list(raw.ch_names),
        "rate": float(raw.info["sfreq"]),
        "x": raw.get_data() / scale[:, None],
        "began": date.timestamp() if date else float("nan"),
        "names": [str(name) for name in notes.description],
        "onset": np.asarray(notes.onset, np.float64),
        "duration": np.asarray(notes.duration, np.float64),
        "noted": noted,  # what MNE warns of, e.g. a file that ends early
    }


def _marks(names: list[str], onset: np.ndarray, duration: np.ndarray, ends: float) -> tuple[Mark, ...]:
    """Trials; one without a duration lasts until the next one. The second "rest" is "rest-2"."""
    order = np.argsort(onset, kind="stable")
    marks = []
    for i, at in enumerate(order):
        following = onset[order[i + 1]] if i + 1 < len(order) else ends
        earlier = sum(names[j] == names[at] for j in order[:i])
        name = f"{names[at]}-{earlier + 1}" if earlier else names[at]
        length = duration[at] if duration[at] > 0 else following - onset[at]
        marks.append(Mark(name, float(onset[at]), float(onset[at] + length)))
    return tuple(marks)


def _subject_of(file: Path, root: Path) -> tuple[str, str]:
    """Subject and session of a file: by its BIDS name, or the first folder below `root`, or its own name."""
    stem = file.name.partition(".")[0]
    if found := re.match(r"(sub-[A-Za-z0-9]+)_?(.*)", stem):
        return found[1], re.sub(r"_?(recording-[A-Za-z0-9]+|physio|eeg|emg)(?=_|$)", "", found[2]).strip("_")
    inside = file.relative_to(root).parts if file != root else (file.name,)
    return (inside[0], "/".join((*inside[1:-1], stem))) if len(inside) > 1 else (stem, "")


def read_bids(files: Iterable[Path], root: Path, options: Options) -> tuple[list[Session], list[str]]:
    """One session a run: its `*_physio.tsv.gz` files with their JSON, and the trials of its `*_events.tsv`."""
    sessions, notes = {}, []
    for file in files:
        about = {"StartTime": 0.0} | _sidecar(file, root)
        names, rate, first = (about.get(key) for key in ("Columns", "SamplingFrequency", "StartTime"))
        if not (isinstance(names, list) and isinstance(first, int | float)):
            raise DataError(file, "has no JSON with Columns and StartTime; add it (BIDS)")
        if not (isinstance(rate, int | float) and rate > 0):
            raise DataError(file, "has no JSON with a SamplingFrequency above 0; add it (BIDS)")
        held = run_guarded(parse_physio, str(file), [str(name) for name in names])
        columns = dict(zip(map(str, names), held, strict=True))
        signals, of_columns = _signals(file, columns, float(rate), float(first), options)
        notes += of_columns
        key = _subject_of(file, root)
        events = re.sub(r"(_recording-[A-Za-z0-9]+)?_physio\.tsv\.gz$", "_events.tsv", file.name)
        marks = _events(file.with_name(events)) if file.with_name(events).is_file() else ()
        earlier = sessions[key].signals if key in sessions else {}
        sessions[key] = Session(str(file), *key, earlier | signals, marks=marks)
    return [session for session in sessions.values() if session.signals], list(dict.fromkeys(notes))


def parse_physio(path: str, names: list[str]) -> np.ndarray:
    """The columns [K, n] of a BIDS recording: run this in a guarded child process only."""
    with refusing(path, f"is no table of numbers with the {len(names)} columns of its JSON; export it again"):
        frame = pd.read_csv(path, sep="\t", header=None, dtype=np.float64, na_values=["n/a"])
    if frame.shape[1] != len(names):
        reason = f"has {frame.shape[1]} columns; its JSON names {len(names)}: {', '.join(names)}"
        raise DataError(path, reason)
    return frame.to_numpy().T


def _sidecar(file: Path, root: Path) -> dict[str, Any]:
    """The JSON of a recording: beside it, or in a folder above with fewer entities; the nearest one wins."""
    about, entities = {}, set(file.name.removesuffix(".tsv.gz").split("_"))
    folders = [folder for folder in (file.parent, *file.parent.parents) if folder.is_relative_to(root)]
    for folder in reversed(folders or [file.parent]):
        for found in sorted(folder.glob("*physio.json"), key=lambda x: len(x.name)):
            if set(found.stem.split("_")) <= entities and isinstance(held := read_json(found), dict):
                about |= held
    return about


def _events(file: Path) -> tuple[Mark, ...]:
    """The rows of an events file as trials; they are called by their column trial, trial_type or stimulus."""
    table = read_table(file, ["trial_type"])
    given = {"trial": "trial_type"} if "trial_type" in table.columns else {}
    name = roles_of(table, given).get("trial")
    for column in ("onset", "duration"):
        if column not in table.columns or table.columns[column].dtype.kind != "f":
            raise DataError(file, f"has no column {column} of numbers; add it (BIDS)")
    names = list(table.columns[name]) if name else [str(i + 1) for i in range(len(table.row))]
    return _marks(names, table.columns["onset"], np.nan_to_num(table.columns["duration"]), np.inf)
