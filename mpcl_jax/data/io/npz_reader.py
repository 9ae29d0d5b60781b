"""Reads `.npz` files with `numpy.load(allow_pickle=False)`; what the archive claims is checked first."""

import os
import tokenize
import zipfile
from typing import Any

import numpy as np

from mpcl_jax.data.io.refusals import refusing
from mpcl_jax.types import DataError

MAX_BYTES = 4 * 2**30  # of all arrays of one file together
MAX_RATIO = 200  # claimed size to size of the file, where more than FREE_BYTES are claimed
FREE_BYTES = 64 * 2**20
KINDS = "biufcUS"  # numbers, truth values and text of fixed length


def parse_npz(path: Any, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """All arrays of the `.npz` at `path`: numbers, truth values and text, never Python objects.

    Raises DataError naming the file and, where it is one, the array: no zip archive, damaged, more than
    `max_bytes` claimed, packed more than 200 times, objects, structured arrays.
    """
    if not os.path.exists(path):
        raise DataError(path, "does not exist")
    arrays = {}
    with refusing(path, "is not a readable .npz file; write it with np.savez"):
        with zipfile.ZipFile(path) as archive:
            _check_claims(path, sum(info.file_size for info in archive.infolist()), max_bytes)
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                arrays[key] = _array(path, file, key)
    return arrays


def _check_claims(path: Any, total: int, max_bytes: int) -> None:
    """Refuses an archive that claims `total` bytes before anything is unpacked."""
    size = os.path.getsize(path)
    if total > max_bytes:
        raise DataError(path, f"claims {total:,} bytes, more than the {max_bytes:,} allowed")
    if total > max(FREE_BYTES, MAX_RATIO * size):
        reason = (
            f"claims {total:,} bytes, packed into {size:,}; write it with np.savez, not np.savez_compressed"
        )
        raise DataError(path, reason)


def _array(path: Any, file: Any, key: str) -> np.ndarray:
    # NumPy sets memory aside as soon as a header claims a shape, and parses headers as Python's own.
    errors = (MemoryError, SyntaxError, tokenize.TokenError)
    with refusing(path, f"{key!r} cannot be read; save numbers, truth values or text with np.savez", *errors):
        array = file[key]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in KINDS:
        what = f"has type {array.dtype}" if isinstance(array, np.ndarray) else "is no array"
        raise DataError(path, f"{key!r} {what}; save numbers, truth values or text with np.savez")
    # In the byte order of this machine; of read-only memory nothing may be written.
    return array.astype(array.dtype.newbyteorder("="), copy=False)
