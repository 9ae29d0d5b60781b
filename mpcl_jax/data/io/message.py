"""Plain data in one `.npz`: the arguments of the guarded child, and its result on the way back.

JSON, and the arrays it refers to; no pickle. A child that hostile data have taken over could forge any pickle, and
loading that would run its code in the parent; a forged message is only ever wrong data.
"""

import json
import os
from typing import Any

import numpy as np

from mpcl_jax.data.io.npz_reader import KINDS, parse_npz
from mpcl_jax.types import DataError

ARRAY = "__array__"


def write_message(path: Any, message: Any) -> None:
    """Writes what JSON can write, paths (as text), and arrays anywhere in it; tuples become lists.

    Raises TypeError naming the type of anything else.
    """
    arrays: list[np.ndarray] = []

    def encode(value: Any) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in KINDS:
            arrays.append(np.asarray(value))
            return {ARRAY: len(arrays) - 1}
        raise TypeError(f"a {type(value).__name__} cannot enter or leave the guarded process; use plain data")

    text = json.dumps(message, default=encode)
    named = {f"a{i}": x for i, x in enumerate(arrays)}
    np.savez(path, message=np.frombuffer(text.encode("ascii"), np.uint8), **named)


def read_message(path: Any, max_bytes: int) -> Any:
    """What `write_message` wrote. Raises DataError if the file is anything else."""
    arrays = parse_npz(path, max_bytes)

    def decode(held: dict) -> Any:
        return arrays[f"a{held[ARRAY]}"] if ARRAY in held else held

    try:
        return json.loads(arrays["message"].tobytes(), object_hook=decode)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(path, f"is no message of plain data ({error!r})") from error
