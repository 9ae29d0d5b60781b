"""The memory of a checkpoint as NumPy arrays, read without JAX, model, config or the devices that wrote it."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.arrays import checkpoints_in, first_whole, read_arrays
from mpcl_jax.train.fold_inspection import load_inspection, no_near_windows
from mpcl_jax.types import GROUPS, DataError, groups_in


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
    modality_groups: tuple[str, ...] = GROUPS  # G names: the modality groups that the data set has


def open_memory(path, *, fold: int | None = None, step: int | None = None) -> Memory:
    """The memory of a run (its first fold or `fold`, its newest whole checkpoint or `step`), a fold or a checkpoint.

    Warns of newer checkpoints that are damaged. Raises FileNotFoundError naming the folder where there is no such
    checkpoint, DataError where the named one, or every one, is damaged.
    """
    checkpoint = find_checkpoint(user_path(path), fold=fold, step=step)
    arrays = read_arrays(checkpoint / "prototypes", ("bank", "mass", "usage", "cooccurrence"))
    emotions, valence, modality_groups = names_of(checkpoint, arrays["bank"])
    near = _near_windows(checkpoint, *arrays["usage"].shape)
    return Memory(checkpoint, emotions, valence, **arrays, **near, modality_groups=modality_groups)


def find_checkpoint(
    folder: pathlib.Path, *, fold: int | None = None, step: int | None = None
) -> pathlib.Path:
    """The newest whole checkpoint with prototypes below `folder`, or that of `fold` and `step` (epochs).

    Raises as `open_memory` does.
    """
    places = [folder / "checkpoints", *sorted(folder.glob("folds/*/checkpoints"))]
    if fold is not None:
        places = [folder / "folds" / f"{fold:02d}" / "checkpoints"]
    of_places = [[x for x in checkpoints_in(place) if (x / "prototypes").is_dir()] for place in places]
    found = [folder] if (folder / "prototypes").is_dir() else next(filter(None, of_places), [])
    if not found:
        where = "in it" if fold is None else f"of fold {fold}, counted from 0"
        raise FileNotFoundError(f"{folder}: no checkpoint with prototypes {where}")
    wanted = [x for x in found if x == folder or step in (None, int(x.name))]
    if not wanted:
        kept = ", ".join(x.name for x in reversed(found))
        raise FileNotFoundError(f"{found[0].parent}: no checkpoint of epoch {step}; there are {kept}")
    whole, damaged = first_whole(wanted, listed=False)
    if whole is None:
        raise DataError(damaged[0].file, f"{damaged[0].reason}; no whole checkpoint is left to read")
    for newer in damaged:
        warn(f"{newer.file} {newer.reason}; an earlier checkpoint is read")
    return whole


def names_of(checkpoint: pathlib.Path, bank: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Names of emotions, of their valence groups and of the modality groups of a `bank` [G, C, K, D].

    They come from the `data.json` of the run that the checkpoint lies in; without one, emotions are numbers.
    """
    count, modality_groups = bank.shape[1], GROUPS if len(bank) == len(GROUPS) else ("the only group",)
    for file in (folder / "data.json" for folder in checkpoint.absolute().parents):
        try:
            data = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"emotions": ()}
        except ValueError as error:
            raise DataError(
                file, f"is no JSON ({error}); restore it, or remove it to read the memory without names"
            ) from error
        if len(data["emotions"]) == count:
            own = groups_in(data.get("groups", {}))
            return (
                tuple(data["emotions"]),
                tuple(data["valence"]),
                own if len(own) == len(bank) else modality_groups,
            )
    return tuple(f"emotion {c}" for c in range(count)), ("",) * count, modality_groups


def _near_windows(checkpoint: pathlib.Path, count: int, slots: int) -> dict[str, np.ndarray]:
    """The nearest training windows, which belong to the newest checkpoint of a fold and to no other."""
    checkpoint = checkpoint.absolute()
    found = load_inspection(checkpoint.parents[1] / "inspection.npz")
    nothing = no_near_windows(count, slots)
    newest = checkpoint in checkpoints_in(checkpoint.parent)[:1]
    if found is None or not newest or found.near_id.shape[:2] != (count, slots):
        return nothing
    return {name: getattr(found, name) for name in nothing}
