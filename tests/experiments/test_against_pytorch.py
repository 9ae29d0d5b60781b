"""The PyTorch model of experiments/speed computes what the package computes; speeds are not tested."""

import importlib.util

import jax
import numpy as np
import pytest
from tiny_model import CONFIG, ONE_SIDED, SPEC, changed, quick_jit, tiny, tiny_batch, tiny_state

from experiments.speed import against_pytorch
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.train.epoch import FoldArrays, Rows
from mpcl_jax.train.targets import NO_MEANS

INSTALLED = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not INSTALLED, reason="PyTorch is not installed (extra peers)")


WITHOUT_RECALL = {"model": {"memory": {"recall": False}}, "loss": {"relation_distillation": 0.0}}
WITH_RECALL = {"model": {"memory": {"recall": True}}, "loss": {"relation_distillation": 0.1}}


@needs_torch
@pytest.mark.parametrize("changes", [WITHOUT_RECALL, WITH_RECALL], ids=["without recall", "with recall"])
def test_the_twin_has_the_same_loss_gradient_steps_and_memory(changes, monkeypatch):
    from experiments.speed.pytorch import parity

    monkeypatch.setattr(parity, "compiled", quick_jit)
    _, values = tiny()
    state, _ = tiny_state(CONFIG, values)
    draw, batch = np.random.default_rng(0), tiny_batch(24)
    there = {m: np.ones(24, bool) for m in SPEC.shapes}
    there["face"][:4] = there["eda"][8:12] = there["bvp"][8:14] = False  # whole groups and single modalities
    signals = {m: np.array(x) for m, x in batch.signals.items()}
    signals["bvp"][3, 0, 1] = np.nan
    statistics = [
        {m: draw.random(x.shape[1:], np.float32) + 0.5 for m, x in signals.items()} for _ in range(3)
    ]
    none = np.zeros(0, np.int32)
    fold = FoldArrays(np.arange(24), 24, none, 0, *statistics, mean_reports=NO_MEANS)
    rows = jax.tree.map(jax.numpy.asarray, Rows(signals, there, batch.labels, np.zeros(24, np.int32)))
    batches = draw.permuted(np.tile(np.arange(24), (5, 1)), axis=1)[:, :16]
    config = changed(CONFIG, **changes)
    found = parity.compare(config, SPEC, state, rows, fold, batches, "cpu")._asdict()
    assert {name: x for name, x in found.items() if not x <= against_pytorch.MOST[name]} == {}


@needs_torch
def test_a_model_that_the_twin_does_not_have_is_refused():
    from experiments.speed.pytorch.parity import require_same_form

    require_same_form(CONFIG, SPEC)
    with pytest.raises(ConfigError, match="two groups"):
        require_same_form(CONFIG, ONE_SIDED)
    with pytest.raises(ConfigError, match="model.head.hierarchy: the PyTorch model has 'valence' alone"):
        require_same_form(changed(CONFIG, model={"head": {"hierarchy": "flat"}}), SPEC)


@pytest.mark.skipif(INSTALLED, reason="PyTorch is installed")
def test_without_pytorch_the_command_names_the_extra(capsys):
    with pytest.raises(SystemExit) as ended:
        against_pytorch.main(["--config", "smoke"])
    assert ended.value.code == 2 and "pip install 'mpcl-jax[peers]'" in capsys.readouterr().err


def test_times_are_those_of_the_same_turn(monkeypatch):
    clock = iter(np.cumsum([0.0, 9, 0, 8, 0, 1, 0, 3, 0, 2, 0, 4]))
    monkeypatch.setattr(against_pytorch.time, "perf_counter", lambda: next(clock))
    epochs = {against_pytorch.OURS: lambda: None, against_pytorch.EAGER: lambda: None}
    measured = against_pytorch.measure_speed(epochs, batch=10, steps=5, turns=2)
    found = {(row.part, row.what): row.value for row in measured}
    assert found["mpcl_jax", "first epoch"] == 9 and found["pytorch eager", "first epoch"] == 8
    assert found["mpcl_jax", "step"] == 300 and found["pytorch eager", "times mpcl_jax"] == 2.5
