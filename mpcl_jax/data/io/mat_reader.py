"""Reads numbers and text out of MATLAB files, in the guarded child: by SciPy (v5, v7) and h5py (v7.3)."""

import math
import os
from typing import Any

import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax.data.io.npz_reader import FREE_BYTES, MAX_RATIO
from mpcl_jax.data.io.refusals import refusing
from mpcl_jax.types import DataError

MAX_BYTES = 2 * 2**30  # of all arrays of a file together, unpacked
NUMBERS = ("double", "single", "logical", *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)))


def parse_mat(path: Any, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """The variables `names` (None: all) of the MATLAB file at `path`, by name; a name it lacks is left out.

    Numeric arrays have the type they have in MATLAB (`double` is float64 however it was stored), complex ones are
    complex, logical ones bool, character arrays [rows] str. Numeric arrays have at least two axes, as in MATLAB.

    Raises DataError naming the file and the variable: cells, structs, objects, functions or sparse arrays
    among them, damaged files, more than 2 GiB, packed more than 200 times.
    """
    advice = "is no readable MATLAB file; save it with save(..., '-v7')"
    with refusing(path, advice, scipy.io.matlab.MatReadError):
        with open(path, "rb") as file:
            head = file.read(520)
        hdf5 = b"\x89HDF\r\n" in (head[:6], head[512:518])
        return _read_hdf5(path, names) if hdf5 else _read_matlab5(path, names)


def _read_matlab5(path: Any, names: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    held = [x for x in scipy.io.whosmat(path) if x[0] and (names is None or x[0] in names)]
    total = 0
    for name, shape, kind in held:
        total = _checked_total(path, name, kind, shape, total)
    if not held:
        return {}
    kinds = {name: kind for name, _, kind in held}
    arrays = scipy.io.loadmat(path, variable_names=list(kinds))
    return {name: _typed(arrays[name], kind) for name, kind in kinds.items()}


def _read_hdf5(path: Any, names: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    import h5py  # costs as much as all of NumPy, and few files need it

    arrays, total = {}, 0
    with h5py.File(path, "r", locking=False) as file:
        for name in file if names is None else (name for name in names if name in file):
            if name.startswith("#"):  # where MATLAB keeps the insides of cells and objects
                continue
            # A link may point to another file of this computer, and so may the values of a dataset.
            own = isinstance(file.get(name, getlink=True), h5py.HardLink)
            x = file[name] if own else None
            if not isinstance(x, h5py.Dataset) or x.external or x.is_virtual:
                raise DataError(path, f"{name!r} is a struct or a link; {ONLY}")
            kind = x.attrs.get("MATLAB_class", "double")
            kind = kind.decode("latin1") if isinstance(kind, bytes) else str(kind)
            total = _checked_total(path, name, kind, x.shape, total)
            arrays[name] = _of_dataset(x, kind)
    return arrays


def _of_dataset(x: Any, kind: str) -> np.ndarray:
    """A dataset of MATLAB 7.3, whose axes are stored in reverse order."""
    values = x[()]
    if "MATLAB_empty" in x.attrs:  # the dataset holds the shape
        return np.zeros([int(n) for n in values.ravel()], np.float64)
    if values.dtype.names:
        values = values["real"] + 1j * values["imag"]
    if kind == "char":
        return np.array(["".join(map(chr, row)) for row in values.T])
    return _typed(values.T, kind)


ONLY = "only numbers and text are read: save those as variables of their own"


def _checked_total(path: Any, name: str, kind: str, shape: tuple[int, ...], total: int) -> int:
    """`total` and about the bytes that an array takes. Refuses what is no array of numbers or text, and too much."""
    if kind not in (*NUMBERS, "char"):
        raise DataError(path, f"{name!r} is a {kind}; {ONLY}")
    one = np.dtype(kind).itemsize if kind in NUMBERS and kind != "logical" else 4
    total, size = total + math.prod(map(int, shape)) * one, os.path.getsize(path)
    if not 0 <= total <= min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * size)):
        claim = f"its arrays up to {name!r} claim {total:,} bytes, packed into {size:,}"
        raise DataError(path, f"{claim}; save less in one file, or without packing (-v6)")
    return total


def _typed(x: np.ndarray, kind: str) -> np.ndarray:
    """`x` in the type of its class: MATLAB stores whole numbers in fewer bytes."""
    if kind == "char" or x.dtype.kind == "c":
        return x
    with np.errstate(over="ignore"):  # a double beyond float32, stored in a single, is inf in MATLAB too
        return x.astype(bool if kind == "logical" else kind, copy=False)
