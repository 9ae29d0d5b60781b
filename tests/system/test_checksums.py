"""Every kind of damage to a folder is found and names its file."""

import shutil
import subprocess

import numpy as np
import pytest

from mpcl_jax.system import checksums
from mpcl_jax.system.checksums import NAME, damage_in, write_checksums

ABOUT = "checkpoint after epoch 3"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    made = tmp_path / "3"
    (made / "state" / "d").mkdir(parents=True)
    for name, size in (("state/d/a", 300), ("state/d/b", 300), ("state/_METADATA", 40), ("config", 0)):
        (made / name).write_bytes(rng.bytes(size))
    write_checksums(made, ABOUT)
    return made


def found(folder, about=ABOUT):
    damage = damage_in(folder, about)
    return damage and damage.file.relative_to(folder).as_posix()


def test_a_whole_folder_has_no_damage_and_the_program_sha256sum_agrees(folder):
    assert damage_in(folder, ABOUT) is None
    if program := shutil.which("sha256sum"):
        subprocess.run([program, "-c", NAME], cwd=folder, check=True, capture_output=True)


def test_any_flipped_bit_is_found(folder):
    files = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size]
    for file in files:
        whole = file.read_bytes()
        places = range(0, len(whole), 3 if file.name == NAME else 50)
        for at in places:
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
            assert found(folder) == file.relative_to(folder).as_posix(), at
        file.write_bytes(whole)
    assert found(folder) is None


@pytest.mark.parametrize("name", ["state/d/a", "config", NAME])
def test_a_missing_a_cut_and_a_grown_file_are_found(folder, name):
    whole = (folder / name).read_bytes()
    for content in (*{whole[:rest] for rest in (0, 1, 39)} - {whole}, whole + b"\n"):
        (folder / name).write_bytes(content)
        assert found(folder) == name, content
    (folder / name).unlink()
    assert found(folder) == name


# What file managers, editors and network disks leave in folders that they show.
LEFT_BEHIND = (".DS_Store", "._a", "Thumbs.db", "desktop.ini", ".nfs0001", ".~lock.a#", "a~", ".sync", "²")


def test_files_that_were_not_listed_are_no_damage(folder):
    for name in LEFT_BEHIND:
        (folder / name).write_bytes(b"x")
        (folder / "state" / "d" / name).write_bytes(b"x")
    assert found(folder) is None
    (folder / "state" / ".nfs0002").write_bytes(b"open while the list was written")
    write_checksums(folder, ABOUT)
    (folder / "state" / ".nfs0002").unlink()
    assert found(folder) is None


def test_only_folders_named_by_a_number_are_checkpoints(tmp_path):
    for name in ("3", "12", "damaged-4", "5 copy"):
        (tmp_path / name).mkdir()
    for name in (*LEFT_BEHIND, "7"):
        (tmp_path / name).write_bytes(b"x")
    assert checksums.steps_in(tmp_path) == [12, 3]


def test_the_whole_folder_of_another_epoch_is_found(folder):
    damage = damage_in(folder, "checkpoint after epoch 4")
    assert damage.file == folder / NAME
    words = "belongs to another folder: '# checkpoint after epoch 3' is not '# checkpoint after epoch 4'"
    assert damage.reason == words
    # Not even where the words of the one begin like those of the other.
    assert found(folder, "checkpoint after epoch") == NAME
    (folder / NAME).write_bytes(b"\xff\xfe")
    assert found(folder) == NAME
