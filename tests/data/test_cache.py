"""The cache of what was computed from a file: used when it fits, made anew when it does not."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mpcl_jax.data.io import cache
from mpcl_jax.types import DataFileError

SETTINGS = {"window": 60.0, "version": 1}


class Counter:
    """Computes an array and counts how often it was asked to."""

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


def ask(tmp_path, source, compute, settings=SETTINGS):
    arrays = cache.through(tmp_path / "kept", "S2", (source,), settings, compute)
    assert arrays["a/values"].tolist() == [0, 1, 2, 3] and arrays["present"].dtype == bool
    return compute.calls


def rewrite(path: Path, content: bytes, mtime_ns: int) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_computed_once(tmp_path, source):
    compute = Counter()
    assert ask(tmp_path, source, compute) == 1
    assert ask(tmp_path, source, compute) == 1
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["S2.json", "S2.npz"]


def test_an_unchanged_source_is_not_read(tmp_path, source, monkeypatch):
    compute = Counter()
    ask(tmp_path, source, compute)
    read = []
    true_hash = cache.sha256
    monkeypatch.setattr(cache, "sha256", lambda path: read.append(path) or true_hash(path))
    ask(tmp_path, source, compute)
    assert source not in read and len(read) == 1  # the entry itself is checked


def test_another_content_is_computed_anew(tmp_path, source):
    compute = Counter()
    ask(tmp_path, source, compute)
    rewrite(source, b"recordinG", source.stat().st_mtime_ns + 10**9)  # same size
    assert ask(tmp_path, source, compute) == 2
    assert ask(tmp_path, source, compute) == 2


def test_touched_but_equal_content_is_only_hashed(tmp_path, source, monkeypatch):
    compute = Counter()
    ask(tmp_path, source, compute)
    rewrite(source, b"recording", source.stat().st_mtime_ns + 10**9)
    assert ask(tmp_path, source, compute) == 1
    # The new time was written down: the third start reads nothing.
    read = []
    true_hash = cache.sha256
    monkeypatch.setattr(cache, "sha256", lambda path: read.append(path) or true_hash(path))
    ask(tmp_path, source, compute)
    assert source not in read


@pytest.mark.parametrize("settings", [{"window": 30.0, "version": 1}, {"window": 60.0, "version": 2}])
def test_other_settings_or_version_are_computed_anew(tmp_path, source, settings):
    compute = Counter()
    ask(tmp_path, source, compute)
    assert ask(tmp_path, source, compute, settings) == 2


def test_an_entry_of_several_sources_hangs_on_each(tmp_path, source):
    other = tmp_path / "labels.mat"
    other.write_bytes(b"labels")
    compute = Counter()

    def ask_both(*sources):
        cache.through(tmp_path / "kept", "S2", sources, SETTINGS, compute)
        return compute.calls

    assert (ask_both(source, other), ask_both(source, other)) == (1, 1)
    rewrite(other, b"LABELS", other.stat().st_mtime_ns + 10**9)
    assert (ask_both(source, other), ask_both(source, other)) == (2, 2)
    assert (ask_both(source), ask_both(source)) == (3, 3)  # one is gone
    assert ask_both(other, source) == 4


def damage_flip(folder):
    raw = bytearray((folder / "S2.npz").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "S2.npz").write_bytes(raw)


def damage_cut(folder):
    raw = (folder / "S2.npz").read_bytes()
    (folder / "S2.npz").write_bytes(raw[: len(raw) // 2])


def damage_lost(folder):
    (folder / "S2.npz").unlink()


def damage_json(folder):
    (folder / "S2.json").write_text("{")


def damage_list(folder):
    (folder / "S2.json").write_text("[]")


def damage_keys(folder):
    (folder / "S2.json").write_text(json.dumps({"settings": SETTINGS}))


def damage_binary(folder):
    (folder / "S2.json").write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    "damage", [damage_flip, damage_cut, damage_lost, damage_json, damage_list, damage_keys, damage_binary]
)
def test_a_damaged_entry_is_made_anew(tmp_path, source, damage):
    compute = Counter()
    ask(tmp_path, source, compute)
    damage(tmp_path / "kept")
    assert ask(tmp_path, source, compute) == 2
    assert ask(tmp_path, source, compute) == 2


def test_a_pickle_in_an_entry_is_never_opened(tmp_path, source):
    """Even with a matching checksum: object arrays are pickles."""
    compute = Counter()
    ask(tmp_path, source, compute)
    npz, note = tmp_path / "kept" / "S2.npz", tmp_path / "kept" / "S2.json"
    np.savez(npz, evil=np.array([{}], object))
    entry = json.loads(note.read_text())
    note.write_text(json.dumps(entry | {"sha256": cache.sha256(npz)}))
    assert ask(tmp_path, source, compute) == 2


def test_a_failing_conversion_leaves_the_old_entry(tmp_path, source):
    compute = Counter()
    ask(tmp_path, source, compute)
    old = (tmp_path / "kept" / "S2.npz").read_bytes()

    def fails():
        raise DataFileError(source, "is damaged")

    with pytest.raises(DataFileError, match="is damaged"):
        cache.through(tmp_path / "kept", "S2", (source,), {"window": 1.0}, fails)
    assert (tmp_path / "kept" / "S2.npz").read_bytes() == old


def test_nothing_half_written_stays(tmp_path, source, monkeypatch):
    """A crash between the two files leaves an entry that is refused, and no other files."""
    compute = Counter()
    ask(tmp_path, source, compute)
    replace = os.replace

    def crash(src, dst):
        if str(dst).endswith(".json"):
            raise KeyboardInterrupt
        replace(src, dst)

    monkeypatch.setattr(os, "replace", crash)
    rewrite(source, b"second", 10**18)
    with pytest.raises(KeyboardInterrupt):
        cache.through(tmp_path / "kept", "S2", (source,), SETTINGS, lambda: {"a/values": np.zeros(1)})
    monkeypatch.undo()
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["S2.json", "S2.npz"]
    assert ask(tmp_path, source, compute) == 2


@pytest.mark.parametrize("given", ["", "file/kept"])
def test_a_run_goes_on_where_nothing_can_be_kept(tmp_path, source, monkeypatch, capsys, given):
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = cache.folder_for("wesad", given and str(tmp_path / given))
    said = capsys.readouterr().err
    assert said.startswith("warning: converted recordings are not kept") and said.count("\n") == 1
    assert "config.data.cache" in said and "XDG_CACHE_HOME" in said
    compute = Counter()
    for _ in range(2):
        assert cache.through(folder, "S2", (source,), SETTINGS, compute)["present"].tolist() == [True, False]
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
        cache.through(tmp_path / "kept", "S2", (source,), SETTINGS, Counter())
    assert caught.value.file == str(tmp_path / "kept")


def test_a_source_that_is_gone(tmp_path):
    with pytest.raises(DataFileError, match="can not be read"):
        cache.through(tmp_path, "S2", (tmp_path / "none.pkl",), SETTINGS, Counter())


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
