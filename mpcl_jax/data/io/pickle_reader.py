"""Reads WESAD's pickles, in the guarded child: containers, text, numbers and NumPy arrays of numbers.

A pickle is a program that may import and call any function it names. Here `find_class` knows the few names by
which NumPy writes arrays, and gives functions of this module for them: nothing a file names is imported, and neither
NumPy's `__setstate__`, which a forged state can crash, nor object arrays are reached.
"""

import itertools
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

from mpcl_jax.data.io.refusals import refusing

MAX_DEPTH = 64  # containers inside one another
MAX_VALUES = 1_000_000  # entries of all containers together

DTYPES = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])
ORDERS = {"<": "<", ">": ">", "|": "=", "=": "="}


def parse_pickle(path: Any) -> Any:
    """The plain data in the pickle at `path`: dict, list, tuple, str, numbers, None and NumPy arrays.

    Bytes become text (latin-1): Python 2, which wrote WESAD, does not tell them apart. Arrays cannot be written to.
    Raises DataError for everything else. MemoryError, and a crash of the interpreter, are for the guarded child.
    """
    with refusing(path, "is no plain data pickle", pickle.UnpicklingError), open(path, "rb") as file:
        # "bytes" instead of "latin1": as text, each array would be in memory once more.
        value = _DataUnpickler(file, encoding="bytes").load()
        return _plain(value, 0, itertools.count())


class _DataUnpickler(pickle.Unpickler):
    """Finds the names by which NumPy writes arrays, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        """A function of this module for an allowed name. Raises ValueError for every other name."""
        full = f"{module}.{name}".replace("numpy.core.", "numpy._core.", 1)
        if full not in NAMES:
            raise ValueError(
                f"calls for {f'{module}.{name}'[:100]!r}; only data and NumPy arrays of numbers are read"
            )
        return NAMES[full]


class _Dtype:
    """A NumPy type; its byte order comes with the state."""

    def __init__(self, code: Any, align: Any, copy: Any):
        self.dtype = np.dtype(_one_of(_text(code), DTYPES, "array type"))

    def __setstate__(self, state: tuple) -> None:
        """`state`: version, byte order, subarray, field names, fields, item size, alignment, flags."""
        if len(state) != 8 or any(x is not None for x in state[2:5]):
            raise ValueError("a structured NumPy type")
        self.dtype = self.dtype.newbyteorder(ORDERS[_one_of(_text(state[1]), ORDERS, "byte order")])


class _Array:
    """An array, made by `_reconstruct(numpy.ndarray, (0,), "b")`; its content comes with the state."""

    def __init__(self, kind: Any, shape: Any, code: Any):
        _one_of(kind, (NAMES["numpy.ndarray"],), "kind of array")
        self.value = None

    def __setstate__(self, state: tuple) -> None:
        """`state`: version, shape, type, whether columns come first, content."""
        _, shape, dtype, fortran, data = state
        self.value = _array_of(data, dtype, shape, bool(fortran))


def _array_of(data: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """An array over `data` (no copy), if its size is what type and shape ask for."""
    if isinstance(data, str):
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise ValueError("an array without numbers")
    if not isinstance(shape, tuple) or any(type(n) is not int or not 0 <= n < 2**40 for n in shape):
        raise ValueError("an array of impossible shape")
    if (wanted := math.prod(shape) * dtype.dtype.itemsize) != len(data):
        raise ValueError(f"an array that claims {wanted:,} bytes and has {len(data):,}")
    array = np.frombuffer(data, dtype.dtype) if data else np.zeros(0, dtype.dtype)
    array = array.reshape(shape, order="F" if fortran else "C")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


NAMES = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": "numpy.ndarray",
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray.scalar": lambda dtype, data: _array_of(data, dtype, (), False)[()],
    "numpy._core.numeric._frombuffer": lambda data, dtype, shape, order: _array_of(
        data, dtype, shape, order == "F"
    ),
    # Bytes, which Python 3 writes as text in protocol 2, and as a call without arguments where there are none.
    "_codecs.encode": lambda text, coding: text.encode(_one_of(coding, ("latin1",), "text coding")),
    "__builtin__.bytes": lambda: b"",
    "builtins.bytes": lambda: b"",
}


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _one_of(value: Any, allowed: Any, what: str) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"the {what} {str(value)[:40]!r} is not read")
    return value


def _plain(value: Any, depth: int, count: Iterator[int]) -> Any:
    """A copy with arrays and text. Values held in many places, or in themselves, are counted each time."""
    if depth > MAX_DEPTH or next(count) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values or {MAX_DEPTH} containers in each other")
    match value:
        case dict():
            return {_plain(k, depth + 1, count): _plain(x, depth + 1, count) for k, x in value.items()}
        case list():
            return [_plain(x, depth + 1, count) for x in value]
        case tuple():
            return tuple([_plain(x, depth + 1, count) for x in value])
        case bytes():
            return _text(value)
        case _Array(value=np.ndarray() as array):
            return array
        case None | bool() | int() | float() | str() | np.generic() | np.ndarray():
            return value
    raise ValueError(f"a {type(value).__name__}")
