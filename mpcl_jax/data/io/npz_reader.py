"""Reads `.npz` files without ever unpickling, and checks what they claim before memory is set aside.

`numpy.load` sets memory aside as soon as a header claims a shape; a file of 200 bytes can ask for terabytes.
Here the claim is compared with the size of the member and with a cap first.
"""

import ast
import math
import os
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from mpcl_jax.types import DataFileError

MAX_BYTES = 4 * 2**30  # of all arrays of one file together
MAX_RATIO = 200  # claimed size to size of the file, where more than FREE_BYTES are claimed
FREE_BYTES = 64 * 2**20
MAX_HEADER = 4096  # characters
KINDS = "biufcUS"  # numbers, truth values and text of fixed length


def parse_npz(path: Any, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """All arrays of the `.npz` at `path`: numbers, truth values and text, never Python objects.

    Raises DataFileError naming the file and the array: no zip archive, damaged, more than `max_bytes` claimed,
    packed more than 200 times, object arrays, structured arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_claims(path, archive, max_bytes)
            return {_key(path, info): _member(path, archive, info) for info in archive.infolist()}
    except FileNotFoundError as error:
        raise DataFileError(path, "does not exist") from error
    # What `zipfile` and `zlib` raise on damaged archives; RuntimeError stands for encryption and other
    # features of archives that np.savez never uses.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError) as error:
        raise DataFileError(
            path, f"not a readable .npz file ({_words(error)}); write it with np.savez"
        ) from error
    except RuntimeError as error:
        raise DataFileError(
            path, f"a kind of zip file that np.savez does not write ({_words(error)})"
        ) from error


def _words(error: Exception) -> str:
    """What a library says, which may hold names from the file: one line of printable characters, not too long."""
    return str(error).encode("ascii", "backslashreplace").decode().replace("\n", " ")[:200]


def _key(path: Any, info: zipfile.ZipInfo) -> str:
    if not info.filename.endswith(".npy"):
        raise DataFileError(path, f"holds {info.filename!r}, which is no array; write it with np.savez")
    return info.filename.removesuffix(".npy")


def _check_claims(path: Any, archive: zipfile.ZipFile, max_bytes: int) -> None:
    """Refuses archives whose table of contents asks for too much, before anything is unpacked."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise DataFileError(path, "holds two arrays of one name; write it again with np.savez")
    total, size = sum(info.file_size for info in infos), os.path.getsize(path)
    if total > max_bytes:
        raise DataFileError(path, f"claims {total:,} bytes, more than the {max_bytes:,} allowed")
    if total > max(FREE_BYTES, MAX_RATIO * size):
        raise DataFileError(
            path,
            f"claims {total:,} bytes, packed into {size:,}; write it with np.savez, not np.savez_compressed",
        )
    for info in infos:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataFileError(path, f"{info.filename!r} is packed in a way that np.savez does not use")


def _member(path: Any, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array. Its header reserves nothing: the values are read as bytes, no more than the archive claims."""
    with archive.open(info) as file:
        dtype, shape, fortran = _header(path, info.filename, file)
        values = file.read()
    wanted = math.prod(shape) * dtype.itemsize
    if len(values) != wanted:
        raise DataFileError(
            path,
            f"{info.filename!r} claims shape {shape} of {dtype} = {wanted:,} bytes but holds {len(values):,}",
        )
    if wanted == 0:
        return np.zeros(shape, dtype)
    # A copy: arrays of frombuffer can not be written to, and byte order becomes the machine's own.
    array = np.frombuffer(values, dtype).astype(dtype.newbyteorder("="), copy=True)
    return array.reshape(shape, order="F" if fortran else "C")


def _header(path: Any, name: str, file: Any) -> tuple[np.dtype, tuple[int, ...], bool]:
    """(dtype, shape, fortran order) of the `.npy` that starts at `file`."""

    def refuse(why):
        raise DataFileError(path, f"{name!r} {why}")

    start = file.read(8)
    if len(start) != 8 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2):
        refuse("is no NumPy array of format 1 or 2")
    size = {1: "<H", 2: "<I"}[start[6]]
    field = file.read(struct.calcsize(size))
    if len(field) != struct.calcsize(size):
        refuse("is cut off")
    (length,) = struct.unpack(size, field)
    if length > MAX_HEADER:
        refuse(f"has a header of {length:,} characters")
    try:
        header = ast.literal_eval(file.read(length).decode("latin1").strip())
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        header = None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        refuse("has a damaged header")
    descr, shape = header["descr"], header["shape"]
    if not isinstance(descr, str):
        refuse("is a structured array; save each field as an array of its own")
    dtype = _dtype(descr)
    if dtype is None:
        refuse(f"has type {descr!r}; save numbers, truth values or text (objects are never unpickled)")
    if not isinstance(shape, tuple) or any(type(x) is not int or not 0 <= x < 2**40 for x in shape):
        refuse(f"has shape {shape!r}")
    if len(shape) > 32 or math.prod(x for x in shape if x) * max(1, dtype.itemsize) >= 2**50:
        refuse(f"claims shape {shape!r}")
    return dtype, shape, bool(header["fortran_order"])


def _dtype(descr: str) -> np.dtype | None:
    """The type a header names, None if it is none that can be read without unpickling."""
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError, SyntaxError):
        return None
    return dtype if dtype.kind in KINDS and dtype.subdtype is None else None
