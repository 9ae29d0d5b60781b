"""What the inspector says of a memory whose slots are known, and of a checkpoint on disk."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mpcl_jax.inspect_prototypes import describe_slots, emotion_names, lift, to_json, to_text
from mpcl_jax.model.prototypes import Prototypes

ROOT = pathlib.Path(__file__).resolve().parents[1]
EMOTIONS = ["joy", "calm", "fear"]


def memory() -> Prototypes:
    """3 emotions × 2 slots in 8 dimensions: every row a unit vector of its own, all slots used alike."""
    bank = np.broadcast_to(np.eye(8)[:6].reshape(3, 2, 8), (2, 3, 2, 8)).copy()
    return Prototypes(bank, np.full((2, 3, 2), 10.0), np.full((3, 2), 0.1), np.full((3, 3), 1 / 9))


def test_a_healthy_memory_is_not_flagged():
    slots = describe_slots(memory(), EMOTIONS)
    assert [(s.emotion, s.slot) for s in slots] == [(e, k) for e in EMOTIONS for k in (0, 1)]
    assert {s.flag for s in slots} == {""}
    assert {s.usage for s in slots} == {0.5} and {s.twin for s in slots} == {0.0}


def test_a_dead_slot_and_a_collapsed_pair_are_flagged():
    planted = memory()
    planted.usage[0] = (0.2, 0.001)  # share .005, below .02 of the average .5
    planted.bank[:, 2, 1] = planted.bank[:, 2, 0]
    flags = {(s.emotion, s.slot): s.flag for s in describe_slots(planted, EMOTIONS)}
    assert {key for key, flag in flags.items() if flag == "dead"} == {("joy", 1)}
    assert {key for key, flag in flags.items() if flag == "collapsed"} == {("fear", 0), ("fear", 1)}


def test_slots_alike_on_one_side_only_are_no_collapse():
    planted = memory()
    planted.bank[0, 2, 1] = planted.bank[0, 2, 0]
    assert all(s.flag == "" for s in describe_slots(planted, EMOTIONS))


def test_a_slot_that_never_got_evidence_is_dead():
    planted = memory()
    planted.mass[:, 1, 0] = 0
    assert [s.flag for s in describe_slots(planted, EMOTIONS)] == ["", "", "dead", "", "", ""]


def test_the_nearest_slot_is_of_another_emotion_and_of_its_own_bank():
    planted = memory()
    # joy 0 leans to fear 1 on the physiological side (cosine .6) and to calm 0 on the behavioural one (.8).
    planted.bank[0, 0, 0] = 0.8 * np.eye(8)[0] + 0.6 * np.eye(8)[5]
    planted.bank[1, 0, 0] = 0.6 * np.eye(8)[0] + 0.8 * np.eye(8)[2]
    nearest = describe_slots(planted, EMOTIONS)[0].nearest
    assert nearest["physiological"] == ("fear", 1, pytest.approx(0.6))
    assert nearest["behavioural"] == ("calm", 0, pytest.approx(0.8))


def test_lift_compares_with_independence():
    # Shares .5 and .5; together .4 on the diagonal, .1 off it: .4 / .25 = 1.6 and .1 / .25 = .4.
    assert lift(np.array([[0.4, 0.1], [0.1, 0.4]])) == pytest.approx(np.array([[1.6, 0.4], [0.4, 1.6]]))


def test_one_slot_has_no_twin():
    one = memory()
    one = Prototypes(one.bank[:, :, :1], one.mass[:, :, :1], one.usage[:, :1], one.cooccurrence)
    slots = describe_slots(one, EMOTIONS)
    assert all(np.isnan(s.twin) and s.flag == "" for s in slots)
    assert json.loads(to_json(pathlib.Path("x"), one, slots, EMOTIONS))["slots"][0]["twin"] is None
    assert "joy" in to_text(pathlib.Path("x"), one, slots, EMOTIONS)


def test_names_come_from_the_run_if_they_fit(tmp_path):
    checkpoint = tmp_path / "folds" / "00" / "checkpoints" / "3"
    checkpoint.mkdir(parents=True)
    assert emotion_names(checkpoint, 2) == ["emotion 0", "emotion 1"]
    (tmp_path / "data.json").write_text(json.dumps({"emotions": ["joy", "fear"]}))
    assert emotion_names(checkpoint, 2) == ["joy", "fear"]
    assert emotion_names(checkpoint, 3)[0] == "emotion 0"


def test_a_folder_without_a_memory_is_one_line_and_exit_code_2(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "mpcl_jax.inspect_prototypes", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
