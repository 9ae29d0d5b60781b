"""The compiled functions of a finished model, kept on disk apart from the model.

A kept program is StableHLO in a file that is named by the hash of everything it depends on. A second process reads
it, so it neither imports Flax nor traces the model; JAX keeps the executable (`train/devices.py`). Both processes
compile the same text, so their numbers are equal. Only files of the user's own cache folder are read, never a file
beside a model.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from mpcl_jax import __version__
from mpcl_jax.config.schema import Config
from mpcl_jax.data.io.cache import user_folder
from mpcl_jax.model.outputs import MPCLOutput, Recall
from mpcl_jax.system.collector import paused_collection
from mpcl_jax.train.devices import compiled
from mpcl_jax.types import DataSpec

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# What a program, and the form of its file, follow from.
SOURCES = ("model/*.py", "runs/forward.py", "runs/programs.py", "config/model.py", "labels.py", "types.py")
# A file: the checksum of the rest, the shapes and types of the results as one line of JSON, the program.
CHECKSUM = 32  # bytes
FORWARD, DETAILS = "forward", "details"


def functions_of(config: Config, spec: DataSpec, state: Any) -> tuple[Callable, Callable]:
    """`forward` and `details` of a `FinishedModel`, each one program per number of rows.

    `state` (arrays) gives the shapes of the variables that they are called with.
    """

    @functools.cache
    def program(name: str, rows: int) -> Callable:
        signals = {m: jax.ShapeDtypeStruct((rows, *shape), jnp.float32) for m, shape in spec.shapes.items()}
        present = {m: jax.ShapeDtypeStruct((rows,), jnp.bool_) for m in spec.shapes}
        return _program(config, spec, name, (state, signals, present))

    def call(name: str, state, signals, present):
        return program(name, len(next(iter(present.values()))))(state, signals, present)

    return functools.partial(call, FORWARD), functools.partial(call, DETAILS)


@paused_collection()
def _program(config: Config, spec: DataSpec, name: str, arguments: tuple) -> Callable:
    """The function `name` for `arguments` (arrays or their shapes), from disk or traced."""
    leaves, tree = jax.tree.flatten(arguments)
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
    file = _file(config, spec, name, [str(tree), *map(str, shapes)]) if config.log.keep_compiled else None
    kept = _read(file)
    if kept is None:
        function = _passes(config, spec)[name]
        traced = _exported(
            lambda *leaves: jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves))), shapes
        )
        results = json.dumps([(x.shape, str(x.dtype)) for x in traced.out_avals])
        kept = results.encode() + b"\n" + traced.mlir_module_serialized
        _write(file, kept)
    results, _, module = kept.partition(b"\n")
    # The signature comes from a function without content, in both processes, so that both compile the same text.
    signature = _exported(lambda *leaves: [jnp.zeros(*x) for x in json.loads(results)], shapes)
    call = dataclasses.replace(signature, mlir_module_serialized=module).call
    return compiled(lambda *arguments: _result(name, call(*jax.tree.leaves(arguments))))


def _result(name: str, found: list) -> Any:
    """The arrays of a program in the types of the function `name`."""
    count = len(MPCLOutput._fields)
    return found[0] if name == FORWARD else (MPCLOutput(*found[:count]), Recall(*found[count:]))


def _exported(function: Callable, shapes: list) -> export.Exported:
    return export.export(jax.jit(function, keep_unused=True))(*shapes)


def _passes(config: Config, spec: DataSpec) -> dict[str, Callable]:
    from mpcl_jax.runs.forward import forward_passes

    return dict(zip((FORWARD, DETAILS), forward_passes(config, spec), strict=True))


def _file(config: Config, spec: DataSpec, name: str, arguments: list[str]) -> pathlib.Path | None:
    """Where the program is kept; None where the user has no cache folder."""
    known = {
        "versions": [__version__, jax.__version__, metadata.version("flax"), jax.default_backend()],
        "code": [file.read_text(encoding="utf-8") for x in SOURCES for file in sorted(PACKAGE.glob(x))],
        "model": dataclasses.asdict(config.model),
        "precision": config.train.precision,
        "spec": spec._asdict(),
        "arguments": arguments,
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    try:
        return user_folder() / f"programs-jax-{jax.__version__}" / f"{name}-{digest[:40]}"
    except OSError:
        return None


def _read(file: pathlib.Path | None) -> bytes | None:
    """What is kept in `file`; None where there is none, or a damaged one."""
    try:
        held = file.read_bytes() if file else b""
    except OSError:
        return None
    checksum, kept = held[:CHECKSUM], held[CHECKSUM:]
    return kept if hashlib.sha256(kept).digest() == checksum else None


def _write(file: pathlib.Path | None, kept: bytes) -> None:
    """Keeps `kept` as a whole file; where that fails, the next process traces again."""
    if file is None:
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            whole = pathlib.Path(folder, file.name)
            whole.write_bytes(hashlib.sha256(kept).digest() + kept)
            os.replace(whole, file)
