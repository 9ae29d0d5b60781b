"""`SHA256SUMS`: checksums of every file of a folder, so that damage is found before the file is read.

`sha256sum -c SHA256SUMS` checks the list without Python. Comments around the list hold the name of the folder's
content and the checksum of the list itself, so that a changed list, or the list of another folder, is found as well.
It protects against accidents; any program that can write the folder can write the list.
"""

import hashlib
import os
import pathlib
import re
from typing import NamedTuple

from mpcl_jax.system.os_errors import explained

NAME = "SHA256SUMS"
SEAL = "# sha256 of the lines above"


def epoch_of(folder: pathlib.Path) -> int | None:
    """The number of finished epochs in the name of a checkpoint folder; None for any other path."""
    return int(folder.name) if re.fullmatch(r"[0-9]{1,9}", folder.name) and folder.is_dir() else None


def steps_in(folder: pathlib.Path) -> list[int]:
    """Finished epochs of the checkpoints in a folder, the newest first; other files are ignored."""
    epochs = (epoch_of(place) for place in folder.glob("*"))
    return sorted((epoch for epoch in epochs if epoch is not None), reverse=True)


def of_epoch(epoch: int | str) -> str:
    """The name of the content of the checkpoint after `epoch`."""
    return f"mpcl_jax checkpoint after epoch {epoch}"


class Damage(NamedTuple):
    """A damaged file of a folder."""

    file: pathlib.Path
    reason: str


def write_checksums(folder: pathlib.Path, about: str) -> None:
    """Lists every file below `folder`, and brings all of them to the disk. `about`: name of the content."""
    # No file of a checkpoint is hidden; those of file managers and network disks come and go.
    files = (p for p in folder.rglob("*") if not p.name.startswith(".") and p.name != NAME and p.is_file())
    names = {p.relative_to(folder).as_posix(): p for p in files}
    body = f"# {about}\n" + "".join(f"{_digest(names[name], sync=True)}  {name}\n" for name in sorted(names))
    with (folder / NAME).open("w", encoding="utf-8") as file:
        file.write(_sealed(body))
        file.flush()
        os.fsync(file.fileno())


def damage_in(folder: pathlib.Path, about: str) -> Damage | None:
    """The first listed file of `folder` that is missing or changed, or None.

    `about` must be that of `write_checksums`. Files that are not listed do no harm: file managers and network disks
    leave some (.DS_Store, .nfs…, ._x, desktop.ini), and nothing reads them.
    """
    file = folder / NAME
    try:
        text = file.read_bytes().decode("utf-8", errors="replace")
        body = text.rpartition(SEAL)[0]
        if text != _sealed(body):
            return Damage(file, "is damaged")
        first, *listed = body.splitlines()
        if first != f"# {about}":
            return Damage(file, f"belongs to another folder: {first!r} is not {'# ' + about!r}")
        for digest, _, name in (line.partition("  ") for line in listed):
            file = folder / name
            if _digest(file) != digest:
                return Damage(file, "is damaged: its sha256 is not that of the file that was written")
    except FileNotFoundError:
        return Damage(file, "is missing")
    except OSError as error:
        return Damage(file, f"cannot be read ({explained(error)})")
    return None


def _sealed(body: str) -> str:
    return f"{body}{SEAL}: {hashlib.sha256(body.encode('utf-8')).hexdigest()}\n"


def _digest(file: pathlib.Path, *, sync: bool = False) -> str:
    with file.open("rb") as opened:
        if sync:
            os.fsync(opened.fileno())
        return hashlib.file_digest(opened, "sha256").hexdigest()
