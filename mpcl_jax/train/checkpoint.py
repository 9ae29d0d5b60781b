"""Checkpoints by Orbax, in named parts, so that each reader restores only what it needs.

state          the whole `Training`: what a resumed run continues from
prototypes     the memory that predictions are made with; readable without model, devices or config
normalisation  mean, std and median of the training part
config         the resolved config as JSON; nothing ever executes Python that came with a checkpoint
origin         which data, split and fold it belongs to
SHA256SUMS     what every file must hold

A checkpoint is written aside, read back and compared with the memory of the process, and renamed when its sums are
written. So what is named by a number is finished and can be opened; only then older ones are deleted. One that was
damaged later is found by its sums: a run then goes on from the one before, and says so.
Saving blocks: these states are small, a save in the background can lose several epochs to a crash, and whatever
goes wrong is an error here and now.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import tempfile
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.system import checksums
from mpcl_jax.system.checksums import steps_in
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.system.paths import plain_path
from mpcl_jax.system.storage import make_folder, unwritten, writing
from mpcl_jax.train import processes
from mpcl_jax.train.arrays import newest_whole
from mpcl_jax.train.progress import warn
from mpcl_jax.train.read_back import require_read_back
from mpcl_jax.train.state import Training, chosen_model

KEPT = 2  # the newest ones
UNFINISHED, TRASH = ".unfinished", ".trash"  # what a kill leaves in them is thrown away at the next start


class Checkpoints(NamedTuple):
    """The checkpoints of one fold, open for writing."""

    folder: pathlib.Path
    plain: pathlib.Path  # the same folder, for libraries (`paths.plain_path`)
    origin: dict[str, str]  # what they belong to, e.g. {"data": sha256, "fold": "fold 1 of 3"}
    writer: ocp.Checkpointer


@contextlib.contextmanager
def open_checkpoints(folder: pathlib.Path, origin: dict[str, str]):
    """The `Checkpoints` of `folder`, which is made; remains of a killed process are removed."""
    folder = folder.absolute()
    if processes.is_first():
        make_folder(folder)
        for remains in (UNFINISHED, TRASH):
            shutil.rmtree(folder / remains, ignore_errors=True)
    with plain_path(folder) as plain, ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
        yield Checkpoints(folder, plain, origin, writer)


def save(saved: Checkpoints, epoch: int, training: Training, norm: Normalisation, config: dict) -> None:
    """Writes one checkpoint, named by the number of finished epochs, and removes the oldest.

    Raises TrainingError for a state that is not finite (it is never saved) and StorageError where the disk does
    not take it; what was saved before stays as it is.
    """
    _require_finite(training, epoch)
    _, prototypes = chosen_model(training)
    parts = {
        "state": ocp.args.StandardSave(training),
        "normalisation": ocp.args.StandardSave(norm._asdict()),
        "config": ocp.args.JsonSave(config),
        "origin": ocp.args.JsonSave(saved.origin),
    }
    if prototypes is not None:
        parts["prototypes"] = ocp.args.StandardSave(prototypes._asdict())
    final, written = saved.folder / str(epoch), saved.plain / UNFINISHED / str(epoch)
    arrays = {"state": training, "normalisation": norm._asdict(), "prototypes": prototypes}
    size = sum(x.nbytes for x in jax.tree.leaves(arrays))
    try:
        with writing(final, size):
            if processes.is_first():
                _require_room(saved.folder / UNFINISHED, size)
            saved.writer.save(written, args=ocp.args.Composite(**parts), force=True)
            if processes.is_first():
                require_read_back(final, written, arrays)
                _finish(saved.folder, epoch)
    except ValueError as error:  # how Orbax passes on an error of the disk
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number is None:
            raise
        raise unwritten(final, size, OSError(int(number[1]), os.strerror(int(number[1])))) from error
    finally:
        if processes.is_first():
            shutil.rmtree(saved.folder / UNFINISHED, ignore_errors=True)


def _finish(folder: pathlib.Path, epoch: int) -> None:
    """Lists the sums of a checkpoint, gives it its number, and removes those that are too many."""
    checksums.write_checksums(folder / UNFINISHED / str(epoch), checksums.of_epoch(epoch))
    os.rename(folder / UNFINISHED / str(epoch), folder / str(epoch))
    for old in steps_in(folder)[KEPT:]:
        _remove(folder, old)


def _require_finite(training: Training, epoch: int) -> None:
    best = training.best and (training.best.params, training.best.prototypes)  # its KL is +inf at first
    for path, x in jax.tree_util.tree_leaves_with_path((training.state, best)):
        if not np.isfinite(np.asarray(x)).all():
            raise TrainingError(
                f"epoch {epoch} ends with numbers that are not finite in {jax.tree_util.keystr(path)}; it is "
                "not saved. A smaller config.train.learning_rate or config.train.clip may help"
            )


def _require_room(folder: pathlib.Path, size: int) -> None:
    """Takes `size` bytes of the disk and gives them back: full disks and quotas speak up before anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "room").open("wb") as file:
        for start in range(0, size, 1 << 24):
            file.write(bytes(min(1 << 24, size - start)))
        file.flush()
    (folder / "room").unlink()


def _remove(folder: pathlib.Path, epoch: int) -> None:
    """Renames first: a kill in the middle never leaves half a checkpoint under a number."""
    (folder / TRASH).mkdir(exist_ok=True)
    os.rename(folder / str(epoch), pathlib.Path(tempfile.mkdtemp(dir=folder / TRASH), str(epoch)))
    # A network disk keeps what a reader has open, as .nfs…: it goes at the next start.
    shutil.rmtree(folder / TRASH, ignore_errors=True)


def restore(
    saved: Checkpoints, like: Training, sharding, until: int | None = None
) -> tuple[int, Training] | None:
    """The newest whole checkpoint as (finished epochs, training), or None where there has never been one.

    `like` gives shapes and dtypes (`jax.eval_shape` of the creation); the leaves are put where `sharding` says,
    on however many devices this process has, whatever number wrote them. Damaged checkpoints that are newer are
    put aside with a warning. Later ones than `until` are deleted: a fold whose group was stopped while its
    checkpoints were written may be ahead of the others, and will write them again.

    Raises ConfigError where all are damaged, or where the one to go on from belongs to other data, another split
    or another fold.
    """
    whole = processes.by_first(lambda: _choose(saved, until))
    if whole is None:
        return None
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)
    wanted = ocp.args.Composite(state=ocp.args.StandardRestore(target))
    return whole, saved.writer.restore(saved.plain / str(whole), args=wanted)["state"]


def _choose(saved: Checkpoints, until: int | None) -> int | None:
    """The epoch to go on from, None for the start; makes it the newest."""
    for epoch in steps_in(saved.folder):
        if until is not None and epoch > until:
            _remove(saved.folder, epoch)
    whole, damaged = newest_whole(saved.folder)
    if whole is None:
        if damaged:
            raise ConfigError(_all_damaged(saved.folder, damaged))
        return None
    _require_own(saved, saved.folder / str(whole))
    for epoch, damage in damaged:
        warn(f"{damage.file} {damage.reason}; going on from epoch {whole}")
        _put_aside(saved.folder, epoch)
    return whole


def _all_damaged(folder: pathlib.Path, damaged) -> str:
    found = "; ".join(f"{damage.file.relative_to(folder)} {damage.reason}" for _, damage in damaged)
    return (
        f"{folder}: no whole checkpoint is left ({found}). Put back a copy, or delete this folder to train the "
        "fold again from the start"
    )


def _require_own(saved: Checkpoints, step: pathlib.Path) -> None:
    origin = json.loads((step / "origin" / "metadata").read_text(encoding="utf-8"))
    wrong = [f"{k} {origin.get(k)!r} is not {v!r}" for k, v in saved.origin.items() if origin.get(k) != v]
    if wrong:
        raise ConfigError(
            f"{step}: this checkpoint belongs to another training ({'; '.join(wrong)}); put the right one back, "
            "or delete it"
        )


def _put_aside(folder: pathlib.Path, epoch: int) -> None:
    place = folder / f"damaged-{epoch}"
    with writing(place, 0):
        shutil.rmtree(place, ignore_errors=True)
        os.rename(folder / str(epoch), place)
