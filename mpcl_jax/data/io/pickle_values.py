"""The values of a data-only pickle: text, numbers, containers, and the patterns by which NumPy writes arrays.

NumPy writes an array as "call the function named numpy.core.multiarray._reconstruct, then give the result
this state: (version, shape, dtype, column order, bytes)". The functions here recognise such calls by their
names and build the array themselves, with `numpy.frombuffer`, after the sizes agree. NumPy's own
`__setstate__`, which can be crashed by a forged state, is never reached.
"""

import math
from typing import Any

import numpy as np

MAX_DEPTH = 64  # containers inside one another
MAX_VALUES = 1_000_000  # entries of all containers of the result
MAX_TEXT = 2**20  # bytes of one text that is not the content of an array
MAX_BYTES = 4 * 2**30  # of all arrays and texts of the result
MAX_INTEGER = 64  # bytes of one integer

DTYPES = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])
ORDERS = {"<": "<", ">": ">", "|": "=", "=": "="}
NAMES = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "reconstruct" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "frombuffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("builtins", "bytes"): "bytes",
    ("__builtin__", "bytes"): "bytes",
}


class Refused(Exception):
    """Why a pickle is refused; `parse_pickle` adds the file and the place."""


class Name:
    """A global that marks a pattern. Only its text is ever looked at."""

    def __init__(self, text: str):
        """`text`: a value of NAMES."""
        self.text = text


class Cell:
    """A NumPy type or array that may still be incomplete: pickles refer to one before they fill it."""

    def __init__(self, kind: str, value: Any):
        """`kind`: "dtype" or "array" · `value`: the NumPy object, None while an array is incomplete."""
        self.kind, self.value = kind, value


def global_name(module: Any, name: Any) -> Name:
    """The marker of a global, if it belongs to one of the patterns."""
    if not (isinstance(module, str) and isinstance(name, str)):
        raise Refused("a global without a name")
    if (module, name) not in NAMES:
        raise Refused(
            f"asks for {f'{module}.{name}'[:200]!r}; only data and NumPy arrays of numbers are read"
        )
    return Name(NAMES[module, name])


def payload(view: memoryview, text: bool) -> Any:
    """`str` (latin-1) or `bytes`; a view of the file where it is long enough to be the content of an array."""
    if len(view) > MAX_TEXT:
        return view
    return str(view, "latin1") if text else bytes(view)


def unicode_text(view: memoryview) -> str:
    """UTF-8 as Python writes it: lone surrogates allowed."""
    try:
        return str(view, "utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Refused("text that is not UTF-8") from error


def integer(view: memoryview) -> int:
    """A signed little-endian integer."""
    if len(view) > MAX_INTEGER:
        raise Refused(f"an integer of {len(view):,} bytes")
    return int.from_bytes(view, "little", signed=True)


def decimal(line: str) -> int | bool:
    """An integer of Python 2 beyond 32 bits, or one of its truth values."""
    if line in ("00", "01"):
        return line == "01"
    if not line.removeprefix("-").isdecimal() or not line.isascii() or len(line) > 2 * MAX_INTEGER:
        raise Refused("a damaged integer")
    return int(line)


def fill(target: dict, items: list[Any]) -> None:
    """Adds the pairs key, value, key, value … to a dict."""
    if len(items) % 2:
        raise Refused("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Tuples are no keys: hashing one that is nested a million deep overflows the stack of the interpreter.
        if not isinstance(key, str | bytes | int | float | None):
            raise Refused(f"a dict key of type {type(key).__name__}")
        target[key] = value


def reduced(function: Any, args: Any) -> Any:
    """The value of a call that belongs to a pattern of NumPy; nothing is called."""
    if not isinstance(function, Name) or not isinstance(args, tuple):
        raise Refused("calls something that is not part of a NumPy array")
    match (function.text, *args):
        case ("dtype", str(code), 0 | 1, 0 | 1) if code in DTYPES:
            return Cell("dtype", np.dtype(code))
        case ("dtype", str(code), *_):
            raise Refused(f"an array of type {code[:40]!r}; only floats, integers and truth values are read")
        case ("reconstruct", Name(text="ndarray"), _, "b" | b"b"):
            return Cell("array", None)
        case ("scalar", Cell(kind="dtype") as dtype, data):
            return array_of(data, dtype.value, (), False)[()]
        case ("frombuffer", data, Cell(kind="dtype") as dtype, tuple(shape), "C" | "F" as order):
            return Cell("array", array_of(data, dtype.value, shape, order == "F"))
        case ("encode", str(text), "latin1"):
            return encoded(text)
        case ("bytes",):
            return b""
    raise Refused(f"an unusual call of {function.text!r}")


def encoded(text: str) -> bytes:
    """Bytes that Python 3 wrote as text, in protocol 2."""
    try:
        return text.encode("latin1")
    except UnicodeEncodeError as error:
        raise Refused("bytes that do not fit latin-1") from error


def build(cell: Cell, state: Any) -> None:
    """Completes a type or an array with the state that NumPy wrote for it."""
    match (cell.kind, state):
        # (version, byte order, subarray, field names, fields, item size, alignment, flags[, metadata])
        case ("dtype", (3 | 4, str(order), None, None, None, int(), int(), int(), *rest)) if order in ORDERS:
            if rest not in ([], [None], [{}]):
                raise Refused("a NumPy type with metadata")
            cell.value = cell.value.newbyteorder(ORDERS[order])
        # (version, shape, type, column order, content)
        case ("array", (1, tuple(shape), Cell(kind="dtype") as dtype, bool() | 0 | 1 as fortran, data)):
            cell.value = array_of(data, dtype.value, shape, bool(fortran))
        case _:
            raise Refused(f"an unusual NumPy {cell.kind}")


def array_of(data: Any, dtype: np.dtype, shape: tuple, fortran: bool) -> np.ndarray:
    """An array over `data` (no copy), if its size is what type and shape ask for."""
    if isinstance(data, str):
        data = encoded(data)
    if not isinstance(data, bytes | memoryview):
        raise Refused(f"an array whose content is a {type(data).__name__}")
    if len(shape) > 32 or any(type(x) is not int or not 0 <= x < 2**40 for x in shape):
        raise Refused("an array of impossible shape")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != len(data) or math.prod(x for x in shape if x) >= 2**48:
        raise Refused(f"an array that claims {wanted:,} bytes and has {len(data):,}")
    if wanted == 0:
        return np.zeros(shape, dtype.newbyteorder("="))
    array = np.frombuffer(data, dtype)
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    return array.reshape(shape, order="F" if fortran else "C")


class Plain:
    """Copies a value of the machine into plain containers, counting what it makes.

    The machine may hold one container in many places, or in itself; a tree made of them can be infinite.
    """

    def __init__(self):
        """Starts to count."""
        self.values = self.bytes = 0

    def count(self, values: int, size: int = 0) -> None:
        """Refuses results that are too large."""
        self.values += values
        self.bytes += size
        if self.values > MAX_VALUES or self.bytes > MAX_BYTES:
            raise Refused(f"expands to more than {MAX_VALUES:,} values or {MAX_BYTES:,} bytes")

    def of(self, value: Any, depth: int = 0) -> Any:
        """`value` without markers: arrays in place of cells."""
        if depth > MAX_DEPTH:
            raise Refused(f"containers nested more than {MAX_DEPTH} deep")
        match value:
            case dict():
                self.count(len(value))
                return {key: self.of(x, depth + 1) for key, x in value.items()}
            case list():
                self.count(len(value))
                return [self.of(x, depth + 1) for x in value]
            case tuple():
                self.count(len(value))
                return tuple([self.of(x, depth + 1) for x in value])
            case Cell(kind="array", value=np.ndarray() as array):
                self.count(1, array.nbytes)
                return array
            case str() | bytes():
                self.count(1, len(value))
                return value
            case None | bool() | int() | float() | np.generic():
                return value
            case memoryview():
                raise Refused(f"a text of {len(value):,} bytes that is not the content of an array")
        raise Refused("part of a NumPy array that was not completed")
