"""Checkpoints by Orbax, in named parts, so that each reader restores only what it needs (`arrays.py`).

state          the whole `Training`: what a resumed run continues from
prototypes     the memory that predictions are made with; readable without model, devices or config
normalisation  mean, std and median of the training part
config         the resolved config as JSON; nothing ever executes Python that came with a checkpoint
origin         which data, split and fold it belongs to
SHA256SUMS     the checksum of every file

A checkpoint is written aside, read back and compared, and renamed after its checksums are written. So a folder that
is named by a number is finished and can be opened; only then older ones are deleted. Later damage is found by the
checksums: the run goes on from the checkpoint before, with a warning. Saving blocks: the states are small, and a save
in the background could lose several epochs to a crash.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any, NamedTuple

import jax
import numpy as np

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.system import checksums
from mpcl_jax.system.errors import StorageError, TrainingError
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import plain_path
from mpcl_jax.system.storage import make_folder, unwritten, writing
from mpcl_jax.train import processes
from mpcl_jax.train.arrays import checkpoints_in, first_whole, read_arrays
from mpcl_jax.train.state import Training, chosen_model
from mpcl_jax.types import DataError

KEPT = 2  # the newest ones
UNFINISHED, TRASH = ".unfinished", ".trash"  # what a kill leaves in them is thrown away at the next start


class Checkpoints(NamedTuple):
    """The checkpoints of one fold, open for writing."""

    folder: pathlib.Path
    plain: pathlib.Path  # the same folder, for libraries (`paths.plain_path`)
    origin: dict[str, str]  # what they belong to, e.g. {"data": sha256, "fold": "fold 1 of 3"}


@contextlib.contextmanager
def open_checkpoints(folder: pathlib.Path, origin: dict[str, str]):
    """The `Checkpoints` of `folder`, which is made; remains of a killed process are removed."""
    folder = folder.absolute()
    if processes.is_first():
        make_folder(folder)
        for remains in (UNFINISHED, TRASH):
            shutil.rmtree(folder / remains, ignore_errors=True)
    with plain_path(folder) as plain:
        yield Checkpoints(folder, plain, origin)


def save(saved: Checkpoints, epoch: int, training: Training, norm: Normalisation, config: dict) -> None:
    """Writes one checkpoint, named by the number of finished epochs, and removes the oldest.

    Raises TrainingError for a state that is not finite (it is never saved) and StorageError where the disk does
    not take it; what was saved before stays as it is.
    """
    _require_finite(training, epoch)
    _, prototypes = chosen_model(training)
    trees = {"state": training, "normalisation": norm._asdict()}
    if prototypes is not None:
        trees["prototypes"] = prototypes._asdict()
    documents = {"config": config, "origin": saved.origin}
    final, unfinished = saved.folder / str(epoch), saved.folder / UNFINISHED
    size = sum(x.nbytes for x in jax.tree.leaves(trees))
    try:
        with writing(final, size):
            if processes.is_first():
                _require_room(unfinished, size)
            written = saved.plain / UNFINISHED / str(epoch)
            _write(written, trees, documents)
            if processes.is_first():
                _require_read_back(final, written, trees)
                checksums.write_checksums(unfinished / str(epoch), checksums.of_epoch(epoch))
                os.rename(unfinished / str(epoch), final)
                for old in checkpoints_in(saved.folder)[KEPT:]:
                    _remove(old)
    except ValueError as error:  # how Orbax passes on an error of the disk
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number is None:
            raise
        raise unwritten(final, size, OSError(int(number[1]), os.strerror(int(number[1])))) from error
    finally:
        if processes.is_first():
            shutil.rmtree(unfinished, ignore_errors=True)


def _write(folder, trees: dict[str, Any], documents: dict[str, dict]) -> None:
    import orbax.checkpoint as ocp  # takes 0.1 s to import, so not before the first step

    parts = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
    parts |= {name: ocp.args.JsonSave(document) for name, document in documents.items()}
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
        writer.save(folder, args=ocp.args.Composite(**parts), force=True)


def _require_finite(training: Training, epoch: int) -> None:
    best = training.best and (training.best.params, training.best.prototypes)  # its KL is +inf at first
    for path, x in jax.tree_util.tree_leaves_with_path((training.state, best)):
        if not np.isfinite(np.asarray(x)).all():
            where = f"numbers that are not finite in {jax.tree_util.keystr(path)}; it is not saved"
            fix = "A smaller config.train.learning_rate or config.train.clip may help"
            raise TrainingError(f"epoch {epoch} ends with {where}. {fix}")


def _require_room(folder: pathlib.Path, size: int) -> None:
    """Takes `size` bytes of the disk and gives them back: errors of the disk inside Orbax print more than a line."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "room").open("wb") as file:
        for start in range(0, size, 1 << 24):
            file.write(bytes(min(1 << 24, size - start)))
    (folder / "room").unlink()


def _require_read_back(final: pathlib.Path, written: pathlib.Path, parts: dict[str, Any]) -> None:
    """Raises StorageError naming `final` unless the checkpoint `written` holds the bits of the trees `parts`.

    The reader is not Orbax's own, so a wrong path and a disk that returns other data are both found.
    """
    for part, tree in parts.items():
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        wanted = {jax.tree_util.keystr(k, simple=True, separator="."): np.asarray(x) for k, x in leaves}
        problem = ""
        try:
            found = read_arrays(written / part, tuple(wanted))
            for name, x in wanted.items():
                if found[name].dtype != x.dtype or found[name].tobytes() != x.tobytes():
                    problem = f"array {name!r} holds other numbers than were written"
        except DataError as error:
            problem = error.reason
        if problem:
            raise StorageError(
                f"{final}: this checkpoint cannot be read back ({part}: {problem}), so it is not kept; the "
                "checkpoints before it are. Check the disk or choose a --workdir on another one, then start the same "
                "command again"
            )


def _remove(checkpoint: pathlib.Path) -> None:
    """Renames first: a kill in the middle never leaves half a checkpoint under a number."""
    trash = checkpoint.parent / TRASH
    trash.mkdir(exist_ok=True)
    os.rename(checkpoint, pathlib.Path(tempfile.mkdtemp(dir=trash), checkpoint.name))
    # A network disk keeps what a reader has open, as .nfs…: it goes at the next start.
    shutil.rmtree(trash, ignore_errors=True)


def restore(saved, like: Training, sharding, until: int | None = None) -> tuple[int, Training] | None:
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
    import orbax.checkpoint as ocp  # as in `_write`

    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)
    wanted = ocp.args.Composite(state=ocp.args.StandardRestore(target))
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        return whole, reader.restore(saved.plain / str(whole), args=wanted)["state"]


def _choose(saved: Checkpoints, until: int | None) -> int | None:
    """The epoch to go on from, None for the start; makes it the newest."""
    for checkpoint in checkpoints_in(saved.folder):
        if until is not None and int(checkpoint.name) > until:
            _remove(checkpoint)
    whole, damaged = first_whole(checkpoints_in(saved.folder))
    if whole is None and damaged:
        found = "; ".join(f"{x.file.relative_to(saved.folder)} {x.reason}" for x in damaged)
        fix = "Put back a copy, or delete this folder to train the fold again from the start"
        raise ConfigError(f"{saved.folder}: no whole checkpoint is left ({found}). {fix}")
    if whole is None:
        return None
    held = json.loads((whole / "origin" / "metadata").read_text(encoding="utf-8"))
    if wrong := [f"{k} {held.get(k)!r} is not {v!r}" for k, v in saved.origin.items() if held.get(k) != v]:
        wrong = f"belongs to another training ({'; '.join(wrong)})"
        raise ConfigError(f"{whole}: this checkpoint {wrong}; put the right one back, or delete it")
    for damage in damaged:
        warn(f"{damage.file} {damage.reason}; going on from epoch {whole.name}")
        epoch = damage.file.relative_to(saved.folder).parts[0]
        aside = saved.folder / f"damaged-{epoch}"
        with writing(aside, 0):
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(saved.folder / epoch, aside)
    return int(whole.name)
