"""A cache on disk of what was computed from large files.

An entry is one `.npz`: the arrays, and a description of their sources and settings. An entry that is damaged or whose
description differs is computed again.
"""

import contextlib
import errno
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.system.os_errors import explained, reason_of
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import require_writable
from mpcl_jax.types import DataError

ENTRY = "description of the entry"


def user_folder() -> Path:
    """The cache folder of this user. Raises OSError where a user has no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if sys.platform != "darwin" and os.path.isabs(base):  # the XDG rules: a relative path is to be ignored
        return Path(base) / "mpcl_jax"
    try:
        home = Path.home()
    except RuntimeError as error:  # neither HOME nor an entry in passwd, as in a container with --user
        raise OSError(errno.ENOENT, "the user has no home folder") from error
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "mpcl_jax"


def delete_oldest(folder: Path, most: int) -> None:
    """Deletes the files of `folder` that were written first, until the others have at most `most` bytes."""
    files = []
    for file in folder.glob("*"):
        with contextlib.suppress(OSError):  # another process may delete them, too
            found = file.stat()
            if stat.S_ISREG(found.st_mode):
                files.append((found.st_mtime, found.st_size, file))
    for _, size, file in sorted(files, reverse=True):
        most -= size
        if most < 0:
            with contextlib.suppress(OSError):
                file.unlink()


def folder_for(kind: str, given: str) -> Path | None:
    """Where converted recordings of `kind` are kept: the folder `given`, "" = that of the user.

    None, and a warning, where nothing can be kept.
    """
    try:
        folder = Path(given) if given else user_folder() / kind
        require_writable(folder)
        return folder
    except OSError as error:
        hint = "set config.data.cache or XDG_CACHE_HOME to a folder that can be written"
        warn(f"converted recordings are not kept ({reason_of(error)}); {hint}")
        return None


def cached(
    folder: Path | None, name: str, sources: tuple[Path, ...], settings: dict, compute: Callable[[], dict]
) -> dict[str, np.ndarray]:
    """`compute()`, or what it returned before for `sources` of the same size and time of change and `settings`.

    `settings` is plain JSON data and must hold everything else that the result depends on, the version of the
    code included. Nothing is kept where `folder` is None.
    Raises DataError if a source cannot be read or the folder not be written.
    """
    described = json.dumps({"sources": [_stamp(x) for x in sources], "settings": settings}, sort_keys=True)
    if folder is None:
        return compute()
    file = folder / f"{name}.npz"
    try:
        kept = parse_npz(file)
        if kept.pop(ENTRY).tobytes().decode() == described:
            return kept
    except (DataError, KeyError, UnicodeDecodeError):  # absent or damaged: the archive has checksums
        kept = {}
    arrays = compute()
    _write(file, arrays | {ENTRY: np.frombuffer(described.encode(), np.uint8)})
    return arrays


def _stamp(source: Path) -> dict:
    try:
        found = source.stat()
        return {"path": str(source.resolve()), "size": found.st_size, "mtime_ns": found.st_mtime_ns}
    except OSError as error:
        raise DataError(source, f"cannot be read: {explained(error)}") from error


@contextlib.contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """The path of a temporary file, which is moved to `file` when it is complete. Raises OSError.

    Where the block raises, `file` stays as it was.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        temporary = Path(folder, file.name)
        yield temporary
        os.replace(temporary, file)


def _write(file: Path, arrays: dict[str, np.ndarray]) -> None:
    try:
        with whole_file(file) as temporary:
            np.savez(temporary, **arrays)
    except OSError as error:
        reason = f"converted recordings cannot be kept here ({explained(error)}), or set config.data.cache"
        raise DataError(file.parent, reason) from error
