"""The default device and the CPU train the same model; where the default device is the CPU, that is skipped."""

import json

import jax
import pytest
from python_process import python

OPTIONS = ("--config", "smoke", "--config.train.generator=threefry2x32", "--config.train.epochs=3")


@pytest.mark.skipif(jax.default_backend() == "cpu", reason="needs a GPU or TPU")
def test_an_accelerator_trains_as_the_cpu_does_but_for_rounding(tmp_path):
    losses = []
    for platforms in ("", "cpu"):
        folder = tmp_path / (platforms or "default")
        python("-m", "mpcl_jax.main", *OPTIONS, "--workdir", folder, JAX_PLATFORMS=platforms)
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    # GPUs multiply float32 matrices in TF32, which has 10 bits of a mantissa.
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)
