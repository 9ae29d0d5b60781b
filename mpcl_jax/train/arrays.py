"""Checkpoints as NumPy arrays, read without JAX, model, config or the devices that wrote them."""

import json
import pathlib
from typing import Any

import numpy as np
import tensorstore

from mpcl_jax.system import checksums
from mpcl_jax.system.paths import plain_path
from mpcl_jax.types import DataFileError


def newest_whole(folder: pathlib.Path) -> tuple[int | None, list[tuple[int, checksums.Damage]]]:
    """The newest checkpoint (finished epochs) without damage, if any, and the damage of each newer one."""
    damaged = []
    for epoch in checksums.steps_in(folder):
        damage = checksums.damage_in(folder / str(epoch), checksums.of_epoch(epoch))
        if damage is None:
            return epoch, damaged
        if (folder / str(epoch)).exists():  # a run that works may have removed it since it was listed
            damaged.append((epoch, damage))
    return None, damaged


def array_names(part: pathlib.Path) -> list[str]:
    """Names of the arrays in one part of an Orbax checkpoint: "state.step", "mean.eeg"; those that are None left out.

    Raises DataFileError.
    """
    leaves = _metadata(part)["tree_metadata"].values()
    try:
        kept = [leaf["key_metadata"] for leaf in leaves if leaf["value_metadata"]["value_type"] != "None"]
        return [".".join(str(step["key"]) for step in steps) for steps in kept]
    except (KeyError, TypeError) as error:
        raise DataFileError(part, f"holds no list of its arrays ({_first_line(error)})") from error


def read_arrays(part: pathlib.Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of one part of an Orbax checkpoint, whole, whatever number of devices and processes wrote them.

    Raises DataFileError naming the part and the array.
    """
    if not names:
        return {}

    def done(name, future):
        try:
            return future.result()
        except (ValueError, OSError) as error:
            reason = f"its array {name!r} cannot be read ({_first_line(error)}); choose another checkpoint"
            raise DataFileError(part, reason) from error

    zarr = "zarr3" if _metadata(part).get("use_zarr3") else "zarr"
    with plain_path(part) as plain:
        base = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{plain}/"}}
        specs = {name: {"driver": zarr, "kvstore": base | {"path": f"{name}/"}} for name in names}
        context = tensorstore.Context()  # shared, the list of arrays is read once for all of them
        opened = {n: tensorstore.open(x, open=True, read=True, context=context) for n, x in specs.items()}
        reading = {name: done(name, future).read() for name, future in opened.items()}
        return {name: np.asarray(done(name, future)) for name, future in reading.items()}


def read_tree(part: pathlib.Path) -> dict[str, Any]:
    """All arrays of one part of an Orbax checkpoint in nested dicts. Raises DataFileError."""
    tree: dict[str, Any] = {}
    for name, x in read_arrays(part, tuple(array_names(part))).items():
        *outer, last = name.split(".")
        node = tree
        for key in outer:
            node = node.setdefault(key, {})
        node[last] = x
    return tree


def _metadata(part: pathlib.Path) -> dict:
    try:
        found = json.loads((part / "_METADATA").read_text(encoding="utf-8"))
        found["tree_metadata"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFileError(part, f"holds no list of its arrays ({_first_line(error)})") from error
    return found


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(" [")[0][:160]
