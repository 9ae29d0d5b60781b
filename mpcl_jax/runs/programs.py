"""The compiled functions of a finished model. Its forward pass is kept on disk, apart from the model.

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
from mpcl_jax.system.collector import paused_collection
from mpcl_jax.train.devices import compiled
from mpcl_jax.types import DataSpec

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ("model/*.py", "runs/forward.py", "config/model.py", "labels.py", "types.py")  # of the forward pass
CHECKSUM = 32  # bytes at the start of a file


def forward_of(config: Config, spec: DataSpec, state: Any) -> Callable:
    """`forward(state, signals, present)` of a `FinishedModel`; the program of each number of rows is made once."""

    @functools.cache
    def program(rows: int) -> Callable:
        signals = {m: jax.ShapeDtypeStruct((rows, *shape), jnp.float32) for m, shape in spec.shapes.items()}
        present = {m: jax.ShapeDtypeStruct((rows,), jnp.bool_) for m in spec.shapes}
        return _program(config, spec, (state, signals, present))

    def forward(state, signals, present):
        return program(len(next(iter(present.values()))))(state, signals, present)

    return forward


def details_of(config: Config, spec: DataSpec) -> Callable:
    """`details(state, signals, present)` of a `FinishedModel`; the model is built at the first call."""

    @functools.cache
    def program() -> Callable:
        return compiled(_passes(config, spec)[1])

    return lambda *arguments: program()(*arguments)


@paused_collection()
def _program(config: Config, spec: DataSpec, arguments: tuple) -> Callable:
    """The forward pass for `arguments` (arrays or their shapes), from disk or traced."""
    leaves, tree = jax.tree.flatten(arguments)
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
    file = _file(config, spec, shapes, tree) if config.log.keep_compiled else None
    module = _read(file)
    if module is None:
        forward, _ = _passes(config, spec)
        module = _exported(lambda *leaves: forward(*jax.tree.unflatten(tree, leaves)), shapes)
        _write(file, module.mlir_module_serialized)
        module = module.mlir_module_serialized
    # The signature comes from a function without content, in both processes, so that both compile the same text.
    rows = len(next(iter(arguments[1].values())))
    signature = _exported(lambda *leaves: jnp.zeros((rows, len(spec.emotions))), shapes)
    call = dataclasses.replace(signature, mlir_module_serialized=module).call
    return compiled(lambda *arguments: call(*jax.tree.leaves(arguments)))


def _exported(function: Callable, shapes: list) -> export.Exported:
    return export.export(jax.jit(function, keep_unused=True))(*shapes)


def _passes(config: Config, spec: DataSpec) -> tuple[Callable, Callable]:
    from mpcl_jax.runs.forward import forward_passes

    return forward_passes(config, spec)


def _file(config: Config, spec: DataSpec, shapes: list, tree: Any) -> pathlib.Path | None:
    """Where the program is kept; None where the user has no cache folder."""
    known = {
        "versions": [__version__, jax.__version__, metadata.version("flax"), jax.default_backend()],
        "code": [file.read_text(encoding="utf-8") for x in SOURCES for file in sorted(PACKAGE.glob(x))],
        "model": dataclasses.asdict(config.model),
        "precision": config.train.precision,
        "spec": spec._asdict(),
        "arguments": [str(tree), *map(str, shapes)],
    }
    name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    try:
        return user_folder() / f"programs-jax-{jax.__version__}" / f"forward-{name[:40]}"
    except OSError:
        return None


def _read(file: pathlib.Path | None) -> bytes | None:
    """The program in `file`; None where there is none, or a damaged one."""
    try:
        held = file.read_bytes() if file else b""
    except OSError:
        return None
    checksum, module = held[:CHECKSUM], held[CHECKSUM:]
    return module if hashlib.sha256(module).digest() == checksum else None


def _write(file: pathlib.Path | None, module: bytes) -> None:
    """Keeps `module` as a whole file; where that fails, the next process traces again."""
    if file is None:
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            whole = pathlib.Path(folder, file.name)
            whole.write_bytes(hashlib.sha256(module).digest() + module)
            os.replace(whole, file)
