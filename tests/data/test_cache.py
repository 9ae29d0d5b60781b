"""The cache of what was computed from a file: used when it fits, computed again when it does not."""

import os
from pathlib import Path

import numpy as np
import pytest

from mpcl_jax.data.io import cache
from mpcl_jax.types import DataFileError

SETTINGS = {"window": 60.0, "version": 1}


class Counter:
    """Computes an array and counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"a/values": np.arange(4.0), "present": np.array([True, False])}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "S2.pkl"
    path.write_bytes(b"recording")
    return path


def get(tmp_path, source, compute, settings=SETTINGS):
    arrays = cache.cached(tmp_path / "kept", "S2", (source,), settings, compute)
    assert arrays["a/values"].tolist() == [0, 1, 2, 3] and arrays["present"].dtype == bool
    return compute.calls


def rewrite(path: Path, content: bytes, mtime_ns: int) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_computed_once(tmp_path, source):
    compute = Counter()
    assert get(tmp_path, source, compute) == 1
    assert get(tmp_path, source, compute) == 1
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["S2.npz"]


def test_another_content_is_computed_again(tmp_path, source):
    compute = Counter()
    get(tmp_path, source, compute)
    rewrite(source, b"recordinG", source.stat().st_mtime_ns + 10**9)  # same size
    assert get(tmp_path, source, compute) == 2
    assert get(tmp_path, source, compute) == 2


@pytest.mark.parametrize("settings", [{"window": 30.0, "version": 1}, {"window": 60.0, "version": 2}])
def test_other_settings_or_version_are_computed_again(tmp_path, source, settings):
    compute = Counter()
    get(tmp_path, source, compute)
    assert get(tmp_path, source, compute, settings) == 2


def test_an_entry_of_several_sources_depends_on_each(tmp_path, source):
    other = tmp_path / "labels.mat"
    other.write_bytes(b"labels")
    compute = Counter()

    def get_both(*sources):
        cache.cached(tmp_path / "kept", "S2", sources, SETTINGS, compute)
        return compute.calls

    assert (get_both(source, other), get_both(source, other)) == (1, 1)
    rewrite(other, b"LABELS", other.stat().st_mtime_ns + 10**9)
    assert (get_both(source, other), get_both(source, other)) == (2, 2)
    assert (get_both(source), get_both(source)) == (3, 3)  # one is gone
    assert get_both(other, source) == 4


def damage_flip(folder):
    raw = bytearray((folder / "S2.npz").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "S2.npz").write_bytes(raw)


def damage_cut(folder):
    raw = (folder / "S2.npz").read_bytes()
    (folder / "S2.npz").write_bytes(raw[: len(raw) // 2])


def damage_entry(folder):
    np.savez(folder / "S2.npz", a=np.ones(2))


def damage_text(folder):
    (folder / "S2.npz").write_bytes(b"no archive")


def damage_pickle(folder):
    np.savez(folder / "S2.npz", evil=np.array([{}], object))


@pytest.mark.parametrize("damage", [damage_flip, damage_cut, damage_entry, damage_text, damage_pickle])
def test_a_damaged_entry_is_computed_again(tmp_path, source, damage):
    compute = Counter()
    get(tmp_path, source, compute)
    damage(tmp_path / "kept")
    assert get(tmp_path, source, compute) == 2
    assert get(tmp_path, source, compute) == 2


def test_a_failing_conversion_leaves_the_old_entry(tmp_path, source):
    compute = Counter()
    get(tmp_path, source, compute)
    old = (tmp_path / "kept" / "S2.npz").read_bytes()

    def fails():
        raise DataFileError(source, "is damaged")

    with pytest.raises(DataFileError, match="is damaged"):
        cache.cached(tmp_path / "kept", "S2", (source,), {"window": 1.0}, fails)
    assert (tmp_path / "kept" / "S2.npz").read_bytes() == old


def test_an_interrupted_write_leaves_the_old_entry_and_no_other_file(tmp_path, source, monkeypatch):
    compute = Counter()
    get(tmp_path, source, compute)

    def crash(src, dst):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        cache.cached(tmp_path / "kept", "S2", (source,), {"window": 1.0}, compute)
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["S2.npz"]
    assert get(tmp_path, source, compute) == 2


@pytest.mark.parametrize("given", ["", "file/kept"])
def test_a_run_goes_on_where_nothing_can_be_kept(tmp_path, source, monkeypatch, capsys, given):
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = cache.folder_for("wesad", given and str(tmp_path / given))
    printed = capsys.readouterr().err
    assert printed.startswith("warning: converted recordings are not kept") and printed.count("\n") == 1
    assert "config.data.cache" in printed and "XDG_CACHE_HOME" in printed
    compute = Counter()
    for _ in range(2):
        assert cache.cached(folder, "S2", (source,), SETTINGS, compute)["present"].tolist() == [True, False]
    assert compute.calls == 2


def test_a_user_without_a_home(monkeypatch, capsys):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder_for("wesad", "") is None
    assert "(the user has no home folder)" in capsys.readouterr().err


def test_a_folder_that_fills_up_or_vanishes(tmp_path, source):
    (tmp_path / "kept").write_text("a file where the folder should be")
    with pytest.raises(DataFileError, match=r"config\.data\.cache") as caught:
        cache.cached(tmp_path / "kept", "S2", (source,), SETTINGS, Counter())
    assert caught.value.file == str(tmp_path / "kept")


def test_a_source_that_is_gone(tmp_path):
    with pytest.raises(DataFileError, match="cannot be read"):
        cache.cached(tmp_path, "S2", (tmp_path / "none.pkl",), SETTINGS, Counter())


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
