"""The `.npz` reader: what `numpy.savez` writes, no objects, no claim believed."""

import numpy as np
import pytest
from test_security import npy_claiming, zipped

from mpcl_jax.data.io import npz_reader
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.types import DataError


def refusal(path, **settings) -> str:
    with pytest.raises(DataError) as caught:
        parse_npz(path, **settings)
    assert caught.value.file == str(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    return caught.value.reason


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path, save):
    rng = np.random.default_rng(0)
    data = {f"x{i}": rng.integers(0, 2, (3, 4)).astype(k) for i, k in enumerate("?bBhHiIqQefdFD")}
    data |= {"columns": np.asfortranarray(rng.normal(size=(3, 4))), "big": np.arange(3, dtype=">f8")}
    data |= {"none": np.zeros((3, 0)), "point": np.float64(2), "text": np.array(["a", "bcd"])}
    save(tmp_path / "x.npz", **data)
    ours = parse_npz(tmp_path / "x.npz")
    assert list(ours) == list(data)
    for key, x in data.items():
        assert ours[key].dtype == x.dtype.newbyteorder("=") and ours[key].shape == np.shape(x), key
        np.testing.assert_array_equal(ours[key], x)
        assert ours[key].flags.writeable


def test_objects_are_never_unpickled(tmp_path):
    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    np.savez(tmp_path / "x.npz", x=np.array([Canary()], dtype=object))
    assert "allow_pickle=False" in refusal(tmp_path / "x.npz")
    assert not (tmp_path / "canary").exists()
    np.load(tmp_path / "x.npz", allow_pickle=True)["x"]  # unpickled for real, it does create the file
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("shape", [(-2, -1), (1,) * 65, "(" * 4000, "__import__('os').system('true')"])
def test_dishonest_headers_are_refused(tmp_path, shape):
    (tmp_path / "x.npz").write_bytes(zipped({"x.npy": npy_claiming(shape, bytes(16))}))
    assert "'x'" in refusal(tmp_path / "x.npz")


def test_archives_that_claim_too_much_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(2**19), b=np.zeros(2**19))  # 2 * 4 MiB of zeros
    parse_npz(tmp_path / "x.npz")
    monkeypatch.setattr(npz_reader.np, "load", None)  # would raise a TypeError
    claimed = 2 * (8 * 2**19 + 128)  # NumPy pads its header to 128 bytes
    assert f"claims {claimed:,} bytes" in refusal(tmp_path / "x.npz", max_bytes=claimed - 1)
    monkeypatch.setattr(npz_reader, "FREE_BYTES", claimed - 1)
    assert "not np.savez_compressed" in refusal(tmp_path / "x.npz")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(zipped({"../../x.txt": b"x"}))
    assert "is no array" in refusal(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.ones(2))
    (tmp_path / "c.npz").write_bytes(b"no zip")
    for name in ("b.npy", "c.npz", ""):
        assert "write it with np.savez" in refusal(tmp_path / name)
    assert "does not exist" in refusal(tmp_path / "e.npz")
    for odd in (np.zeros(2, "M8[s]"), np.zeros(2, "f8,f8")):
        np.savez(tmp_path / "f.npz", x=odd)
        assert "'x' has type" in refusal(tmp_path / "f.npz")
