"""What was computed from large files, kept on disk beside a description of those files.

An entry is two files: `<name>.npz` (arrays, never pickled) and `<name>.json` (sources, settings, checksum). An
entry whose sources, settings or checksum does not fit is computed anew, never trusted.
"""

import errno
import hashlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mpcl_jax.system.os_errors import explained, reason_of
from mpcl_jax.system.paths import require_writable
from mpcl_jax.types import DataFileError


def user_folder() -> Path:
    """Where this user's programs keep what they can compute again. Raises OSError where a user has no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if sys.platform != "darwin" and os.path.isabs(base):  # the XDG rules: a relative path is to be ignored
        return Path(base) / "mpcl_jax"
    try:
        home = Path.home()
    except RuntimeError as error:  # neither HOME nor an entry in passwd, as in a container with --user
        raise OSError(errno.ENOENT, "the user has no home folder") from error
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "mpcl_jax"


def folder_for(kind: str, given: str) -> Path | None:
    """Where converted recordings of `kind` are kept: the folder `given`, "" = that of the user.

    None, and a warning, where nothing can be kept.
    """
    try:
        folder = Path(given) if given else user_folder() / kind
        require_writable(folder)
        return folder
    except OSError as error:
        print(
            f"warning: converted recordings are not kept ({reason_of(error)}); set config.data.cache "
            "or XDG_CACHE_HOME to a folder that can be written",
            file=sys.stderr,
            flush=True,
        )
        return None


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def through(
    folder: Path | None,
    name: str,
    sources: tuple[Path, ...],
    settings: dict,
    compute: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """`compute()`, or what it returned for the same bytes of `sources` and the same `settings` before.

    `settings` is plain JSON data and must hold everything else that the result depends on, the version of the
    code included. A source of unchanged size and time of change is taken as unchanged without being read. Nothing is
    kept where `folder` is None.
    Raises DataFileError if a source can not be read or the folder not be written.
    """
    stamps = [_stamp(source) for source in sources]
    if folder is None:
        return compute()
    known, arrays = _read(folder, name, settings)
    if arrays is not None and [{k: x for k, x in old.items() if k != "sha256"} for old in known] == stamps:
        return arrays
    described = [stamp | {"sha256": _hash(source)} for stamp, source in zip(stamps, sources, strict=True)]
    if arrays is None or [x.get("sha256") for x in known] != [x["sha256"] for x in described]:
        arrays = compute()
    _write(folder, name, described, settings, arrays)
    return arrays


def _stamp(source: Path) -> dict:
    try:
        stat = source.stat()
        return {"path": str(source.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    except OSError as error:
        raise DataFileError(source, f"can not be read: {explained(error)}") from error


def _hash(source: Path) -> str:
    try:
        return sha256(source)
    except OSError as error:
        raise DataFileError(source, f"can not be read: {explained(error)}") from error


def _read(folder: Path, name: str, settings: dict) -> tuple[list[dict], dict[str, np.ndarray] | None]:
    """Sources and arrays of an entry; no arrays if it is absent, damaged or made with other settings."""
    try:
        entry = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if entry["settings"] != settings or entry["sha256"] != sha256(folder / f"{name}.npz"):
            return [], None
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            return [dict(x) for x in entry["sources"]], {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return [], None


def _write(
    folder: Path, name: str, sources: list[dict], settings: dict, arrays: dict[str, np.ndarray]
) -> None:
    """Puts both files in their place as a whole; the description last, as it vouches for the arrays."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            draft = Path(temporary) / name
            np.savez(f"{draft}.npz", **arrays)
            entry = {"sources": sources, "settings": settings, "sha256": sha256(Path(f"{draft}.npz"))}
            Path(f"{draft}.json").write_text(json.dumps(entry, indent=1), encoding="utf-8")
            os.replace(f"{draft}.npz", folder / f"{name}.npz")
            os.replace(f"{draft}.json", folder / f"{name}.json")
    except OSError as error:
        raise DataFileError(
            folder,
            f"converted recordings cannot be kept here ({explained(error)}), or name another folder with "
            "config.data.cache",
        ) from error
