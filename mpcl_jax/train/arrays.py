"""Checkpoints as NumPy arrays, read without JAX, model, config or the devices that wrote them."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorstore

from mpcl_jax.system import checksums
from mpcl_jax.system.paths import plain_path
from mpcl_jax.types import DataError


def checkpoints_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints in a folder, the newest first."""
    return [folder / str(epoch) for epoch in checksums.steps_in(folder)]


def first_whole(
    checkpoints: Sequence[pathlib.Path], *, listed: bool = True
) -> tuple[pathlib.Path | None, list[checksums.Damage]]:
    """The first of `checkpoints` without damage, if any, and the damage of each one before it.

    `listed` False: a copy under another name or without checksums counts as whole.
    """
    damaged = []
    for place in checkpoints:
        if not listed and (checksums.epoch_of(place) is None or not (place / checksums.NAME).exists()):
            return place, damaged
        damage = checksums.damage_in(place, checksums.of_epoch(place.name))
        if damage is None:
            return place, damaged
        if place.exists():  # a run that works may have removed it since it was listed
            damaged.append(damage)
    return None, damaged


def read_arrays(part: pathlib.Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of one part of an Orbax checkpoint by name: "state.step", "mean.eeg"; all of them without `names`.

    Each is whole, whatever number of devices and processes wrote it. Raises DataError naming part and array.
    """
    driver, listed = _contents(part)
    with plain_path(part) as plain:
        base = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{plain}/"}}
        names = list(listed) if names is None else names
        specs = {x: {"driver": driver, "kvstore": base | {"path": f"{x}/"}} for x in names}
        context = tensorstore.Context()  # shared, the list of arrays is read once for all of them
        opened = {n: tensorstore.open(x, open=True, read=True, context=context) for n, x in specs.items()}
        arrays = {}
        for name, future in opened.items():
            try:
                arrays[name] = np.asarray(future.result().read().result())
            except (ValueError, OSError) as error:
                reason = f"array {name!r} cannot be read ({_first_line(error)}); choose another checkpoint"
                raise DataError(part, reason) from error
    return arrays


def read_tree(part: pathlib.Path) -> dict[str, Any]:
    """All arrays of one part of an Orbax checkpoint in nested dicts. Raises DataError."""
    tree: dict[str, Any] = {}
    keys = _contents(part)[1]  # the name of a modality may hold a dot
    for name, x in read_arrays(part).items():
        *outer, last = keys[name]
        node = tree
        for key in outer:
            node = node.setdefault(key, {})
        node[last] = x
    return tree


def _contents(part: pathlib.Path) -> tuple[str, dict[str, list[str]]]:
    """The format of one part of an Orbax checkpoint, and name -> keys of its arrays; those that are None left out."""
    try:
        found = json.loads((part / "_METADATA").read_text(encoding="utf-8"))
        leaves = found["tree_metadata"].values()
        kept = [leaf["key_metadata"] for leaf in leaves if leaf["value_metadata"]["value_type"] != "None"]
        keys = [[str(step["key"]) for step in steps] for steps in kept]
        return "zarr3" if found.get("use_zarr3") else "zarr", {".".join(x): x for x in keys}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(part, f"holds no list of its arrays ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(" [")[0][:160]
