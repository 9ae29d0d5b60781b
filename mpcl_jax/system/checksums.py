"""`SHA256SUMS`: what every file of a folder must hold, so that damage is found before it is read.

The file has the form of the program sha256sum (`sha256sum -c SHA256SUMS` checks it without Python). Comments
around the list say what the folder is and what the list itself must be, so that a changed list, or the list of
another folder, is found as well. It protects against accidents; whoever can write the folder can write the list.
"""

import hashlib
import os
import pathlib
import re
from typing import NamedTuple

from mpcl_jax.system.os_errors import explained

NAME = "SHA256SUMS"


def epoch_of(folder: pathlib.Path) -> int | None:
    """The number of finished epochs that a checkpoint's folder is named by; None for what is no checkpoint."""
    return int(folder.name) if re.fullmatch(r"[0-9]{1,9}", folder.name) and folder.is_dir() else None


def steps_in(folder: pathlib.Path) -> list[int]:
    """Finished epochs of the checkpoints in a folder, the newest first; whatever else lies there is passed over."""
    epochs = (epoch_of(place) for place in folder.glob("*"))
    return sorted((epoch for epoch in epochs if epoch is not None), reverse=True)


def of_epoch(epoch: int) -> str:
    """What the checkpoint after `epoch` says it is."""
    return f"mpcl_jax checkpoint after epoch {epoch}"


class Damage(NamedTuple):
    """What is wrong with a folder."""

    file: pathlib.Path
    reason: str


def write_checksums(folder: pathlib.Path, about: str) -> None:
    """Lists every file below `folder`, and brings all of them to the disk. `about`: what this folder is."""
    body = _body(about, {name: _digest(folder / name, sync=True) for name in _names(folder)})
    with (folder / NAME).open("w", encoding="utf-8") as file:
        file.write(body + _seal(body))
        file.flush()
        os.fsync(file.fileno())


def damage_in(folder: pathlib.Path, about: str) -> Damage | None:
    """The first listed file that is not what the list of `folder` says, or None.

    `about` must be what was given when the list was written. Files that are not listed do no harm: file managers and
    network disks leave some (.DS_Store, .nfs…, ._x, desktop.ini), and nothing reads them.
    """
    try:
        return _compare(folder, about)
    except OSError as error:
        return Damage(pathlib.Path(error.filename or folder), f"can not be read ({explained(error)})")


def _compare(folder: pathlib.Path, about: str) -> Damage | None:
    sums = folder / NAME
    if not sums.exists():
        return Damage(sums, "is missing")
    text = sums.read_bytes().decode("utf-8", errors="replace")
    body, _, _ = text.rpartition("# sha256 of the lines above")
    if text != body + _seal(body):
        return Damage(sums, "is damaged")
    if not body.startswith(f"# {about}\n"):
        return Damage(sums, f"belongs to another folder: {body.splitlines()[0]!r} is not {'# ' + about!r}")
    wanted = {line[66:]: line[:64] for line in body.splitlines() if not line.startswith("#")}
    found = set(_names(folder))
    for name in sorted(wanted):
        if name not in found:
            return Damage(folder / name, "is missing")
        if _digest(folder / name) != wanted[name]:
            return Damage(folder / name, "is damaged: its sha256 is not that of the file that was written")
    return None


def _body(about: str, digests: dict[str, str]) -> str:
    return f"# {about}\n" + "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def _seal(body: str) -> str:
    return f"# sha256 of the lines above: {hashlib.sha256(body.encode('utf-8')).hexdigest()}\n"


def _names(folder: pathlib.Path) -> list[str]:
    # No file of a checkpoint is hidden; those of file managers and network disks come and go.
    shown = (p for p in folder.rglob("*") if not p.name.startswith(".") and not p.is_dir())
    files = (p.relative_to(folder).as_posix() for p in shown)
    return sorted(name for name in files if name != NAME)


def _digest(file: pathlib.Path, *, sync: bool = False) -> str:
    with file.open("rb") as opened:
        if sync:
            os.fsync(opened.fileno())
        return hashlib.file_digest(opened, "sha256").hexdigest()
