"""A pickle as large as those of the release, and within which memory it is converted: `pytest -m long -rP`."""

import numpy as np
import pytest
from fuzz_functions import convert_large
from wesad_fixture import python2_parts

from mpcl_jax.data.io.safe_read import Limits, run_guarded
from mpcl_jax.data.wesad import recording

SECONDS = 22_500  # of noise: 1.04 GB; the recordings of the release have 0.9 to 1.0 GB
ALLOWED = 2 * 10**9


def large_recording() -> dict:
    rng, codes = np.random.default_rng(0), [0] * 100
    signals = {"chest": {}, "wrist": {}}
    for sensor in recording.SENSORS:
        beat = np.sin(2 * np.pi * 1.2 * np.arange(SECONDS * sensor.rate) / sensor.rate) ** 15
        noise = 0.1 * rng.standard_normal((len(beat), sensor.axes))
        kind = "<f4" if sensor.key == "Temp" else "<f8"
        signals[sensor.place][sensor.key] = (33 + beat[:, None] + noise).astype(kind)
    label = np.concatenate([codes + [code] * (SECONDS // 5 - 100) for code in (1, 2, 4, 3, 4)])
    return {"signal": signals, "label": np.repeat(label, 700).astype("<i4"), "subject": "S2"}


@pytest.mark.long
def test_a_gigabyte_is_converted_within_two(tmp_path):
    path = tmp_path / "S2.pkl"
    with open(path, "wb") as file:
        file.writelines(python2_parts(large_recording()))
    size, limits = path.stat().st_size, Limits(memory_bytes=ALLOWED, seconds=3000.0)
    try:
        windows, resident = run_guarded(convert_large, path, limits=limits)
    finally:
        path.unlink()
    assert size > 10**9 and windows > 700
    print(f"{size:,} bytes converted within {ALLOWED:,} of address space; {resident:,} resident at most")
