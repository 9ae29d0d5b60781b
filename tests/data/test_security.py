"""Files of unknown origin: nothing in them runs, nothing fills the memory, nothing is written where they say."""

import io
import json
import pathlib
import pickle
import socket
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from hostile_functions import open_all, open_file
from hostile_pickles import hostile_pickles
from python_process import python
from scipy.io import savemat

from mpcl_jax.config.data import ProtocolConfig
from mpcl_jax.config.schema import Config
from mpcl_jax.data.folder import load as folder
from mpcl_jax.data.io.safe_read import Limits, run_guarded
from mpcl_jax.data.splits import manifest
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation.run_files import predictions_frame
from mpcl_jax.train.run_folder import register_run
from mpcl_jax.types import DataError

LIMITS = Limits(memory_bytes=2 * 2**30, seconds=600.0)


@pytest.fixture
def trap():
    """A listening socket and a function that tells whether a connection was made."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)

        def connected() -> bool:
            try:
                server.accept()[0].close()
                return True
            except BlockingIOError:
                return False

        yield server.getsockname()[1], connected


def test_hostile_pickles_run_nothing(tmp_path, trap):
    port, connected = trap
    (tmp_path / "files").mkdir()
    programs = hostile_pickles(tmp_path / "canary", port)
    for number, content in enumerate(programs.values()):
        (tmp_path / "files" / f"{number:03d}.pkl").write_bytes(content)
    refused = run_guarded(open_all, tmp_path / "files", limits=LIMITS)
    assert len(refused) == len(programs) >= 60
    assert all("no plain data pickle" in words for words in refused.values())
    assert sorted(x.name for x in tmp_path.iterdir()) == ["files"] and not connected()
    with socket.create_connection(("127.0.0.1", port)):
        assert connected(), "the trap does not work"
    pickle.loads(programs["builtins.eval"])
    assert (tmp_path / "canary").exists(), "the programs do nothing anywhere"
    print(f"{len(refused)} hostile pickles, 0 executed")


def npy_claiming(shape: tuple | str, content: bytes = b"") -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def mat_of_zeros(megabytes: int) -> bytes:
    """A packed variable a thousandth of its size on disk."""
    out = io.BytesIO()
    savemat(out, {"x": np.zeros((megabytes, 2**17))}, do_compression=True)
    return out.getvalue()


def mat_claiming(size: int) -> bytes:
    flags = struct.pack("<IIII", 6, 8, 6, 0)
    dims = struct.pack("<IIii", 5, 8, 2**30, 2**30)
    body = flags + dims + struct.pack("<HH4s", 1, 1, b"x") + struct.pack("<II", 9, size) + bytes(8)
    packed = zlib.compress(struct.pack("<II", 14, size) + body)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    return head + struct.pack("<II", 15, len(packed)) + packed


def million() -> bytes:
    return npy_claiming((10**6,), bytes(8 * 10**6))


BOMBS = {
    "mat_1000x.mat": lambda: mat_of_zeros(200),
    "mat_claim.mat": lambda: mat_claiming(2**32 - 16),
    "npz_terabytes.npz": lambda: zipped({"x.npy": npy_claiming((10**12,))}),
    "npz_1000x.npz": lambda: zipped(dict.fromkeys([f"{i}.npy" for i in range(40)], million())),
    "npz_in_npz.npz": lambda: zipped({"inner.npz": zipped({"x.npy": million()})}),
    "npz_axes.npz": lambda: zipped({"x.npy": npy_claiming((2,) * 60)}),
    "long4.pkl": lambda: b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x",
    "binbytes8.pkl": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"x",
    "nested.pkl": lambda: b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b".",
    "deep_key.pkl": lambda: b"\x80\x02}" + b")" + b"\x85" * 10**6 + b"K\x01s.",
    "put.pkl": lambda: b"\x80\x02Nr\xff\xff\xff\xff.",
    "itself.pkl": lambda: b"\x80\x02]q\x00h\x00a.",  # a list that holds itself
    # 20 lists, each of which holds the one before it 100 times
    "lists.pkl": lambda: b"\x80\x02]q\x00" + b"".join(b"](" + b"h\x00" * 100 + b"eq\x00" for _ in range(20)) + b".",
    "nested.json": lambda: b"[" * 10**6,
    "number.json": lambda: b"9" * 10**6,
    "large.json": lambda: b" " * (17 * 2**20),
    "large.csv": lambda: b"1;" * (9 * 2**20),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_soon_and_small(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    begin = time.monotonic()
    with pytest.raises(DataError) as caught:
        run_guarded(open_file, path, limits=Limits(memory_bytes=2**30, seconds=20.0))
    seconds = time.monotonic() - begin
    assert caught.value.file == str(path) and "\n" not in str(caught.value) and seconds < 10
    print(f"{name}: {seconds:.1f} s, {caught.value.reason}")


TRAPS = ("../../outside", "/tmp/outside", "..", "a/b", "C:\\outside", "~/outside")
TRAPS += ("<b>", "$(touch x)", "%2e%2e")


def hostile_folder(root: pathlib.Path) -> pathlib.Path:
    root.mkdir()
    meta = {
        "name": "../../outside",
        "emotions": [{"name": name, "valence": "../v"} for name in TRAPS[:3]],
        "modalities": {"ecg": {"group": "physiological"}},
    }
    (root / "meta.json").write_text(json.dumps(meta))
    for subject in ("..  outside", "$(touch x)", "<b>"):
        np.savez(
            root / f"{subject}.npz",
            labels=np.ones((len(TRAPS), 3)),
            ecg=np.random.default_rng(len(subject)).normal(size=(len(TRAPS), 2)),
            trial=np.array(TRAPS),
            stimulus=np.array(TRAPS[::-1]),
        )
    return root


def test_no_name_in_the_data_becomes_a_path(tmp_path):
    recordings = folder.load(str(hostile_folder(tmp_path / "data")))
    split = make_split(recordings, ProtocolConfig(kind="loso"))
    before = set(tmp_path.rglob("*"))
    work = tmp_path / "work"
    register_run(work, Config(), recordings, split)
    rows = np.arange(len(recordings.labels))
    csv = predictions_frame(recordings, [rows], recordings.labels).to_csv(index=False)
    assert len(csv.splitlines()) == len(rows) + 1
    written = set(tmp_path.rglob("*")) - before
    assert work / "manifest.json" in written
    assert all(path == work or path.parent == work for path in written)
    back = manifest.read_manifest(work / "manifest.json", recordings)
    assert back.sha256 == split.sha256


@pytest.mark.parametrize("name", ["../outside.npy", "/outside.npy", "a/../../outside.npy", "x\x00y.npy"])
def test_members_of_an_archive_are_never_unpacked_to_disk(tmp_path, name):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    (inside / "x.npz").write_bytes(zipped({name: npy_claiming((1,), bytes(8))}))
    open_all(inside)
    assert sorted(x.name for x in tmp_path.rglob("*")) == ["a", "b", "x.npz"]
    assert not pathlib.Path("/outside.npy").exists()


WATCH = """
import os, pathlib, sys, tempfile
import matplotlib.font_manager  # draws reports; at its first import it lists the fonts in a folder of its own
tempfile.gettempdir()  # chex uses it; Python then tries the folder with a file that it removes
seen = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = ("socket", "subprocess", "shutil", "tempfile", "urllib", "http", "ftplib", "smtplib", *(f"os.{x}" for x in (
    "system", "exec", "fork", "posix_spawn", "spawn", "mkdir", "remove", "rename", "rmdir", "link", "symlink",
    "truncate", "chmod")))
def watch(event, args):
    if event.startswith(EVENTS) or event == "open" and isinstance(args[2], int) and args[2] & WRITES:
        seen.append((event, str(args)))
sys.addaudithook(watch)
import mpcl_jax
root = pathlib.Path(mpcl_jax.__path__[0])
files = sorted(file for file in root.rglob("*.py") if file.name not in ("__init__.py", "__main__.py"))
names = ["mpcl_jax." + ".".join(file.relative_to(root).with_suffix("").parts) for file in files]
for name in names:
    __import__(name)
assert {"jax", "mpcl_jax.evaluation.experiment", "mpcl_jax.train.checkpoint"} <= sys.modules.keys()
assert not seen, seen
open(os.devnull, "w").close()
assert len(seen) == 1, "the watch sees nothing"
"""


def test_importing_opens_no_socket_starts_no_process_writes_no_file():
    python("-B", "-c", WATCH)
