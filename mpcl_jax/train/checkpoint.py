"""Checkpoints by Orbax, in named parts, so that each reader restores only what it needs.

state          the whole `Training`: what a resumed run continues from
prototypes     the memory that predictions are made with; readable without model, devices or config
normalisation  mean and std of the training part
config         the resolved config as JSON; nothing ever executes Python that came with a checkpoint
"""

import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.model.prototypes import Prototypes
from mpcl_jax.train.state import Training, chosen_model


def open_checkpoints(folder: pathlib.Path) -> ocp.CheckpointManager:
    """The checkpoints of one fold; the newest two are kept.

    Saving blocks: these states are small, and a save in the background can lose several epochs to a crash.
    Deleting renames first, so that a kill in the middle never leaves half a checkpoint that looks whole.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=2,
        enable_async_checkpointing=False,
        cleanup_tmp_directories=True,
        todelete_subdir="trash",
    )
    return ocp.CheckpointManager(folder.absolute(), options=options)


def save(manager: ocp.CheckpointManager, epoch: int, training: Training, norm: Normalisation, config: dict):
    """Writes one checkpoint, named by the number of finished epochs."""
    _, prototypes = chosen_model(training)
    parts = {
        "state": ocp.args.StandardSave(training),
        "normalisation": ocp.args.StandardSave(norm._asdict()),
        "config": ocp.args.JsonSave(config),
    }
    if prototypes is not None:
        parts["prototypes"] = ocp.args.StandardSave(prototypes._asdict())
    manager.save(epoch, args=ocp.args.Composite(**parts))
    manager.wait_until_finished()


def restore(
    manager: ocp.CheckpointManager, like: Training, sharding, until: int | None = None
) -> tuple[int, Training] | None:
    """The newest checkpoint as (finished epochs, training), or None where there is none.

    Later ones than `until` are deleted first: a fold whose group was stopped while its checkpoints were written
    may be ahead of the others, and will write them again.
        `like` gives shapes and dtypes (`jax.eval_shape` of the creation); the leaves are put where `sharding` says,
    on however many devices this process has, whatever number wrote them.
    """
    for later in [step for step in manager.all_steps() if until is not None and step > until]:
        manager.delete(later)
    epoch = manager.latest_step()
    if epoch is None:
        return None
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)
    restored = manager.restore(epoch, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
    return epoch, restored["state"]


def latest_checkpoint(folder: pathlib.Path) -> pathlib.Path:
    """The newest finished checkpoint below `folder`: a checkpoint, a fold, or a run (its first fold).

    Raises FileNotFoundError naming the folder.
    """
    folder = pathlib.Path(folder)
    if (folder / "prototypes").is_dir():
        return folder
    for checkpoints in [folder / "checkpoints", *sorted(folder.glob("folds/*/checkpoints"))]:
        steps = [p for p in checkpoints.glob("*") if p.name.isdigit() and (p / "prototypes").is_dir()]
        if steps:
            return max(steps, key=lambda p: int(p.name))
    raise FileNotFoundError(f"{folder}: no checkpoint with prototypes in it")


def read_prototypes(folder: pathlib.Path) -> Prototypes:
    """The memory of a checkpoint as NumPy arrays, without the model and on any number of devices."""
    return Prototypes(**_read_numpy(latest_checkpoint(folder) / "prototypes"))


def read_normalisation(folder: pathlib.Path) -> Normalisation:
    """The normalisation of a checkpoint as NumPy arrays."""
    return Normalisation(**_read_numpy(latest_checkpoint(folder) / "normalisation"))


def _read_numpy(part: pathlib.Path) -> dict[str, Any]:
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(part.absolute()).item_metadata.tree
        wanted = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return reader.restore(part.absolute(), restore_args=wanted)
