"""Arrays, lists and data frames of users as numbers and ids; errors name the array and the row."""

import math
from collections.abc import Iterator, Mapping, Set
from numbers import Real
from typing import Any

import numpy as np

from mpcl_jax.types import DataError


def tokens(name: str, x: Any, count: int | None = None) -> np.ndarray:
    """Features of a modality as [N, T, F] float32, [N, F] as one token. Raises DataError naming the array `name`."""
    x = numbers(name, x)
    if x.ndim == 1:
        one = f"for one feature per window give {name}[:, None], for a single window {name}[None]"
        raise DataError(name, f"has shape {x.shape}; {one}")
    if x.ndim not in (2, 3) or 0 in x.shape[1:]:
        raise DataError(
            name, f"has shape {x.shape}; wanted [windows, features] or [windows, samples, features]"
        )
    if count is not None and len(x) != count:
        raise DataError(name, f"has {len(x)} rows; wanted {count}, one per window")
    with np.errstate(over="ignore"):  # what does not fit is refused as infinite
        x = x.astype(np.float32)
    return x[:, None] if x.ndim == 2 else x


def numbers(name: str, x: Any) -> np.ndarray:
    """`x` (array, DataFrame or list) as float64; missing values are NaN. Raises DataError naming the array `name`."""
    if hasattr(x, "toarray"):
        raise DataError(name, "is a sparse matrix; use .toarray()")
    try:
        array = np.asarray(x)
        columns = [*x.dtypes] if hasattr(x, "iloc") and array.ndim == 2 else [array.dtype]
        if dates := [kind for kind in columns if getattr(kind, "kind", "O") in "mM"]:
            raise DataError(name, f"holds {dates[0]}; wanted numbers, e.g. seconds")
        if array.dtype.kind == "c":
            raise DataError(name, "holds complex numbers; use the real part or the magnitude")
        if isinstance(x, np.ma.MaskedArray):
            x = np.ma.filled(x.astype(np.float64), math.nan)
        elif hasattr(x, "iloc"):  # pandas, whose missing values are no float
            x = x.to_numpy("float64", na_value=math.nan)
        return np.asarray(x, np.float64)
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(
            name, f"cannot be read as numbers ({reason}); wanted numbers, NaN where missing"
        ) from error


def require_same_order(given: Mapping[str, Any]) -> None:
    """Raises DataError where two objects of pandas have the same index in another order: it is not used."""
    indices = {name: x.index for name, x in given.items() if hasattr(getattr(x, "index", None), "equals")}
    first = next(iter(indices), "")
    for name, index in indices.items():
        other = indices[first]
        if len(index) == len(other) and not index.equals(other) and set(index) == set(other):
            reason = f"has the index of {first} in another order, and rows are taken by position"
            raise DataError(name, f"{reason}; sort both alike, or call reset_index(drop=True) on both")


def ids_of(key: str, values: Any, count: int) -> np.ndarray | None:
    """[N] ids as text, or None. Raises DataError naming the argument `key` and the row without an id."""
    if values is None:
        return None
    if isinstance(values, Mapping | Set | Iterator):
        raise DataError(key, f"is {type(values).__name__}; wanted a list or array of {count} ids")
    listed = isinstance(values, list | tuple)  # as objects: NumPy makes the id "nan" of a NaN among texts
    array = np.asarray(values, object if listed and any(isinstance(x, str) for x in values) else None)
    if array.ndim == 0:
        array = np.full(count, array)
    if array.shape != (count,):
        raise DataError(key, f"has shape {array.shape}; wanted {count} ids, one per window")
    if array.dtype.kind == "f" or array.dtype.kind == "O":
        missing = np.array([x is None or not isinstance(x == x, bool) or x != x for x in array.tolist()])
        refuse_rows(key, missing, "is missing; give an id or drop the window")
    if (
        array.dtype.kind == "f" and (array == np.floor(array)).all()
    ):  # a column of integers that pandas read as floats
        array = array.astype(np.int64)
    return array.astype(str)


def seconds_of(start: Any, count: int) -> np.ndarray:
    """[N] float64 seconds, NaN without `start`. Raises DataError."""
    if start is None:
        return np.full(count, np.nan)
    seconds = numbers("start", start)
    if seconds.shape != (count,):
        raise DataError("start", f"has shape {seconds.shape}; wanted {count} numbers of seconds")
    return seconds


def seconds_of_window(value: Any) -> float:
    """`value` as a number of seconds above 0, or NaN. Raises DataError."""
    if isinstance(value, bool) or not isinstance(value, Real) or value <= 0 or value == math.inf:
        raise DataError("window_seconds", f"is {value!r}; wanted a number of seconds above 0")
    return float(value)


def refuse_rows(name: str, bad: np.ndarray, what: str) -> None:
    """Raises DataError that names the first of the rows where `bad` [N] is True, and how many there are."""
    if bad.any():
        more = f" ({int(bad.sum())} rows in all)" if bad.sum() > 1 else ""
        raise DataError(name, f"row {int(bad.argmax())} {what}{more}")
