"""Reads numbers and text out of MATLAB 5 files (`save -v6` and `-v7`, `scipy.io.savemat`).

`scipy.io.loadmat` is fast and complete, and its authors say that it is not made for hostile files: lightly
damaged ones crash the process, and a file of 1 MB may unpack to 1 GB before a caller learns its shape. This
reader knows numeric, logical and character arrays only. Every claimed size is compared with the bytes that
are there, and with a cap, before anything is unpacked or allocated; arrays are made by `numpy.frombuffer`.

Layout: "MAT-File Format" (The MathWorks), level 5.
"""

import math
import mmap
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.types import DataFileError

MAX_BYTES = 2 * 2**30  # of all arrays of a file together, unpacked
MAX_RATIO = 200  # claimed size to size of the file, where more than FREE_BYTES are claimed
FREE_BYTES = 64 * 2**20
PREFIX = 4096  # bytes that are unpacked to learn name, class and shape of a variable

MATRIX, COMPRESSED = 14, 15
STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXT = {2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
CHAR, OPAQUE = 4, 17
OTHER = {1: "cell", 2: "struct", 3: "object", 5: "sparse", 16: "function handle", 17: "object"}


class Refused(Exception):
    """Why a file is refused; `parse_mat` adds the file."""


class Header(NamedTuple):
    """What a variable says of itself before its values."""

    name: str
    kind: int  # MATLAB's number of the class
    logical: bool
    complex: bool
    shape: tuple[int, ...]
    size: int  # bytes of the header
    total: int  # bytes the variable claims to have, header included


def parse_mat(path: Any, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """The variables `names` (None: all) of the MATLAB 5 file at `path`, by name; a name it lacks is left out.

    Numeric arrays have the type they have in MATLAB (`double` is float64 however it was stored), complex ones
    complex128 or complex64, logical ones bool, character arrays [rows] str. Every array has at least two axes,
    as in MATLAB; text has one less.

    Raises DataFileError naming the file and the variable: cells, structs, objects, functions or sparse arrays
    among them, damaged or dishonest sizes, version 4 or 7.3.
    """
    try:
        with open(path, "rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise DataFileError(path, f"can not be opened ({error})") from error
    try:
        return _variables(content, names)
    except Refused as error:
        raise DataFileError(path, str(error)) from error
    except zlib.error as error:
        raise DataFileError(path, f"a packed variable is damaged ({error})") from error


def _variables(content: memoryview, names: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    order = _byte_order(content)
    found: dict[str, np.ndarray] = {}
    total = 0
    for kind, body in _elements(content[128:], order):
        head, load = _open(kind, body, order)
        if head.name == "" or (names is not None and head.name not in names):
            continue  # nameless: where MATLAB keeps the insides of objects
        if head.name in found:
            raise Refused(f"holds {head.name!r} twice")
        total += _array_bytes(head)
        if total > min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * len(content))):
            raise Refused(
                f"its arrays up to {head.name!r} claim {total:,} bytes, packed into {len(content):,}; save less "
                "in one file, or without packing (-v6)"
            )
        found[head.name] = _array(head, load(), order)
    return found


def _byte_order(content: memoryview) -> str:
    """ "<" or ">", from the file header. Refuses other versions of the format."""
    head = bytes(content[:128])
    if head.startswith(b"\x89HDF") or head.startswith(b"MATLAB 7.3"):
        raise Refused("is a MATLAB 7.3 file (HDF5); save it again with save(..., '-v7')")
    if len(head) < 128 or head[126:] not in (b"IM", b"MI"):
        raise Refused("is no MATLAB 5 file; save it with save(..., '-v7')")
    order = "<" if head[126:] == b"IM" else ">"
    (version,) = struct.unpack(order + "H", head[124:126])
    if version != 0x0100:
        raise Refused(f"is a MATLAB file of version {version:#06x}; save it with save(..., '-v7')")
    return order


def _tag(content: memoryview, order: str) -> tuple[int, int, int]:
    """(type, bytes of the values, bytes of the tag); short values share the 8 bytes of their tag."""
    if len(content) < 8:
        raise Refused("is cut off inside a variable")
    first, size = struct.unpack(order + "II", content[:8])
    if first >> 16:
        kind, size = first & 0xFFFF, first >> 16
        if size > 4:
            raise Refused(f"is damaged: a short value of {size} bytes")
        return kind, size, 4
    return first, size, 8


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, values) of one element after the other."""
    while len(content):
        kind, size, start = _tag(content, order)
        if size > len(content) - start:
            raise Refused(f"claims a variable of {size:,} bytes where {len(content) - start:,} are left")
        yield kind, content[start : start + size]
        content = content[start + size :]


def _open(kind: int, body: memoryview, order: str) -> tuple[Header, Callable[[], memoryview]]:
    """The header of a variable, and a function that returns the bytes after it."""
    if kind == MATRIX:
        head = _header(body, order, len(body))
        return head, lambda: body[head.size :]
    if kind != COMPRESSED:
        raise Refused(f"is damaged: an element of type {kind} instead of a variable")
    prefix = memoryview(zlib.decompressobj().decompress(body, PREFIX))
    inner, size, start = _tag(prefix, order)
    if inner != MATRIX or start != 8:
        raise Refused(f"is damaged: a packed element of type {inner}")
    head = _header(prefix[8 : 8 + size], order, size)
    return head, lambda: _inflate(body, 8 + size)[8 + head.size :]


def _inflate(body: memoryview, size: int) -> memoryview:
    """`body` unpacked, which has to be exactly `size` bytes and to end with the right checksum."""
    inflate = zlib.decompressobj()
    values = inflate.decompress(body, size + 1)  # one more, so that a surplus shows and the checksum is read
    if len(values) != size or not inflate.eof:
        raise Refused(f"claims a variable of {size:,} bytes and packs another number")
    return memoryview(values)


def _part(content: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """(type, values, place after it) of the part of a variable that starts at byte `at`."""
    kind, size, start = _tag(content[at:], order)
    values = content[at + start : at + start + size]
    if len(values) != size:
        raise Refused(f"is damaged: a part of a variable claims {size:,} bytes and has {len(values):,}")
    return kind, values, at + (8 if start == 4 else 8 + -(-size // 8) * 8)


def _header(content: memoryview, order: str, total: int) -> Header:
    """Flags, shape and name. Objects of MATLAB's own classes say neither shape nor name here."""
    kind, flags, at = _part(content, 0, order)
    if kind != 6 or len(flags) != 8:
        raise Refused("is damaged: a variable without flags")
    (bits,) = struct.unpack(order + "I", flags[:4])
    if bits & 0xFF == OPAQUE:
        return Header("(an object)", OPAQUE, False, False, (), 0, total)
    kind, dims, at = _part(content, at, order)
    if kind != 5 or len(dims) % 4 or not 8 <= len(dims) <= 4 * 32:
        raise Refused("is damaged: a variable without a shape")
    kind, name, at = _part(content, at, order)
    if kind not in (1, 2, 16) or not bytes(name).isascii():
        raise Refused("is damaged: a variable without a name")
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    return Header(str(name, "ascii"), bits & 0xFF, bool(bits & 0x200), bool(bits & 0x800), shape, at, total)


def _array_bytes(head: Header) -> int:
    """Memory the array will take. Refuses classes that are not read, and impossible shapes."""
    if head.kind not in NUMERIC and head.kind != CHAR:
        what = OTHER.get(head.kind, f"variable of unknown class {head.kind}")
        raise Refused(
            f"{head.name!r} is a {what}; only numbers and text are read: save those as variables of their own"
        )
    if any(n < 0 for n in head.shape):
        raise Refused(f"{head.name!r} claims the shape {head.shape}")
    size = 4 if head.kind == CHAR else np.dtype(NUMERIC[head.kind]).itemsize * (1 + head.complex)
    claimed = math.prod(n or 1 for n in head.shape) * size
    if claimed > MAX_BYTES:
        raise Refused(
            f"{head.name!r} claims the shape {head.shape}, {claimed:,} bytes; {MAX_BYTES:,} are allowed"
        )
    claimed = claimed if 0 not in head.shape else 0
    # At most twice as many in the file: single stored as double. Else a small shape could hide a large rest.
    if head.total > head.size + 2 * claimed + 64:
        raise Refused(f"{head.name!r} claims the shape {head.shape} and {head.total:,} bytes")
    return claimed


def _array(head: Header, values: memoryview, order: str) -> np.ndarray:
    """The array of a variable from the bytes after its header."""
    if head.kind == CHAR:
        return _text(head, values, order)
    real, at = _numbers(head, values, 0, order)
    if head.complex:
        imaginary, _ = _numbers(head, values, at, order)
        pair = np.empty(head.shape, np.complex64 if real.dtype == np.float32 else np.complex128)
        pair.real, pair.imag = real, imaginary
        return pair
    return real.astype(bool) if head.logical else real


def _numbers(head: Header, values: memoryview, at: int, order: str) -> tuple[np.ndarray, int]:
    """One part, real or imaginary, in the type of the class. MATLAB stores whole numbers in fewer bytes."""
    kind, part, at = _part(values, at, order)
    wanted = np.dtype(NUMERIC[head.kind])
    if kind not in STORAGE:
        raise Refused(f"{head.name!r} is damaged: numbers of type {kind}")
    stored = np.dtype(order + STORAGE[kind])
    if len(part) != math.prod(head.shape) * stored.itemsize:
        raise Refused(f"{head.name!r} claims the shape {head.shape} and has {len(part):,} bytes of {stored}")
    if wanted.kind != "f" and not np.can_cast(stored, wanted, "safe"):
        raise Refused(f"{head.name!r} is damaged: {wanted} stored as {stored}")
    array = np.frombuffer(part, stored) if len(part) else np.zeros(0, stored)
    with np.errstate(over="ignore"):  # a double beyond float32, stored in a single, is inf in MATLAB too
        return array.astype(wanted).reshape(head.shape, order="F"), at


def _text(head: Header, values: memoryview, order: str) -> np.ndarray:
    """[rows] str from a character matrix, which is stored column by column."""
    kind, part, _ = _part(values, 0, order)
    if kind not in TEXT:
        raise Refused(f"{head.name!r} is damaged: text of type {kind}")
    coding = TEXT[kind] + ({"<": "-le", ">": "-be"}[order] if TEXT[kind] in ("utf-16", "utf-32") else "")
    try:
        letters = str(part, coding)
    except UnicodeDecodeError as error:
        raise Refused(f"{head.name!r} holds text that is no {coding}") from error
    if len(letters) != math.prod(head.shape):
        raise Refused(f"{head.name!r} claims the shape {head.shape} and has {len(letters):,} letters")
    rows = math.prod(head.shape[:-1])
    return np.array([letters[i::rows] for i in range(rows)] or [""], dtype=str)
