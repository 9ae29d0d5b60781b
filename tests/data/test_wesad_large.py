"""A pickle as large as those of the release, and within which memory it is converted: `pytest -m long -rP`."""

import pathlib
import resource
import struct

import numpy as np
import pytest
from wesad_fixture import _dtype, _text

from mpcl_jax.data.io.safe_read import Limits, run_guarded
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.data.wesad import recording

SECONDS = 22_500  # of noise: 1.04 GB; the recordings of the release have 0.9 to 1.0 GB
ALLOWED = 2 * 10**9


def write_array(file, x: np.ndarray) -> None:
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in x.shape) + b"t"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _text(b"b") + b"\x87R"
    file.write(empty + b"(K\x01" + shape + _dtype(x.dtype) + b"\x89T" + struct.pack("<i", x.nbytes))
    file.write(x.tobytes())
    file.write(b"tb")


def write_signals(file, sensors: list[recording.Sensor], rng: np.random.Generator) -> None:
    file.write(b"}(")
    for sensor in sensors:
        file.write(_text(sensor.key.encode()))
        beat = np.sin(2 * np.pi * 1.2 * np.arange(SECONDS * sensor.rate) / sensor.rate) ** 15
        noise = 0.1 * rng.standard_normal((len(beat), sensor.axes))
        write_array(file, (33 + beat[:, None] + noise).astype("<f4" if sensor.key == "Temp" else "<f8"))
    file.write(b"u")


def write_large(path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    length = SECONDS // 5 - 100
    codes = np.concatenate([[0] * 100 + [code] * length for code in (1, 2, 4, 3, 4)])
    with open(path, "wb") as file:
        file.write(b"\x80\x02}(" + _text(b"signal") + b"}(")
        for place in ("chest", "wrist"):
            file.write(_text(place.encode()))
            write_signals(file, [s for s in recording.SENSORS if s.place == place], rng)
        file.write(b"u" + _text(b"label"))
        write_array(file, np.repeat(codes, 700).astype("<i4"))
        file.write(_text(b"subject") + _text(b"S2") + b"u.")


@pytest.mark.long
def test_a_gigabyte_is_converted_within_two(tmp_path):
    path = tmp_path / "S2.pkl"
    write_large(path)
    size = path.stat().st_size
    try:
        limits = Limits(memory_bytes=ALLOWED, seconds=3000.0)
        arrays = run_guarded(wesad.convert, str(path), "S2", "both", 60.0, 30.0, limits=limits)
    finally:
        path.unlink()
    assert size > 10**9 and len(arrays["start"]) > 700
    resident = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"{size:,} bytes converted within {ALLOWED:,} of address space; {resident:,} resident at most")
