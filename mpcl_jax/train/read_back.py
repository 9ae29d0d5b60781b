"""A checkpoint counts as saved when what lies on the disk was read and is what the process had in its memory."""

import pathlib
from typing import Any

import jax
import numpy as np

from mpcl_jax.system.errors import StorageError
from mpcl_jax.train.arrays import read_arrays
from mpcl_jax.types import DataFileError


def require_read_back(final: pathlib.Path, written: pathlib.Path, parts: dict[str, Any]) -> None:
    """Raises StorageError naming `final` unless every part of the checkpoint `written` holds the arrays of its tree.

    They are read by another reader than Orbax's, by the path that resuming uses: neither a path that was understood
    differently nor a disk that returns something else goes unnoticed.
    """
    for part, tree in parts.items():
        if problem := _problem_of(written / part, tree):
            raise StorageError(
                f"{final}: this checkpoint cannot be read back ({part}: {problem}), so it is not kept; the "
                "checkpoints before it are. Check the disk or choose a --workdir on another one, then start the same "
                "command again"
            )


def _problem_of(part: pathlib.Path, tree: Any) -> str:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    wanted = {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(x) for path, x in leaves}
    try:
        found = read_arrays(part, tuple(wanted))
    except DataFileError as error:
        return error.reason
    wrong = [name for name, x in wanted.items() if not _same_bits(found[name], x)]
    return f"array {wrong[0]!r} holds other numbers than were written" if wrong else ""


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
