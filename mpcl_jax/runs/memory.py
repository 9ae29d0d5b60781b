"""The memory of a checkpoint as NumPy arrays, read without JAX, model, config or the devices that wrote it."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from mpcl_jax.system import checksums
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.arrays import read_arrays
from mpcl_jax.train.fold_inspection import load_inspection
from mpcl_jax.types import GROUPS, DataFileError, groups_in


class Memory(NamedTuple):
    """The prototypes of a checkpoint; G modality groups, C emotions, K slots of each, R near windows."""

    checkpoint: pathlib.Path
    emotions: tuple[str, ...]  # C names; numbers where the checkpoint lies in no run folder
    valence: tuple[str, ...]  # C valence groups; "" where they are not known
    bank: np.ndarray  # [G, C, K, D] unit rows
    mass: np.ndarray  # [G, C, K] evidence collected over the whole training, in samples
    usage: np.ndarray  # [C, K] recent evidence per sample that was assigned to a slot
    cooccurrence: np.ndarray  # [C, C] recent mean of e eᵀ, sums to 1
    near_id: np.ndarray  # [C, K, R] nearest training windows, trial@seconds; R = 0 where the run has none
    near_subject: np.ndarray  # [C, K, R]
    near_cosine: np.ndarray  # [C, K, R] in [-1, 1]
    sides: tuple[str, ...] = GROUPS  # G names: the modality groups that the data set has


def open_memory(path, *, fold: int | None = None, step: int | None = None) -> Memory:
    """The memory of a run (its first fold or `fold`, its newest whole checkpoint or `step`), a fold or a checkpoint.

    Warns of newer checkpoints that are damaged. Raises FileNotFoundError naming the folder where there is no such
    checkpoint, DataFileError where the named one, or every one, is damaged.
    """
    checkpoint = find_checkpoint(user_path(path), fold=fold, step=step)
    arrays = read_arrays(checkpoint / "prototypes", ("bank", "mass", "usage", "cooccurrence"))
    _check_shapes(checkpoint, arrays)
    _, count, slots, _ = arrays["bank"].shape
    emotions, valence = emotion_names(checkpoint, count)
    sides = _group_names(checkpoint, arrays["bank"])
    arrays |= {name: without_absent(arrays[name], sides, axis=0) for name in ("bank", "mass")}
    return Memory(
        checkpoint, emotions, valence, **arrays, **_near_windows(checkpoint, count, slots), sides=sides
    )


def without_absent(x: np.ndarray, sides: tuple[str, ...], axis: int) -> np.ndarray:
    """`x` with only the modality groups `sides` along `axis`; older versions saved both in any case."""
    if x.shape[axis] <= len(sides):
        return x
    return x.take([GROUPS.index(side) for side in sides], axis)


def find_checkpoint(
    folder: pathlib.Path, *, fold: int | None = None, step: int | None = None
) -> pathlib.Path:
    """The newest whole checkpoint with prototypes below `folder`, or that of `fold` and `step` (epochs).

    Raises as `open_memory` does.
    """
    places = [folder / "checkpoints", *sorted(folder.glob("folds/*/checkpoints"))]
    if fold is not None:
        places = [folder / "folds" / f"{fold:02d}" / "checkpoints"]
    damaged, candidates = [], [folder] if (folder / "prototypes").is_dir() else []
    for place in () if candidates else places:
        steps = [n for n in checksums.steps_in(place) if (place / str(n) / "prototypes").is_dir()]
        candidates = [place / str(n) for n in steps if step in (None, n)]
        if candidates:
            break
        if steps:
            kept = ", ".join(map(str, steps[::-1]))
            raise FileNotFoundError(f"{place}: no checkpoint of epoch {step}; there are {kept}")
    for checkpoint in candidates:
        if (damage := _damage(checkpoint)) is None:
            for newer in damaged:
                warn(f"{newer.file} {newer.reason}; an earlier checkpoint is read")
            return checkpoint
        damaged.append(damage)
    if damaged:
        raise DataFileError(damaged[0].file, f"{damaged[0].reason}; no whole checkpoint is left to read")
    where = folder if fold is None else f"{folder}, fold {fold}"
    raise FileNotFoundError(f"{where}: no checkpoint with prototypes in it")


def _damage(checkpoint: pathlib.Path) -> checksums.Damage | None:
    """What is wrong with a checkpoint, by its checksums; None for a copy without them."""
    epoch = checksums.epoch_of(checkpoint)
    if epoch is None or not (checkpoint / checksums.NAME).exists():
        return None
    return checksums.damage_in(checkpoint, checksums.of_epoch(epoch))


def _check_shapes(checkpoint: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    bank = arrays["bank"]
    if bank.ndim == 4 and 1 <= len(bank) <= len(GROUPS):
        g, c, k, _ = bank.shape
        wanted = {"mass": (g, c, k), "usage": (c, k), "cooccurrence": (c, c)}
        if all(arrays[name].shape == shape for name, shape in wanted.items()):
            return
    shapes = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
    raise DataFileError(checkpoint, f"its arrays do not fit together ({shapes}); choose another checkpoint")


def emotion_names(checkpoint: pathlib.Path, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and valence groups from the `data.json` of the run that a checkpoint lies in, or numbers."""
    for data in _data_files_above(checkpoint):
        if len(data["emotions"]) == count:
            return tuple(data["emotions"]), tuple(data["valence"])
    return tuple(f"emotion {c}" for c in range(count)), ("",) * count


def _group_names(checkpoint: pathlib.Path, bank: np.ndarray) -> tuple[str, ...]:
    """The modality groups of a bank [G, C, K, D], from the same file; all possible ones without it."""
    for data in _data_files_above(checkpoint):
        sides = groups_in(data.get("groups", {}))
        if len(data["emotions"]) == bank.shape[1] and 0 < len(sides) <= len(bank):
            return sides
    return GROUPS if len(bank) == len(GROUPS) else ("the only group",)


def _data_files_above(checkpoint: pathlib.Path) -> list[dict]:
    files = [folder / "data.json" for folder in checkpoint.absolute().parents]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]


def _near_windows(checkpoint: pathlib.Path, count: int, slots: int) -> dict[str, np.ndarray]:
    """The nearest training windows, which belong to the newest checkpoint of a fold and to no other."""
    checkpoint = checkpoint.absolute()
    found, steps = (
        load_inspection(checkpoint.parents[1] / "inspection.npz"),
        checksums.steps_in(checkpoint.parent),
    )
    newest = steps and checksums.epoch_of(checkpoint) == steps[0]
    if found is None or not newest or found.near_id.shape[:2] != (count, slots):
        nothing = np.zeros((count, slots, 0))
        return {"near_id": nothing.astype(str), "near_subject": nothing.astype(str), "near_cosine": nothing}
    return {name: getattr(found, name) for name in ("near_id", "near_subject", "near_cosine")}
