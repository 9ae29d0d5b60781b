"""The scripts that write the public data sets as folders: trials, modalities, copies, and mistakes in one line."""

import importlib

import numpy as np
import pytest
from python_process import ROOT

import mpcl_jax as mpcl
from experiments.datasets import emopaircompete
from mpcl_jax.data.validate import folder as validator

SHARED = ROOT.parent / "shared" / "data"
EMOTIONS = {"emotions": np.array(["happy", "sad"]), "valence": np.array(["pos", "neg"])}


def few(name, tmp_path, subjects):
    """A file with some `subjects` of a shared one; the test is skipped where that is absent."""
    if not (SHARED / f"{name}.npz").is_file():
        pytest.skip(f"real recordings are not at hand (../shared/data/{name}.npz)")
    held = dict(np.load(SHARED / f"{name}.npz"))
    rows = np.isin(held["subject"], list(dict.fromkeys(held["subject"].tolist()))[:subjects])
    held = {key: x[rows] if len(x) == len(rows) else x for key, x in held.items()}
    np.savez(tmp_path / "few.npz", **held)
    return tmp_path / "few.npz", int(rows.sum())


def written(name, source, tmp_path, *options):
    module = importlib.import_module(f"experiments.datasets.{name}")
    module.main([str(source), str(tmp_path / "new"), *options])
    assert not validator.examine(str(tmp_path / "new")).issues
    return mpcl.load_dataset("folder", tmp_path / "new")


@pytest.mark.parametrize("options", [(), ("--without-audio",)])
def test_music(tmp_path, options):
    source, trials = few("music", tmp_path, 3)
    recordings = written("music", source, tmp_path, *options)
    assert len(recordings.labels) == trials == len(set(recordings.trial)) and len(recordings.emotions) == 12
    assert recordings.of_stimulus == (() if options else ("audio",))
    assert set(recordings.signals) == {"skin", "zygomaticus", "corrugator"} | set(recordings.of_stimulus)
    first = recordings.subject == recordings.subject[0]
    assert len(set(recordings.stimulus[first])) == 16 and first.sum() == 32  # each clip twice
    assert list(recordings.trial[first]) == sorted(recordings.trial[first])


def test_walking(tmp_path):
    source, windows = few("walking", tmp_path, 29)
    recordings = written("walking", source, tmp_path)
    assert len(recordings.labels) == windows and len(set(recordings.trial)) == 87
    without_heart = set(recordings.subject[~recordings.present["heart"]])
    assert without_heart == {"ew3", "ew6", "ew7"}  # whose sensor repeated one value
    assert all(len(set(recordings.trial[recordings.subject == s])) == 3 for s in set(recordings.subject))


def raw(subjects, trials=2, seconds=150):
    """Signals of an E4 and reports, in the form of the shared file."""
    rng = np.random.default_rng(0)
    n = len(subjects) * trials
    held = {"subject": np.repeat(subjects, trials), "labels": rng.integers(1, 6, (n, 2)).astype("f4")}
    held |= dict.fromkeys(("round", "phase"), np.tile(np.arange(trials) + 1, len(subjects))) | EMOTIONS
    t = np.arange(seconds * 64) / 64
    beats = [np.sin(2 * np.pi * rng.uniform(1, 1.5) * t) + 0.1 * rng.normal(size=t.size) for _ in range(n)]
    held["BVP"] = np.concatenate([100 * x for x in beats]).astype(int)
    held["EDA"], held["TEMP"] = 1 + rng.random(4 * seconds * n), 33 + 0.1 * rng.random(4 * seconds * n)
    return held | {f"{m}_length": np.full(n, int(seconds * rate)) for m, rate in emopaircompete.RATES.items()}


@pytest.mark.parametrize("options", [(), ("--with-task",)])
def test_emopaircompete_has_features_with_quality_and_no_copied_subject(tmp_path, capsys, options):
    held = raw(["A", "B", "C"])
    for m, rate in emopaircompete.RATES.items():  # the first trial of C is the one of A
        size = int(150 * rate)
        held[m][4 * size : 5 * size] = held[m][:size]
    np.savez(tmp_path / "raw.npz", **held)
    recordings = written("emopaircompete", tmp_path / "raw.npz", tmp_path, *options)
    assert recordings.of_stimulus == (("task",) if options else ())
    if options:
        task = recordings.signals.pop("task")[:, 0]
        assert {name: x.tolist() for name, x in zip(recordings.stimulus, task, strict=True)} == {
            "phase1": [1, 0],
            "phase2": [0, 1],
        }
    assert sorted(set(recordings.subject)) == ["A", "B"]
    note = "subjects A and C have 4 windows with the same values of bvp, eda, temp; C is left out"
    assert note in capsys.readouterr().out and note in (tmp_path / "new" / "import.txt").read_text()
    assert {m: x.shape[2] for m, x in recordings.signals.items()} == {
        m: len(mpcl.features.names(m)) + 1 for m in ("bvp", "eda", "temp")
    }
    assert all(((x[..., -1] >= 0) & (x[..., -1] <= 1)).all() for x in recordings.signals.values())
    assert list(recordings.start[:4]) == [0, 30, 60, 90] and len(recordings.labels) == 16


def test_the_real_copies_of_emopaircompete(tmp_path):
    source, _ = few("emopaircompete", tmp_path, 14)
    held = dict(np.load(source))
    ends = {m: np.cumsum(held[f"{m}_length"]) for m in emopaircompete.RATES}
    rows = np.isin(held["subject"], ("D1_2_ID_3", "D1_2_ID_6")) & (held["round"] >= 3)
    for m, end in ends.items():
        ends_and_lengths = zip(end[rows], held[f"{m}_length"][rows], strict=True)
        held[m] = np.concatenate([held[m][b - n : b] for b, n in ends_and_lengths])
    held |= {key: x[rows] for key, x in held.items() if len(x) == len(rows)}
    recordings = emopaircompete.recordings_of(held)
    assert set(recordings.subject) == {"D1_2_ID_3"} and "have 27 windows" in recordings.notes[0]


def test_a_file_without_the_arrays_and_a_folder_in_use_are_one_line(tmp_path, capsys):
    np.savez(tmp_path / "odd.npz", labels=np.ones((2, 2)))
    for name in ("music", "walking", "emopaircompete"):
        with pytest.raises(SystemExit):
            module = importlib.import_module(f"experiments.datasets.{name}")
            module.main([str(tmp_path / "odd.npz"), str(tmp_path / "a")])
        error = capsys.readouterr().err
        assert "odd.npz: lacks '" in error and error.count("\n") == 1
    with pytest.raises(SystemExit):
        emopaircompete.main([str(tmp_path / "odd.npz"), str(tmp_path)])
    assert "exists and is not empty" in capsys.readouterr().err
