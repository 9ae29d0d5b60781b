"""Nested plain data in one file that a reader can trust without trusting its writer.

`.npz` without pickle: the array "tree" holds JSON, the others are the arrays it refers to. It carries
arguments into the guarded child and results back. A child that hostile data have taken over could forge any
pickle, and loading that would run its code in the parent; a forged tree is only ever wrong data.
"""

import json
import pathlib
from typing import Any

import numpy as np

from mpcl_jax.data.io.npz_reader import KINDS, parse_npz
from mpcl_jax.types import DataFileError

MAX_DEPTH = 100


def write_tree(path: Any, tree: Any) -> None:
    """Writes None, bool, int, float, complex, str, bytes, Path, list, tuple, dict and arrays, nested at will.

    Raises TypeError naming the type of anything else. A named tuple is written as a tuple.
    """
    arrays: list[np.ndarray] = []
    text = json.dumps(_encode(tree, arrays, 0))
    named = {f"a{i}": x for i, x in enumerate(arrays)}
    np.savez(path, tree=np.frombuffer(text.encode("ascii"), np.uint8), **named)


def read_tree(path: Any, max_bytes: int) -> Any:
    """What `write_tree` wrote. Raises DataFileError if the file is anything else."""
    arrays = parse_npz(path, max_bytes)
    try:
        return _decode(json.loads(arrays["tree"].tobytes()), arrays)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise DataFileError(path, f"not a tree of plain data ({error!r})") from error


def _encode(node: Any, arrays: list[np.ndarray], depth: int) -> Any:
    """JSON for `node`; what JSON does not know becomes {"kind": [...]}; arrays are appended to `arrays`."""
    if depth > MAX_DEPTH:
        raise TypeError(f"data nested deeper than {MAX_DEPTH}")
    match node:
        case np.ndarray() | np.generic():
            if node.dtype.kind not in KINDS:
                raise TypeError(f"arrays of {node.dtype} can not leave or enter the guarded process")
            arrays.append(np.asarray(node))
            return {"array" if isinstance(node, np.ndarray) else "scalar": len(arrays) - 1}
        case None | bool() | int() | float() | str():
            return node
        case complex():
            return {"complex": [node.real, node.imag]}
        case bytes():
            return {"bytes": node.decode("latin1")}
        case pathlib.Path():
            return {"path": str(node)}
        case list():
            return [_encode(x, arrays, depth + 1) for x in node]
        case tuple():
            return {"tuple": [_encode(x, arrays, depth + 1) for x in node]}
        case dict():
            pairs = [[_encode(k, arrays, depth + 1), _encode(v, arrays, depth + 1)] for k, v in node.items()]
            return {"dict": pairs}
    raise TypeError(f"a {type(node).__name__} can not leave or enter the guarded process; use plain data")


def _decode(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, list):
        return [_decode(x, arrays) for x in node]
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    match (kind, value):
        case ("array", int(number)):
            return arrays[f"a{number}"]
        case ("scalar", int(number)):
            return arrays[f"a{number}"][()]
        case ("complex", [float(real), float(imaginary)]):
            return complex(real, imaginary)
        case ("bytes", str(letters)):
            return letters.encode("latin1")
        case ("path", str(name)):
            return pathlib.Path(name)
        case ("tuple", list(items)):
            return tuple([_decode(x, arrays) for x in items])
        case ("dict", list(pairs)):
            return {_decode(k, arrays): _decode(v, arrays) for k, v in pairs}
    raise ValueError(f"unknown kind {kind!r}")
