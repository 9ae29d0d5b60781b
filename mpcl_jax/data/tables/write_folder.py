"""Writes recordings in the folder format: `meta.json` and one `.npz` file a subject."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mpcl_jax.data.folder.files import ABOUT
from mpcl_jax.data.folder.meta import PRESENT
from mpcl_jax.data.issues import Issue, refuse
from mpcl_jax.data.validate import folder as validator
from mpcl_jax.system.storage import writing
from mpcl_jax.types import DataError, Recordings


def require_new(folder: Path) -> None:
    """Raises DataError where `folder` exists and is not an empty folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(folder, "exists and is not empty; give the name of a new folder")


def write_folder(recordings: Recordings, folder: Path, about: Iterable[str] = ()) -> None:
    """Writes `recordings` into the new `folder`, completely or not at all.

    `quality` and `notes` have no place in the format. `about`: lines that are kept beside the data, in `import.txt`.
    Raises DataError where `folder` is not empty, or for the first issue that `mpcl check` would find in the result;
    StorageError where the disk cannot be written.
    """
    require_new(folder)
    aside = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    with writing(folder, sum(x.nbytes for x in recordings.signals.values())):
        try:
            aside.mkdir(parents=True)
            _write(recordings, aside, about)
            refuse(_at_home(issue, aside, folder) for issue in validator.examine(str(aside)).issues)
            if folder.exists():
                folder.rmdir()
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _at_home(issue: Issue, aside: Path, folder: Path) -> Issue:
    return Issue(*(text.replace(str(aside), str(folder)) for text in issue))


def _write(recordings: Recordings, folder: Path, about: Iterable[str]) -> None:
    modalities = {
        m: {"group": group} | ({"of": "stimulus"} if m in recordings.of_stimulus else {})
        for m, group in recordings.groups.items()
    }
    pairs = zip(recordings.emotions, recordings.valence, strict=True)
    meta = {
        "name": recordings.name,
        "emotions": [{"name": e, "valence": v} for e, v in pairs],
        "modalities": modalities,
    }
    if not math.isnan(recordings.duration):
        meta["window_seconds"] = recordings.duration
    (folder / "meta.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
    if lines := list(about):
        (folder / ABOUT).write_text("\n".join(lines) + "\n", encoding="utf-8")
    used = set()
    for number, subject in enumerate(dict.fromkeys(recordings.subject.tolist()), start=1):
        rows = recordings.subject == subject
        # No separator and no name that a file system reads in another way; `subject` in the file is the id.
        stem = re.sub(r"[^\w.-]", "_", subject).strip(".")[:80] or "subject"
        stem = f"{stem}_{number}" if stem.lower() in used else stem
        used.add(stem.lower())
        held = {"labels": recordings.labels[rows], "subject": np.array(subject)}
        held["trial"] = np.array([x.removeprefix(f"{subject}/") for x in recordings.trial[rows].tolist()])
        if (recordings.stimulus[rows] != "").any():
            held["stimulus"] = recordings.stimulus[rows]
        if not np.isnan(recordings.start[rows]).all():
            held["start"] = recordings.start[rows]
        for m, x in recordings.signals.items():
            if (present := recordings.present[m][rows]).any():
                held |= {m: x[rows]} | ({} if present.all() else {PRESENT + m: present})
        np.savez(folder / f"{stem}.npz", **held)
