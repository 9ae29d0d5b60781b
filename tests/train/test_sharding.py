"""One device or eight: the same training, and a checkpoint of the one goes on with the other."""

import json
import shutil

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from python_process import python
from run_fixture import SMALL, last_training, quickly_prepared, sharding_config

from mpcl_jax.runs.memory import open_memory
from mpcl_jax.train import loop
from mpcl_jax.train.evaluate import load_predictions


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """The folder that eight virtual devices left, and their answers."""
    folder = tmp_path_factory.mktemp("eight")
    python("tests/sharding_child.py", folder, TEST_COMPILED=jax.config.jax_compilation_cache_dir or "")
    return folder, json.loads((folder / "answers.json").read_text())


@pytest.fixture(scope="module")
def resumed(eight, tmp_path_factory):
    """The run that eight devices began, finished on this process's single device."""
    assert jax.device_count() == 1
    folder = tmp_path_factory.mktemp("one") / "run"
    shutil.copytree(eight[0] / "eight", folder)
    run = quickly_prepared(sharding_config(**SMALL), folder)
    return run, loop.train_folds(run)[0]


def test_a_bad_sample_on_one_device_skips_the_step_on_all_and_no_bit_changes(eight):
    bad = eight[1]["bad samples"]
    assert bad["skipped"] == 5 and bad["in a row"] == [[1, 2, 3, 4, 5]] * 8
    assert bad["copies"] == [8] and bad["changed"] == []


def test_a_batch_that_cannot_be_divided_is_refused(eight):
    expected = "config.train.batch_size = 12: must be a multiple of the number of devices, 8"
    assert eight[1]["refused"] == expected


def test_a_memory_written_on_eight_devices_is_read_on_one(eight):
    memory = open_memory(eight[0] / "eight")
    with np.load(eight[0] / "memory.npz") as written:
        for name in ("bank", "mass", "usage", "cooccurrence"):
            values = memory._asdict()[name]
            assert type(values) is np.ndarray
            assert values.tobytes() == written[name].tobytes(), name


def test_five_steps_on_one_device_and_on_eight_agree(eight, resumed):
    run, predictions = resumed
    assert (eight[1]["devices"], eight[1]["compiled"]) == (8, 1)  # the first epoch, and one from a checkpoint
    epochs, one = last_training(run)
    assert epochs == 2
    other = last_training(run._replace(workdir=eight[0] / "whole"))[1]
    states = one.state, other.state
    assert int(states[0].step) == int(states[1].step) == 10
    assert int(states[0].opt_state[0][1].count) == int(states[1].opt_state[0][1].count) == 10
    apart = np.abs(np.subtract(*(ravel_pytree(state.params)[0] for state in states)))
    assert apart.max() < 1e-6
    for field in states[0].prototypes._fields:
        memories = [getattr(state.prototypes, field) for state in states]
        np.testing.assert_allclose(*memories, rtol=1e-5, atol=1e-6, err_msg=field)
    of_eight = load_predictions(eight[0] / "whole" / "folds" / "00" / "predictions.npz")
    np.testing.assert_allclose(predictions.predicted, of_eight.predicted, atol=1e-6)
    logs = [(x / "metrics.jsonl").read_text().splitlines() for x in (run.workdir, eight[0] / "whole")]
    for line, of_eight in zip(*logs, strict=True):
        assert json.loads(line) == pytest.approx(json.loads(of_eight), rel=1e-5)
