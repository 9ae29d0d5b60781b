"""`mpcl inspect` of a memory with known prototypes, and of a checkpoint on disk, without JAX."""

import json
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest
from memory_fixture import EMOTIONS, known_memory
from python_process import python

from mpcl_jax.cli import inspect
from mpcl_jax.cli.command import to_json
from mpcl_jax.cli.inspect import to_document, to_text
from mpcl_jax.report.slots import bank_agreement, describe_slots
from mpcl_jax.runs.memory import find_checkpoint, names_of, open_memory
from mpcl_jax.types import DataError


def rotation(seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))[0]


def random_memory(seed=0, **changes):
    bank = np.random.default_rng(seed).normal(size=(2, 3, 2, 8))
    bank /= np.linalg.norm(bank, axis=-1, keepdims=True)
    return known_memory(f"run{seed}/checkpoints/1")._replace(bank=bank, **changes)


def test_slots_are_flagged_as_dead_collapsed_or_never_reported():
    slots = describe_slots(known_memory())
    assert [(s.emotion, s.slot) for s in slots] == [(e, k) for e in EMOTIONS for k in (0, 1)]
    assert {(s.flag, s.usage, s.twin) for s in slots} == {("", 0.5, 0.0)}
    planted = known_memory()
    planted.usage[0] = (0.2, 0.001)  # share .005, below .02 of the average .5
    planted.bank[:, 2, 1] = planted.bank[:, 2, 0]
    planted.mass[:, 1, 0] = 0  # never got evidence
    slots = describe_slots(planted)
    assert [s.flag for s in slots] == ["", "dead", "dead", "", "collapsed", "collapsed"]
    assert "2 dead, 2 collapsed" in to_text(planted, slots)


def test_an_emotion_without_evidence_was_never_reported():
    planted = known_memory(near=2)
    planted.mass[:, 1] = 0
    planted.usage[1] = 0
    planted.bank[:, 1, 1] = planted.bank[:, 1, 0]
    slots = describe_slots(planted)
    assert [s.flag for s in slots] == ["", "", "never reported", "never reported", "", ""]
    assert "0 dead, 0 collapsed; never reported in training: calm\n" in to_text(planted, slots)
    planted.mass[0, 1, 0] = 1.0  # evidence in one bank is enough, so it is about slots again
    assert [s.flag for s in describe_slots(planted)][2:4] == ["dead", "dead"]


def test_neighbours_in_the_own_and_in_the_other_bank():
    planted = known_memory()
    # joy 0 leans to fear 1 in the physiological bank (cosine .6) and to calm 0 in the behavioural one (.8).
    planted.bank[0, 0, 0] = 0.8 * np.eye(8)[0] + 0.6 * np.eye(8)[5]
    planted.bank[1, 0, 0] = 0.6 * np.eye(8)[0] + 0.8 * np.eye(8)[2]
    slot = describe_slots(planted)[0]
    assert slot.own_bank["physiological"] == ("physiological", "fear", 1, pytest.approx(0.6))
    assert slot.own_bank["behavioural"] == ("behavioural", "calm", 0, pytest.approx(0.8))
    # Across: fear 1 of the behavioural bank (.6) beats the own pair (.8 · .6 = .48); and calm 0 (.8).
    assert slot.other_bank["physiological"] == ("behavioural", "fear", 1, pytest.approx(0.6))
    assert slot.other_bank["behavioural"] == ("physiological", "calm", 0, pytest.approx(0.8))


def test_agreement_of_banks_is_invariant_to_rotation():
    memory = random_memory()
    twin = memory._replace(bank=np.stack([memory.bank[0], memory.bank[0] @ rotation()]))
    assert bank_agreement(twin.bank) == pytest.approx(1)
    assert bank_agreement(memory.bank) < 0.9
    assert [s.agreement for s in describe_slots(twin)] == pytest.approx([1.0] * 6)
    # Slots 0, 1, 2 with cosines (1, 0, 0) in one bank and (0, 0, 1) in the other: correlation -½.
    one, two = [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0)], [(1.0, 0.0), (0.0, 1.0), (0.0, 1.0)]
    assert bank_agreement(np.array([one, two])[:, :, None]) == pytest.approx(-0.5)


def test_a_data_set_with_one_group_has_one_bank():
    memory = random_memory()
    memory = memory._replace(bank=memory.bank[:1], mass=memory.mass[:1], modality_groups=("physiological",))
    slots = describe_slots(memory)
    assert {s.evidence for s in slots} == {10.0}  # not halved by a bank that does not exist
    assert all(set(s.own_bank) == {"physiological"} and s.other_bank == {} for s in slots)
    assert all(s.flag == "" and np.isnan(s.agreement) for s in slots)
    text, document = to_text(memory, slots), json.loads(to_json(to_document(memory, slots)))
    assert "behavioural" not in text and "no other modality group" in text
    assert "other bank" not in text
    assert document["bank_agreement"] is None and document["slots"][0]["agreement"] is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with checkpoints of epochs 3 and 12, written as `train/checkpoint.py` does it."""
    folder = tmp_path_factory.mktemp("inspected") / "run"
    for step in (3, 12):
        checkpoint, held = folder / "folds" / "00" / "checkpoints" / str(step), random_memory(step)._asdict()
        checkpoint.mkdir(parents=True)
        arrays = {name: np.float32(held[name]) for name in ("bank", "mass", "usage", "cooccurrence")}
        with ocp.StandardCheckpointer() as writer:
            writer.save(checkpoint / "prototypes", arrays)
    (folder / "data.json").write_text(json.dumps({"emotions": EMOTIONS, "valence": ["p", "p", "n"]}))
    return folder


def test_a_checkpoint_is_read_bit_by_bit(run):
    memory = open_memory(run)
    assert memory.checkpoint.name == "12" and memory.emotions == EMOTIONS
    assert memory.bank.tobytes() == np.float32(random_memory(12).bank).tobytes()
    assert open_memory(run, fold=0, step=3).bank.tobytes() == np.float32(random_memory(3).bank).tobytes()
    assert find_checkpoint(memory.checkpoint) == memory.checkpoint
    with pytest.raises(FileNotFoundError, match="no checkpoint of epoch 4; there are 3, 12"):
        open_memory(run, step=4)
    with pytest.raises(FileNotFoundError, match="no checkpoint with prototypes of fold 7"):
        open_memory(run, fold=7)


def test_names_come_from_the_run_if_they_fit_and_a_damaged_checkpoint_is_named(run, tmp_path):
    checkpoint = run / "folds" / "00" / "checkpoints" / "3"
    assert names_of(checkpoint, np.zeros((2, 3, 2, 8)))[:2] == (EMOTIONS, ("p", "p", "n"))
    assert names_of(checkpoint, np.zeros((2, 2, 2, 8)))[:2] == (("emotion 0", "emotion 1"), ("", ""))
    broken = shutil.copytree(checkpoint, tmp_path / "3")
    for file in (broken / "prototypes").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(DataError, match="prototypes: array 'bank' cannot be read"):
        open_memory(broken)


WITHOUT_JAX = """
import sys
sys.modules["jax"] = None  # importing it is an error from here on
from mpcl_jax.cli.__main__ import run
sys.exit(run(["inspect", *sys.argv[1:]]))
"""


def test_the_command_prints_json_without_jax_and_refuses_a_run_without_memory(run, tmp_path, capsys):
    found = json.loads(python("-c", WITHOUT_JAX, run, "--json").stdout)
    assert len(found["slots"]) == 6 and found["slots"][0]["windows"] == []
    assert inspect.run([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
