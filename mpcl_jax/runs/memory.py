"""The memory of a checkpoint as NumPy arrays, read without JAX, model, config or the devices that wrote it."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from mpcl_jax.system import checksums
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.arrays import read_arrays
from mpcl_jax.train.fold_inspection import load_inspection
from mpcl_jax.types import GROUPS, DataFileError, groups_in


class Memory(NamedTuple):
    """What a checkpoint remembers; G modality groups, C emotions, K slots of each, R near windows."""

    checkpoint: pathlib.Path
    emotions: tuple[str, ...]  # C names; numbers where the checkpoint lies in no run folder
    valence: tuple[str, ...]  # C valence groups; "" where they are not known
    bank: np.ndarray  # [G, C, K, D] unit rows
    mass: np.ndarray  # [G, C, K] evidence collected over the whole training, in samples
    usage: np.ndarray  # [C, K] recent evidence per sample that went to a slot
    cooccurrence: np.ndarray  # [C, C] recent mean of e eᵀ, sums to 1
    near_id: np.ndarray  # [C, K, R] nearest training windows, trial@seconds; R = 0 where the run has none
    near_subject: np.ndarray  # [C, K, R]
    near_cosine: np.ndarray  # [C, K, R] in [-1, 1]
    sides: tuple[str, ...] = GROUPS  # G names: the modality groups that the data set has


def open_memory(path, *, fold: int | None = None, step: int | None = None) -> Memory:
    """The memory of a run (its first fold or `fold`, its newest checkpoint or `step`), of a fold or a checkpoint.

    Raises FileNotFoundError naming the folder where there is no such checkpoint, DataFileError where it is damaged.
    """
    checkpoint = find_checkpoint(user_path(path), fold=fold, step=step)
    _require_whole(checkpoint)
    arrays = read_arrays(checkpoint / "prototypes", ("bank", "mass", "usage", "cooccurrence"))
    _check_shapes(checkpoint, arrays)
    _, c, slots, _ = arrays["bank"].shape
    emotions, valence = emotion_names(checkpoint, c)
    sides = _side_names(checkpoint, arrays["bank"])
    arrays |= {name: without_absent(arrays[name], sides, axis=0) for name in ("bank", "mass")}
    near = _near_windows(checkpoint, c, slots)
    return Memory(checkpoint, emotions, valence, **arrays, **near, sides=sides)


def without_absent(x: np.ndarray, sides: tuple[str, ...], axis: int) -> np.ndarray:
    """`x` with only the modality groups `sides` along `axis`; older versions saved both in any case."""
    if x.shape[axis] <= len(sides):
        return x
    return x.take([GROUPS.index(side) for side in sides], axis)


def find_checkpoint(
    folder: pathlib.Path, *, fold: int | None = None, step: int | None = None
) -> pathlib.Path:
    """The newest finished checkpoint with prototypes below `folder`, or that of `fold` and `step` (epochs).

    Raises FileNotFoundError naming the folder and what is there.
    """
    if (folder / "prototypes").is_dir():
        return folder
    if fold is None:
        places = [folder / "checkpoints", *sorted(folder.glob("folds/*/checkpoints"))]
    else:
        places = [folder / "folds" / f"{fold:02d}" / "checkpoints"]
    for place in places:
        steps = [
            step for step in checksums.steps_in(place)[::-1] if (place / str(step) / "prototypes").is_dir()
        ]
        if step in steps or (step is None and steps):
            return place / str(steps[-1] if step is None else step)
        if steps:
            kept = ", ".join(map(str, steps))
            raise FileNotFoundError(f"{place}: no checkpoint of epoch {step}; there are {kept}")
    where = folder if fold is None else f"{folder}, fold {fold}"
    raise FileNotFoundError(f"{where}: no checkpoint with prototypes in it")


def _require_whole(checkpoint: pathlib.Path) -> None:
    """Array files carry no sums of their own: a flipped bit would be read without a word."""
    epoch = checksums.epoch_of(checkpoint)
    if epoch is not None and (checkpoint / checksums.NAME).exists():
        damage = checksums.damage_in(checkpoint, checksums.of_epoch(epoch))
        if damage:
            raise DataFileError(damage.file, f"{damage.reason}; inspect another checkpoint")


def _check_shapes(checkpoint: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    bank = arrays["bank"]
    if bank.ndim == 4 and 1 <= len(bank) <= len(GROUPS):
        g, c, k, _ = bank.shape
        wanted = {"mass": (g, c, k), "usage": (c, k), "cooccurrence": (c, c)}
        if all(arrays[name].shape == shape for name, shape in wanted.items()):
            return
    shapes = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
    raise DataFileError(checkpoint, f"its arrays do not fit together ({shapes}); inspect another checkpoint")


def emotion_names(checkpoint: pathlib.Path, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and valence groups from the `data.json` of the run that a checkpoint lies in, or numbers."""
    for data in _data_files_above(checkpoint):
        if len(data["emotions"]) == count:
            return tuple(data["emotions"]), tuple(data["valence"])
    return tuple(f"emotion {c}" for c in range(count)), ("",) * count


def _side_names(checkpoint: pathlib.Path, bank: np.ndarray) -> tuple[str, ...]:
    """The modality groups that a bank [G, C, K, D] is of, from the same file; all that there can be without one."""
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
    fold = checkpoint.absolute().parents[1]
    steps = checksums.steps_in(checkpoint.absolute().parent)
    found = load_inspection(fold / "inspection.npz")
    newest = steps and checksums.epoch_of(checkpoint.absolute()) == steps[0]
    if found is None or not newest or found.near_id.shape[:2] != (count, slots):
        nothing = np.zeros((count, slots, 0))
        return {"near_id": nothing.astype(str), "near_subject": nothing.astype(str), "near_cosine": nothing}
    return {name: found._asdict()[name] for name in ("near_id", "near_subject", "near_cosine")}
