"""Checkpoints that can be trusted: whole or not there, damage found, nothing of another run, nothing half-deleted."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from python_process import environment
from run_fixture import bits

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.model.outputs import Prototypes
from mpcl_jax.runs.memory import open_memory
from mpcl_jax.system import checksums
from mpcl_jax.system.checksums import steps_in
from mpcl_jax.system.errors import StorageError, TrainingError
from mpcl_jax.train.arrays import read_tree
from mpcl_jax.train.checkpoint import open_checkpoints, restore, save
from mpcl_jax.train.state import Best, Guard, Training, TrainState
from mpcl_jax.types import DataError

ORIGIN = {"data": "d" * 64, "split": "s" * 64, "fold": "fold 1 of 3"}
NORM = Normalisation(*({"eda": np.full((1, 3), x)} for x in (0.0, 1.0, 0.0)))
HERE = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def training_of(epoch: int, size: int = 50) -> Training:
    """A small training whose every number depends on the epoch."""
    rng = np.random.default_rng(epoch)

    def some(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    memory = Prototypes(some(2, 3, 2, 4), some(2, 3, 2), some(3, 2), some(3, 3))
    params = {"kernel": some(size, 4), "bias": some(4)}
    state = TrainState(jnp.int32(epoch), params, {"mu": some(size)}, memory)
    return Training(
        state,
        Best(jnp.float32(jnp.inf), jnp.int32(0), params, memory),
        Guard(jnp.zeros(3, jnp.int32), jnp.float32(jnp.inf)),
    )


LIKE = jax.eval_shape(lambda: training_of(0))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder after four epochs: the last two are kept."""
    folder = tmp_path_factory.mktemp("fold") / "checkpoints"
    with open_checkpoints(folder, ORIGIN) as saved:
        for epoch in (1, 2, 3, 4):
            save(saved, epoch, training_of(epoch), NORM, {"seed": 0})
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return pathlib.Path(shutil.copytree(written, tmp_path / "checkpoints"))


def restored(folder, origin=ORIGIN, until=None):
    with open_checkpoints(folder, origin) as saved:
        return restore(saved, LIKE, HERE, until)


def saved_as_fifth(folder):
    with open_checkpoints(folder, ORIGIN) as saved:
        save(saved, 5, training_of(5), NORM, {})
    assert steps_in(folder) == [5, 4]


def test_the_newest_two_are_kept_and_nothing_else(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["3", "4"]
    assert {p.name for p in (folder / "4").iterdir()} >= {
        *("state", "prototypes", "normalisation", "config", "origin", "SHA256SUMS")
    }
    epoch, training = restored(folder)
    assert epoch == 4 and bits(training) == bits(training_of(4))
    # Later ones than a group of folds has in common are deleted.
    assert restored(folder, until=3)[0] == 3 and steps_in(folder) == [3]


# ---- damage ----


def files_in(step: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in step.rglob("*") if p.is_file())


def spoil(rng, step: pathlib.Path) -> pathlib.Path:
    """Damages one file of a checkpoint, at random: bits, its end, itself, or its place. Returns it."""
    files = [p for p in files_in(step) if p.stat().st_size]
    file = files[rng.integers(len(files))]
    content = bytearray(file.read_bytes())
    match int(rng.integers(5)):
        case 0 | 1:
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
            file.write_bytes(content)
        case 2:
            file.write_bytes(content[: int(rng.integers(len(content)))])
        case 3:
            file.unlink()
        case _:
            others = [p for p in files if p.read_bytes() != bytes(content)]
            other = others[rng.integers(len(others))]
            swapped = other.read_bytes()
            other.write_bytes(content)
            file.write_bytes(swapped)
    return file


@pytest.mark.parametrize(
    "seeds", [range(8), pytest.param(range(1000, 1200), marks=pytest.mark.long)], ids=len
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(written, tmp_path, capsys, seeds):
    """Once for each seed; then the epoch can be saved again."""
    for seed in seeds:
        folder = pathlib.Path(shutil.copytree(written, tmp_path / str(seed)))
        damaged = spoil(np.random.default_rng(seed), folder / "4")
        with open_checkpoints(folder, ORIGIN) as saved:
            epoch, training = restore(saved, LIKE, HERE)
            warning = capsys.readouterr().err
            assert epoch == 3 and bits(training) == bits(training_of(3)), (seed, damaged)
            assert "warning: " in warning and str(folder / "4") in warning
            assert "going on from epoch 3" in warning
            assert steps_in(folder) == [3] and (folder / "damaged-4").is_dir()
            save(saved, 4, training_of(4), NORM, {})
            assert restore(saved, LIKE, HERE)[0] == 4
        shutil.rmtree(folder)


def test_the_checkpoint_of_another_epoch_under_this_number_is_damage(folder, capsys):
    shutil.rmtree(folder / "4")
    shutil.copytree(folder / "3", folder / "4")
    assert restored(folder)[0] == 3
    assert "epoch 3' is not '# mpcl_jax checkpoint after epoch 4'" in capsys.readouterr().err


def test_where_all_are_damaged_nothing_starts_over(folder):
    for step in (3, 4):
        next((folder / str(step)).rglob("manifest.ocdbt")).write_bytes(b"")
    before = files_in(folder)
    with pytest.raises(ConfigError, match="no whole checkpoint is left.*4/.*damaged.*3/.*delete this folder"):
        restored(folder)
    assert files_in(folder) == before
    with pytest.raises(DataError, match="no whole checkpoint is left"):
        open_memory(folder.parent)


@pytest.mark.parametrize("part", ["data", "split", "fold"])
def test_the_checkpoint_of_another_training_is_refused(folder, part):
    with pytest.raises(ConfigError, match=rf"4: this checkpoint belongs to another .*\({part} .* is not 'x'"):
        restored(folder, ORIGIN | {part: "x"})
    assert steps_in(folder) == [4, 3]


def prototypes_read(folder) -> list:
    memory = open_memory(folder)
    return bits(Prototypes(memory.bank, memory.mass, memory.usage, memory.cooccurrence))


def test_a_reader_is_warned_and_gets_the_memory_before(folder, capsys):
    run = folder.parent
    assert prototypes_read(run) == bits(jax.device_get(training_of(4).best.prototypes))
    damaged = next((folder / "4" / "prototypes").rglob("manifest.ocdbt"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert prototypes_read(run) == bits(jax.device_get(training_of(3).best.prototypes))
    assert f"warning: {damaged} is damaged" in capsys.readouterr().err
    assert steps_in(folder) == [4, 3]  # a reader changes nothing
    with pytest.raises(DataError, match="is damaged") as caught:
        open_memory(folder / "4")
    assert caught.value.file == str(damaged)


# ---- what is never saved, and what cannot be saved ----


@pytest.mark.parametrize("where", ["params", "opt_state", "prototypes", "best"])
def test_a_state_that_is_not_finite_is_never_saved(folder, where):
    bad = np.inf if where == "best" else np.nan
    training = training_of(5)
    if where == "best":
        spoilt = training._replace(best=training.best._replace(params={"kernel": jnp.float32([bad])}))
    else:
        part = jax.tree.map(lambda x: x.at[0].set(bad), training.state._asdict()[where])
        spoilt = training._replace(state=training.state._replace(**{where: part}))
    refused = pytest.raises(TrainingError, match="epoch 5 .*not finite")
    with open_checkpoints(folder, ORIGIN) as saved, refused:
        save(saved, 5, spoilt, NORM, {})
    assert steps_in(folder) == [4, 3]


def refused_by_the_disk(folder, training) -> str:
    with open_checkpoints(folder, ORIGIN) as saved:
        with pytest.raises(StorageError) as caught:
            save(saved, 5, training, NORM, {})
        assert steps_in(folder) == [4, 3]
        assert bits(restore(saved, LIKE, HERE)[1]) == bits(training_of(4))
    assert not list(folder.glob(".*/*"))
    return str(caught.value)


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid():
        pytest.skip("mounting a disk of 1 MB needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False)
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_named_with_the_bytes_needed_and_loses_nothing(written, small_disk):
    folder = pathlib.Path(shutil.copytree(written, small_disk / "checkpoints"))
    large = training_of(5, size=100_000)
    size = sum(x.nbytes for x in jax.tree.leaves((large, NORM, large.best.prototypes)))
    message = refused_by_the_disk(folder, large)
    assert f"{folder / '5'}: {size:,} bytes cannot be written (No space left on device; " in message
    # After making room (here: with less to write) the same call works.
    saved_as_fifth(folder)


def test_a_limit_on_the_size_of_files_is_named_as_well(folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        assert "File too large" in refused_by_the_disk(folder, training_of(5, size=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_failed_save_surfaces_and_the_next_one_works(folder, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(checksums, "write_checksums", denied)
        assert "Permission denied" in refused_by_the_disk(folder, training_of(5))
    saved_as_fifth(folder)


def test_a_checkpoint_that_cannot_be_read_back_is_not_kept(folder, monkeypatch):
    """The library reports success, but other numbers, or nothing that can be opened, lie on the disk."""
    written = ocp.Checkpointer.save

    def other_numbers(writer, place, args, force):
        args["state"].item = training_of(6)
        written(writer, place, args=args, force=force)

    def nothing_to_open(writer, place, args, force):
        written(writer, place, args=args, force=force)
        (place / "prototypes" / "manifest.ocdbt").unlink()

    for save_wrongly, message in (
        (other_numbers, "state: array .* holds other numbers"),
        (nothing_to_open, "prototypes: .*cannot be read"),
    ):
        monkeypatch.setattr(ocp.Checkpointer, "save", save_wrongly)
        assert re.search(
            f"5: this checkpoint cannot be read back .{message}", refused_by_the_disk(folder, training_of(5))
        )


@pytest.mark.parametrize("name", ["trial #1 50%25 [a]?*|", "a\\b\n'\"", "gs:", "{x} "])
def test_a_folder_of_any_name_holds_checkpoints(tmp_path, name):
    folder = tmp_path / name / "checkpoints"
    with open_checkpoints(folder, ORIGIN) as saved:
        save(saved, 1, training_of(1), NORM, {})
    assert bits(restored(folder)[1]) == bits(training_of(1))
    assert prototypes_read(folder.parent) == bits(jax.device_get(training_of(1).best.prototypes))
    assert bits(Normalisation(**read_tree(folder / "1" / "normalisation"))) == bits(NORM)


def test_a_file_that_a_network_disk_keeps_hinders_no_save(folder, monkeypatch):
    """Deleting an open file leaves .nfs… on such a disk, so the folder of an old checkpoint cannot be deleted yet."""

    def not_empty(*_, ignore_errors=False):
        if not ignore_errors:
            raise OSError(39, "Not empty")

    monkeypatch.setattr(shutil, "rmtree", not_empty)
    saved_as_fifth(folder)


# ---- while saving ----


@pytest.mark.parametrize("stage", ["write_checksums", "rename", "rmtree"])
def test_what_a_kill_leaves_is_never_taken_for_a_checkpoint(folder, monkeypatch, stage):
    """The process ends right before a stage of saving, or of deleting the oldest."""

    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    with (
        open_checkpoints(folder, ORIGIN) as saved,
        contextlib.suppress(Killed),
        monkeypatch.context() as patch,
    ):
        patch.setattr({"write_checksums": checksums, "rename": os, "rmtree": shutil}[stage], stage, killed)
        save(saved, 5, training_of(5), NORM, {})
    epoch, training = restored(folder)
    assert epoch == (5 if stage == "rmtree" else 4)
    assert bits(training) == bits(training_of(epoch))
    assert {p.name for p in folder.iterdir()} == {"4", "5" if stage == "rmtree" else "3"}


POLL = """
import json, pathlib, sys
from mpcl_jax.system import checksums
folder, polls, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
done, partial, seen = 0, 0, set()
while done < polls or len(seen) < wanted:
    for step in [p for p in folder.glob("*") if p.name.isdigit()]:
        damage = checksums.damage_in(step, f"mpcl_jax checkpoint after epoch {step.name}")
        partial += damage is not None and step.exists()
        seen.add(step.name)
    done += 1
print(json.dumps([done, partial, len(seen)]))
"""


@pytest.mark.parametrize("polls, checkpoints", [(50, 5), pytest.param(10_000, 50, marks=pytest.mark.long)])
def test_a_reader_never_sees_a_partial_checkpoint(tmp_path, polls, checkpoints):
    """Another process reads while this one saves all the time."""
    folder, epoch = tmp_path / "checkpoints", 0
    command = [sys.executable, "-c", POLL, str(folder), str(polls), str(checkpoints)]
    with (
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as reader,
        open_checkpoints(folder, ORIGIN) as saved,
    ):
        while reader.poll() is None:
            epoch += 1
            save(saved, epoch, training_of(epoch), NORM, {})
        done, partial, seen = json.loads(reader.stdout.read())
    print(f"{done} polls, {seen} checkpoints, {partial} partial")
    assert done >= polls and seen >= checkpoints and partial == 0
