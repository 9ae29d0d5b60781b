"""Fresh processes and other numbers of devices: the whole state afterwards has the same bits, or nearly."""

import json
import pathlib

import pytest
from python_process import python


def child(folder: pathlib.Path, *words: str, seed: str = "0") -> dict:
    """What `resume_child.py` answers."""
    ended = python("tests/resume_child.py", folder, *words, PYTHONHASHSEED=seed)
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.long
def test_two_fresh_processes_end_in_the_same_bits(tmp_path):
    one, two = child(tmp_path / "a", "train", "1"), child(tmp_path / "b", "train", "1", seed="77")
    print(one["steps"], one["digest"])
    assert one["steps"] >= 200 and one["digest"] == two["digest"]


@pytest.mark.long
@pytest.mark.parametrize("slots", ["assigned_sharply", "shared"])
def test_200_steps_on_one_device_and_on_eight(tmp_path, slots):
    """Relative to the largest entry of each array; parameters with a gradient of 0 in theory are left out."""
    answer = child(tmp_path, "compare", "0.1" if slots == "shared" else "0.02")
    print(json.dumps(answer, indent=1))
    differences = answer["on eight devices"]
    assert answer["steps"] == 200 and differences.pop("parameters without gradient") < 150
    assert max(differences[name] for name in ("parameters", "cooccurrence")) < 1e-5
    # The sharp assignment to slots, whose temperature is the default, makes 1e-5 of one rounding as well.
    assert max(differences.values()) < (1e-5 if slots == "shared" else 5e-4)


@pytest.mark.long
def test_saved_on_eight_devices_restored_on_fewer_and_back(tmp_path):
    answer = child(tmp_path, "move")
    print(answer)
    assert len(answer) == 6 and all(answer.values())
