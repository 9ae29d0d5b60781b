"""Writing files of a run: whole or not at all, and an error of the disk in one sentence."""

import contextlib
import os
import pathlib
import shutil

import numpy as np

from mpcl_jax.train.endings import StorageError


@contextlib.contextmanager
def writing(path: pathlib.Path, size: int):
    """Turns an error of the operating system into a StorageError that names `path` and `size` in bytes."""
    try:
        yield
    except OSError as error:
        raise unwritten(path, size, error.strerror or str(error)) from error


def unwritten(path: pathlib.Path, size: int, reason: str) -> StorageError:
    """The error for `path`, of which `size` bytes could not be written."""
    folder = next((p for p in pathlib.Path(path).absolute().parents if p.is_dir()), pathlib.Path("/"))
    return StorageError(
        f"{path}: {size:,} bytes can not be written ({reason}; {shutil.disk_usage(folder).free:,} are free); "
        "everything finished before is whole: make room, then start the same command again"
    )


def write_text(file: pathlib.Path, text: str) -> None:
    """Writes a small file whole or not at all. Raises StorageError where the disk does not take it."""
    temporary = file.with_name(file.name + ".partial")
    with writing(file, len(text.encode("utf-8"))):
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, file)


def write_arrays(file: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes `.npz` whole or not at all. Raises StorageError where the disk does not take it."""
    temporary = file.with_suffix(".partial.npz")
    with writing(file, sum(x.nbytes for x in arrays.values())):
        np.savez_compressed(temporary, **arrays)
        os.replace(temporary, file)
