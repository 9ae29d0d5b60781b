"""Turns what a library raises on a damaged file into one clear line."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from mpcl_jax.types import DataError

# What NumPy, SciPy, h5py and zipfile raise on damaged files.
LIBRARY_ERRORS = (
    ArithmeticError, AttributeError, EOFError, ImportError, LookupError, NameError, OSError, RuntimeError,
    TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@contextlib.contextmanager
def refusing(path: Any, what: str, *more: type[Exception]) -> Iterator[None]:
    """Raises DataError "`path`: `what` (words of the library)" for LIBRARY_ERRORS, and `more`, within."""
    try:
        yield
    except DataError:  # it names its reason already
        raise
    except (*LIBRARY_ERRORS, *more) as error:
        raise DataError(path, f"{what} ({words_of(error)})") from error


def words_of(error: Exception) -> str:
    """The message of a library, which may hold names from the file, as one short line of printable characters."""
    text = str(error) or type(error).__name__
    return " ".join(text.encode("ascii", "backslashreplace").decode().split())[:200]
