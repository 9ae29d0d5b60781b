"""The cache of what was computed from a file: used when it fits, computed again when it does not."""

import os
from pathlib import Path

import numpy as np
import pytest

from mpcl_jax.data.io import cache
from mpcl_jax.types import DataError

SETTINGS = {"window": 60.0, "version": 1}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "S2.pkl"
    path.write_bytes(b"recording")
    return path


class Counter:
    """Gets an entry from the cache and counts how often it was computed."""

    def __init__(self, folder, *sources):
        self.folder, self.sources, self.calls = folder, sources, 0

    def compute(self):
        self.calls += 1
        return {"a/values": np.arange(4.0), "present": np.array([True, False])}

    def __call__(self, settings=SETTINGS, sources=None):
        arrays = cache.cached(self.folder, "S2", sources or self.sources, settings, self.compute)
        assert arrays["a/values"].tolist() == [0, 1, 2, 3] and arrays["present"].dtype == bool
        return self.calls


@pytest.fixture
def get(tmp_path, source):
    """Has computed the entry of `source` once."""
    counter = Counter(tmp_path / "kept", source)
    assert (counter(), counter()) == (1, 1)
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["S2.npz"]
    return counter


def rewrite(path: Path, content: bytes) -> None:
    """Another content, a second later."""
    at = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(at, at))


def test_other_contents_settings_and_versions_are_computed_again(get, source):
    rewrite(source, b"recordinG")  # same size
    assert (get(), get()) == (2, 2)
    assert get({"window": 30.0, "version": 1}) == 3
    assert get({"window": 30.0, "version": 2}) == 4


def flipped(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


@pytest.mark.parametrize("damage", [flipped, lambda raw: raw[: len(raw) // 2], lambda raw: b"no archive"])
def test_a_damaged_entry_is_computed_again(get, damage):
    entry = get.folder / "S2.npz"
    entry.write_bytes(damage(entry.read_bytes()))
    assert (get(), get()) == (2, 2)


@pytest.mark.parametrize("arrays", [{"a": np.ones(2)}, {"evil": np.array([{}], object)}])
def test_an_entry_of_something_else_is_computed_again(get, arrays):
    np.savez(get.folder / "S2.npz", **arrays)
    assert (get(), get()) == (2, 2)


def test_a_failing_conversion_and_an_interrupted_write_leave_the_old_entry(get, source, monkeypatch):
    def fails():
        raise DataError(source, "is damaged")

    def crash(src, dst):
        raise KeyboardInterrupt

    old = (get.folder / "S2.npz").read_bytes()
    with pytest.raises(DataError, match="is damaged"):
        cache.cached(get.folder, "S2", (source,), {"window": 1.0}, fails)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", crash)
        get({"window": 1.0})
    assert [p.name for p in get.folder.iterdir()] == ["S2.npz"]
    assert (get.folder / "S2.npz").read_bytes() == old and get() == 2


@pytest.mark.parametrize("given", ["", "file/kept"])
def test_a_run_goes_on_where_nothing_can_be_kept(tmp_path, source, monkeypatch, capsys, given):
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = cache.folder_for("wesad", given and str(tmp_path / given))
    printed = capsys.readouterr().err
    assert printed.startswith("warning: converted recordings are not kept") and printed.count("\n") == 1
    assert "config.data.cache" in printed and "XDG_CACHE_HOME" in printed
    get = Counter(folder, source)
    assert (get(), get()) == (1, 2)


def test_a_user_without_a_home(monkeypatch, capsys):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder_for("wesad", "") is None
    assert "(the user has no home folder)" in capsys.readouterr().err


def test_a_folder_that_vanishes_and_a_source_that_is_gone(tmp_path, source):
    (tmp_path / "kept").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"config\.data\.cache") as caught:
        Counter(tmp_path / "kept", source)()
    assert caught.value.file == str(tmp_path / "kept")
    with pytest.raises(DataError, match="cannot be read"):
        Counter(tmp_path, tmp_path / "none.pkl")()


def test_where_caches_live(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.user_folder() == tmp_path / ".cache" / "mpcl_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.user_folder() == tmp_path / "xdg" / "mpcl_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.user_folder() == tmp_path / ".cache" / "mpcl_jax"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache.user_folder() == tmp_path / "Library" / "Caches" / "mpcl_jax"


def test_the_files_that_were_written_first_are_deleted(tmp_path):
    (tmp_path / "folder").mkdir()
    for age, name in enumerate("dcba"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    cache.delete_oldest(tmp_path, 40)
    assert {x.name for x in tmp_path.iterdir()} == {"a", "b", "c", "d", "folder"}
    cache.delete_oldest(tmp_path, 29)
    assert {x.name for x in tmp_path.iterdir()} == {"c", "d", "folder"}
    cache.delete_oldest(tmp_path / "absent", 29)


def test_a_file_that_another_process_deletes_first_stops_nothing(tmp_path, monkeypatch):
    for age, name in enumerate("cba"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    unlink = Path.unlink

    def gone(path):
        unlink(path)
        if path.name == "b":
            raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "unlink", gone)
    cache.delete_oldest(tmp_path, 10)
    assert [x.name for x in tmp_path.iterdir()] == ["c"]
