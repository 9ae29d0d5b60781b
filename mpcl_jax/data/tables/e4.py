"""Empatica E4 sessions: folders and zip files with EDA.csv, BVP.csv, TEMP.csv, ACC.csv and tags.csv.

The first line of a signal is its start in seconds since 1970 (UTC), the second its rate, the others its samples.
"""

import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from mpcl_jax.data.io.refusals import refusing
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.data.tables.reports import some
from mpcl_jax.data.tables.sessions import Session, Signal
from mpcl_jax.types import DataError

UNIT = {"EDA": 1.0, "BVP": 1.0, "TEMP": 1.0, "ACC": 1 / 64}  # to microsiemens, any unit, degrees Celsius, g
CHANNELS = {"ACC": 3}
MEMBERS = {f"{name}.csv" for name in (*UNIT, "tags")}
MAX_BYTES = 2**30  # of the files of one session together
AGAIN = "download the session again, and do not save it with a spreadsheet program"


def find_sessions(root: Path) -> list[Path]:
    """The session folders and zip files at and below `root`, sorted; a folder wins over a zip file of its name."""
    if root.is_file():
        return [root] if root.suffix.lower() == ".zip" else []
    folders = {file.parent for name in UNIT for file in root.rglob(f"{name}.csv")}
    zips = {file for file in root.rglob("*.zip") if file.with_suffix("") not in folders}
    return sorted(folders | {file for file in zips if not file.name.startswith(".")})


def read_sessions(root: Path) -> tuple[list[Session], list[str]]:
    """All sessions at and below `root`, and what was assumed. Raises DataError naming a file that cannot be used."""
    sessions = []
    for path in find_sessions(root):
        subject, name = _subject_of(path, root)
        held = run_guarded(parse_session, str(path))
        began = min(x["start"] for x in held["signals"].values())
        signals = {
            key.lower(): Signal(x["x"] * UNIT[key], x["rate"], x["start"] - began)
            for key, x in held["signals"].items()
        }
        tags = tuple(float(at) - began for at in held["tags"])
        sessions.append(Session(str(path), subject, name, signals, began, tags=tags))
    subjects = dict.fromkeys(session.subject for session in sessions)
    notes = [
        f"{len(sessions)} Empatica E4 sessions; subjects by folder or zip file: {some(list(subjects))}",
        "EDA in microsiemens, TEMP in degrees Celsius, ACC in 1/64 g; HR and IBI, made of BVP, are not used",
    ]
    return sessions, notes


def _subject_of(path: Path, root: Path) -> tuple[str, str]:
    """Subject and name of a session, from its place below `root`: subject/session, or subject alone."""
    inside = path.relative_to(root).parts
    parts = [
        re.sub(r"([ _-]?E4)?([ _-]Data)?(\.zip)?$", "", part, flags=re.IGNORECASE)
        for part in inside or (root.name,)
    ]
    parts = [part for i, part in enumerate(parts) if part and (not i or part != parts[0])]  # S2/S2_E4_Data
    return (parts or [root.stem])[0], "/".join(parts[1:])


def parse_session(path: str) -> dict[str, Any]:
    """The signals and tags of one session, in memory: run this in a guarded child process only.

    Members of a zip file are found by name and never unpacked to the disk.
    """
    if Path(path).is_dir():
        return _parsed({file.name: file for file in Path(path).iterdir() if file.name in MEMBERS}, path)
    with refusing(path, f"is not a readable zip file; {AGAIN}"), zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if PurePosixPath(info.filename).name in MEMBERS]
        infos = [info for info in infos if "__MACOSX" not in info.filename]
        if len({PurePosixPath(info.filename).parent for info in infos}) > 1:
            raise DataError(path, "holds several sessions; unpack it, and give the folder of the subject")
        if sum(info.file_size for info in infos) > MAX_BYTES:
            raise DataError(path, f"claims more than the {MAX_BYTES:,} bytes allowed for a session")
        return _parsed({PurePosixPath(info.filename).name: archive.open(info) for info in infos}, path)


def _parsed(members: dict[str, Any], path: str) -> dict[str, Any]:
    signals = {
        key: _signal(members[f"{key}.csv"], key, f"{path}/{key}.csv")
        for key in UNIT
        if f"{key}.csv" in members
    }
    if not signals:
        raise DataError(path, f"holds none of {', '.join(UNIT)} as .csv; give the folder of E4 sessions")
    tags = _rows(members["tags.csv"], f"{path}/tags.csv").ravel() if "tags.csv" in members else np.empty(0)
    return {"signals": signals, "tags": np.sort(tags)}


def _signal(opened: Any, key: str, name: str) -> dict[str, Any]:
    rows = _rows(opened, name)
    if rows.shape[1] != CHANNELS.get(key, 1) or len(rows) < 3:
        reason = f"has {len(rows)} rows of {rows.shape[1]} columns; wanted start, rate and samples"
        raise DataError(name, f"{reason} of {CHANNELS.get(key, 1)}; {AGAIN}")
    start, rate = float(rows[0, 0]), float(rows[1, 0])
    if not (start > 1e8 and 0 < rate < 1e4):
        reason = f"begins with {start:g} and {rate:g}; wanted seconds since 1970 and the rate"
        raise DataError(name, f"{reason}; {AGAIN}")
    return {"start": start, "rate": rate, "x": rows[2:]}


def _rows(opened: Any, name: str) -> np.ndarray:
    """All lines as numbers [n, columns]; an empty file has none."""
    try:
        return pd.read_csv(opened, header=None, dtype=np.float64, skipinitialspace=True).to_numpy()
    except pd.errors.EmptyDataError:
        return np.empty((0, 1))
    except ValueError as error:
        raise DataError(name, f"holds text among its numbers ({error}); {AGAIN}") from error
