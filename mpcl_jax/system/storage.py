"""Writes files of a run completely or not at all; an error of the disk is one sentence."""

import contextlib
import os
import pathlib
import shutil

import numpy as np

from mpcl_jax.system.errors import StorageError
from mpcl_jax.system.os_errors import FULL, reason_of, remedy_of
from mpcl_jax.types import DataError


@contextlib.contextmanager
def writing(path: pathlib.Path, size: int):
    """Turns an OSError into a StorageError that names `path` and `size` in bytes."""
    try:
        yield
    except OSError as error:
        raise unwritten(path, size, error) from error


def unwritten(path: pathlib.Path, size: int, error: OSError) -> StorageError:
    """The error for `path`, of which `size` bytes could not be written: why, and what to do (`os_errors`)."""
    free = ""
    if error.errno in FULL:
        folder = next((p for p in pathlib.Path(path).absolute().parents if p.is_dir()), pathlib.Path("/"))
        free = f"; {shutil.disk_usage(folder).free:,} are free"
    what = f"{size:,} bytes cannot be written ({reason_of(error)}{free}): {remedy_of(error.errno)}"
    again = "Everything finished before is complete; then start the same command again"
    return StorageError(f"{path}: {what}. {again}")


@contextlib.contextmanager
def replacing(file: pathlib.Path, size: int = 0):
    """The path of a temporary file, with the same ending, which replaces `file` when it is complete.

    A link stays a link; the file that it names is replaced. Raises StorageError where it cannot be written; then
    `file` stays as it was, and no temporary file is left. Raises DataError where `file` is a folder or a device.
    """
    if file.is_symlink():
        file = pathlib.Path(os.path.realpath(file))
    if file.exists() and not file.is_file():
        raise DataError(file, "is not a regular file; give the name of a file")
    temporary = file.with_name(f"{file.stem}.partial{file.suffix}")
    with writing(file, size):
        try:
            yield temporary
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)


def make_folder(folder: pathlib.Path) -> None:
    """Makes `folder` and its parents where they are missing. Raises StorageError where that fails."""
    with writing(folder, 0):
        folder.mkdir(parents=True, exist_ok=True)


def write_text(file: pathlib.Path, text: str) -> None:
    """Writes a small file completely or not at all. Raises StorageError where that fails."""
    with replacing(file, len(text.encode("utf-8"))) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_arrays(file: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes `.npz` completely or not at all. Raises StorageError where that fails."""
    with (
        replacing(file, sum(x.nbytes for x in arrays.values())) as temporary,
        temporary.open("wb") as opened,  # NumPy adds .npz to a name without it
    ):
        np.savez_compressed(opened, **arrays)
