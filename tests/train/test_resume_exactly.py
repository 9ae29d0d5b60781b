"""Any epoch is a good place to stop, on any number of devices: the whole state afterwards has the same bits.

A checkpoint holds finished epochs, so "step 1" is the first epoch of a training whose epochs are one step long,
and a training that is stopped in the middle of an epoch repeats that epoch.
"""

import json
import pathlib

import pytest
from python_process import python
from run_fixture import bits, last_training, moved, quickly_prepared, tiny_config

from mpcl_jax.system.errors import Stopped
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.loop import train_folds


@pytest.fixture(scope="module")
def single_steps(tmp_path_factory):
    """A training of eight epochs of one step each, three of them warm-up; dropout of every kind is on."""
    of_train = {"train__epochs": 8, "train__warmup": 0.4, "train__checkpoint_every": 8}
    config = tiny_config(protocol__only=(0,), train__batch_size=48, **of_train)
    run = quickly_prepared(config, tmp_path_factory.mktemp("whole"))
    assert run.program.steps_per_epoch == 1 and config.model.dropout > 0 and config.train.group_dropout > 0
    return run, train_folds(run)[0]


@pytest.mark.parametrize("stopped", [1, 3, 8], ids=["first step", "end of warm-up", "last"])
def test_stopped_and_resumed_at_any_step_the_whole_state_is_the_same(single_steps, tmp_path, stopped):
    whole, predictions = single_steps
    run = moved(whole, tmp_path)._replace(stop=StopRequest())
    epoch = run.program.epoch

    def until(training, *rest):
        run.stop.requested = int(training.state.step) == stopped - 1
        return epoch(training, *rest)

    until.lower = epoch.lower  # the start compiles it ahead
    with pytest.raises(Stopped):
        train_folds(run._replace(program=run.program._replace(epoch=until)))
    assert last_training(run)[0] == stopped
    again = train_folds(run._replace(stop=StopRequest()))[0]
    assert bits(last_training(run)) == bits(last_training(whole))
    assert bits(again) == bits(predictions)


# ---- other numbers of devices, other processes ----


def child(folder: pathlib.Path, *words: str, seed: str = "0") -> dict:
    """What `resume_child.py` answers."""
    ended = python("tests/resume_child.py", folder, *words, PYTHONHASHSEED=seed)
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.long
def test_two_fresh_processes_end_in_the_same_bits(tmp_path):
    one, two = child(tmp_path / "a", "train", "1"), child(tmp_path / "b", "train", "1", seed="77")
    print(one["steps"], one["digest"])
    assert one["steps"] >= 200 and one["digest"] == two["digest"]


def after_200_steps(folder: pathlib.Path, assign_temperature: float) -> dict:
    """Relative to the largest entry of each array; parameters with a gradient of 0 in theory are left out."""
    answer = child(folder, "compare", str(assign_temperature))
    print(json.dumps(answer, indent=1))
    assert answer["steps"] == 200
    assert answer["on eight devices"].pop("parameters without gradient") < 150
    return answer["on eight devices"]


@pytest.mark.long
def test_200_steps_on_one_device_and_on_eight(tmp_path):
    differences = after_200_steps(tmp_path, 0.02)
    assert max(differences[name] for name in ("parameters", "cooccurrence")) < 1e-5
    # The sharp assignment to slots, whose temperature is the default, makes 1e-5 of one rounding as well.
    assert max(differences.values()) < 5e-4


@pytest.mark.long
def test_200_steps_on_one_device_and_on_eight_where_slots_are_shared(tmp_path):
    assert max(after_200_steps(tmp_path, 0.1).values()) < 1e-5


@pytest.mark.long
def test_saved_on_eight_devices_restored_on_fewer_and_back(tmp_path):
    answer = child(tmp_path, "move")
    print(answer)
    assert len(answer) == 6 and all(answer.values())
