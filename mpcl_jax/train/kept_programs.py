"""Functions that one process traces and later processes read, kept on disk apart from any model.

A kept program is StableHLO in a file that is named by the hash of everything it depends on. A second process reads
it and traces nothing; JAX keeps the executable (`devices.py`). Both processes compile the same text, so their numbers
are equal. Only files of the user's own cache folder are read, never a file beside a model.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from mpcl_jax import __version__
from mpcl_jax.data.io.cache import delete_oldest, user_folder, whole_file
from mpcl_jax.system.collector import paused_collection

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# What a program, and the form of its file, follow from.
SOURCES = ("config/*.py", "model/*.py", "runs/forward.py", "train/*.py", "labels.py", "types.py")
# A file: the checksum of its name and the rest, the names, shapes and types of the results as a line of JSON, the
# program.
CHECKSUM = 32  # bytes
MOST_KEPT = 10**8  # bytes of all files; about 500 programs


def kept(
    name: str,
    depends: dict,
    function: Callable,
    result: Callable[[tuple, Sequence[str], Sequence[jax.Array]], Any],
) -> Callable:
    """`function`, a pure function of arrays, for `jax.jit`; read from disk where an earlier process kept it.

    `depends` holds what the program follows from, but for code, versions and the shapes of the arguments.
    `result(arguments, names, arrays)` makes what `function` returns from its arrays and the last name of each path.
    """

    @paused_collection()
    def call(*arguments):
        leaves, tree = jax.tree.flatten(arguments)
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
        file = _file(name, depends, [str(tree), *map(str, shapes)])
        held = _read(file)
        if held is None:
            held = _traced(lambda *leaves: function(*jax.tree.unflatten(tree, leaves)), shapes)
            _write(file, held)
        form, _, module = held.partition(b"\n")
        form = json.loads(form)
        # The signature comes from a function without content, in both processes: so both compile the same text.
        signature = _exported(lambda *leaves: [jnp.zeros(shape, dtype) for _, shape, dtype in form], shapes)
        arrays = dataclasses.replace(signature, mlir_module_serialized=module).call(*leaves)
        return result(arguments, [own for own, _, _ in form], arrays)

    return call


def _traced(function: Callable, shapes: list) -> bytes:
    names = []

    def flat(*leaves):
        paths, _ = jax.tree_util.tree_flatten_with_path(function(*leaves))
        names[:] = [jax.tree_util.keystr(path[-1:], simple=True) for path, _ in paths]
        return [x for _, x in paths]

    exported = _exported(flat, shapes)
    form = [(own, x.shape, str(x.dtype)) for own, x in zip(names, exported.out_avals, strict=True)]
    return json.dumps(form).encode() + b"\n" + exported.mlir_module_serialized


def _exported(function: Callable, shapes: list) -> export.Exported:
    return export.export(jax.jit(function, keep_unused=True))(*shapes)


def _file(name: str, depends: dict, arguments: list[str]) -> pathlib.Path | None:
    """Where the program is kept; None where the user has no cache folder."""
    known = {
        "versions": [__version__, jax.__version__, metadata.version("flax"), metadata.version("optax")],
        "device": jax.default_backend(),
        "code": _code(),
        "depends": depends,
        "arguments": arguments,
    }
    # Not sorted: a program also follows from the order of the modalities.
    digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    try:
        return user_folder() / f"programs-jax-{jax.__version__}" / f"{name}-{digest[:40]}"
    except OSError:
        return None


@functools.cache
def _code() -> list[str]:
    """The text of SOURCES, which is read once in a process."""
    return [file.read_text(encoding="utf-8") for x in SOURCES for file in sorted(PACKAGE.glob(x))]


def _read(file: pathlib.Path | None) -> bytes | None:
    """What is kept in `file`; None where there is none, a damaged one, or one of another name."""
    if file is None:
        return None
    try:
        whole = file.read_bytes()
    except OSError:
        return None
    checksum, held = whole[:CHECKSUM], whole[CHECKSUM:]
    return held if _checksum(file, held) == checksum else None


def _write(file: pathlib.Path | None, held: bytes) -> None:
    """Keeps `held` as a whole file; where that fails, the next process traces again."""
    if file is None:
        return
    with contextlib.suppress(OSError):
        with whole_file(file) as temporary:
            temporary.write_bytes(_checksum(file, held) + held)
        delete_oldest(file.parent, MOST_KEPT)


def _checksum(file: pathlib.Path, held: bytes) -> bytes:
    return hashlib.sha256(file.name.encode() + held).digest()
