"""A failed write is one sentence with a remedy, and the file from before is still complete."""

import contextlib
import errno
import fcntl
import os
import resource

import numpy as np
import pytest

from mpcl_jax.cli import audit as audit_command
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.errors import DISK, StorageError
from mpcl_jax.system.os_errors import NO_LOCKS, REMEDIES, UNKNOWN, remedy_of
from mpcl_jax.system.storage import make_folder, replacing, unwritten, write_arrays, write_text
from mpcl_jax.train.interrupt import MARKER, only_run_in
from mpcl_jax.train.selection import write_choices
from mpcl_jax.train.writer import append
from mpcl_jax.types import DataError

SOME = np.arange(4.0)
WRITERS = {
    "predictions.npz": lambda file: write_arrays(file, {"predicted": SOME}),
    "table.md": lambda file: write_text(file, "text"),
    "metrics.jsonl": lambda file: append(file, {"epoch": 1}),
    "selection.json": lambda file: write_choices(file.parent, "MPCL", {"fold 1": {"epoch": 3}}),
}


@contextlib.contextmanager
def no_file_grows():
    """The system refuses every byte (EFBIG), as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", WRITERS)
def test_a_failed_write_names_the_file_and_keeps_the_old_one(tmp_path, name):
    file = tmp_path / name
    before = b"" if name.endswith("l") else b"{}"
    file.write_bytes(before)
    with no_file_grows(), pytest.raises(StorageError) as caught:
        WRITERS[name](file)
    assert str(file) in str(caught.value) and "raise the limit (ulimit -f)" in str(caught.value)
    assert "make room" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [name] and file.read_bytes() == before


def test_every_error_has_a_remedy_of_its_own_and_only_a_full_disk_asks_for_room(tmp_path):
    full, *others = "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "ENAMETOOLONG", "EIO", "ESTALE", "EMFILE"
    usual = [full, *others, "ENOENT", "ENOTDIR", "ENOLCK"]
    remedies = {name: remedy_of(getattr(errno, name)) for name in usual}
    assert len(set(remedies.values())) == len(usual)
    assert [name for name, text in remedies.items() if "room" in text] == [full]
    assert not NO_LOCKS & set(REMEDIES)
    assert remedy_of(999) == remedy_of(None) == UNKNOWN
    full, read_only = (
        str(unwritten(tmp_path / "nowhere" / "x", 1234, OSError(number, os.strerror(number))))
        for number in (errno.ENOSPC, errno.EROFS)
    )
    assert "1,234 bytes cannot be written (No space left on device; " in full and " are free): make " in full
    assert "(Read-only file system): the disk is mounted read-only" in read_only and "free" not in read_only


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/run: .* a part of the path is a file"):
        make_folder(tmp_path / "file" / "run")


def test_what_a_writer_leaves_half_done_is_removed(tmp_path):
    with pytest.raises(ValueError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_an_audit_that_cannot_be_written_ends_with_the_code_of_a_disk(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit_command, "read_settings", lambda _: type("", (), {"data": None}))
    monkeypatch.setattr(audit_command.pipeline, "load", lambda _: None)
    monkeypatch.setattr(audit_command, "audit", lambda *_: None)
    monkeypatch.setattr(audit_command, "to_json", lambda _: "text")
    with no_file_grows():
        assert audit_command.run([str(tmp_path)]) == DISK
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'audit.json'}: ")


@pytest.mark.parametrize("number", sorted(NO_LOCKS))
def test_a_disk_without_locks_is_named_and_a_file_stands_for_the_lock(tmp_path, monkeypatch, capsys, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    marker = f"another run works in it .* delete {tmp_path / MARKER}"
    with only_run_in(tmp_path):
        warning = capsys.readouterr().err
        assert warning.startswith(f"warning: {tmp_path}: this disk has no file locks")
        assert "make room" not in warning
        with pytest.raises(ConfigError, match=marker), only_run_in(tmp_path):
            pass
    with only_run_in(tmp_path):
        pass


def test_other_errors_of_a_lock_are_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match="the disk reports a hardware error"), only_run_in(tmp_path):
        pass


def test_a_link_stays_a_link_and_what_is_no_file_is_refused(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DataError, match="is not a regular file"):
            write_text(other, "new")
    assert not (tmp_path / "pipe").is_file()
    assert sorted(x.name for x in tmp_path.iterdir()) == ["link", "pipe", "target"]


def test_arrays_are_written_under_any_name(tmp_path):
    write_arrays(tmp_path / "anna", {"predicted": SOME})
    assert os.listdir(tmp_path) == ["anna"]
    with np.load(tmp_path / "anna") as held:
        np.testing.assert_array_equal(held["predicted"], SOME)
