"""`mpcl adapt`: trials of a subject are predicted with a memory of reported trials, as `MPCLRegressor.adapt` does."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from adaptation_fixture import KERNEL, with_memory
from run_fixture import SMALL_MODEL

import mpcl_jax as mpcl
from mpcl_jax.cli import adapt as command
from mpcl_jax.cli import predict as predict_command
from mpcl_jax.data.normalise import standardise_per_subject
from mpcl_jax.data.tables.write_folder import write_folder
from mpcl_jax.train.fit import Learned
from mpcl_jax.train.fold_memory import FoldMemory, memory_file, save_memory
from mpcl_jax.train.sequences import HeldOut
from mpcl_jax.types import take

SMALL = {"epochs": 1, "width": 8, "n_prototypes": 2, "batch_size": 32, "early_stopping": False, "n_seeds": 2}
SETTINGS = {"model.tokens": 1, **SMALL_MODEL}
pytestmark = pytest.mark.usefixtures("quick_programs")
TRIALS, WINDOWS, REPORTED = 6, 2, 4
NAMES = ["joy", "calm", "fear"]


def study(seed, subjects):
    rng = np.random.default_rng(seed)
    subject, trial, _ = (x.ravel() for x in np.indices((len(subjects), TRIALS, WINDOWS)))
    signals = {"eda": rng.normal(size=(len(trial), 2)), "face": rng.normal(size=(len(trial), 3))}
    labels = np.repeat(rng.dirichlet(np.ones(3), len(subjects) * TRIALS), WINDOWS, axis=0)
    ids = {"subject": np.array(subjects)[subject], "trial": [f"t{n}" for n in trial]}
    return mpcl.from_arrays(signals, labels, emotions=NAMES, **ids)


@pytest.fixture(scope="module")
def fitted():
    model = mpcl.MPCLRegressor(**SMALL, settings=SETTINGS, personal_memory=False)
    return with_memory(model.fit(study(0, ["S0", "S1", "S2", "S3"])))


@pytest.fixture(scope="module")
def model(fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    fitted.save(folder)
    return folder


@pytest.fixture
def data(tmp_path):
    """Six trials of a new subject, of which the first four have reports."""
    write_folder(study(1, ["anna"]), tmp_path / "data")
    without_reports(tmp_path / "data" / "anna.npz", 2 * REPORTED)
    return tmp_path / "data"


def without_reports(file, first):
    held = dict(np.load(file))
    held["labels"] = held["labels"].astype(np.float64)
    held["labels"][first:] = np.nan
    np.savez(file, **held)


def predicted(model, data, tmp_path, *options):
    assert command.run([str(model), str(data), "-o", str(tmp_path / "out.csv"), *map(str, options)]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    return table, table[[f"predicted_{name}" for name in NAMES]].to_numpy()


def test_the_numbers_are_those_of_adapt_and_the_weights_those_of_explain(model, fitted, data, tmp_path):
    table, shares = predicted(model, data, tmp_path, "--recalled", tmp_path / "recalled.csv")
    whole = study(1, ["anna"])
    first, later = take(whole, np.arange(8)), take(whole, np.arange(8, 12))
    adapted = fitted.adapt(first, first.labels, trial=first.trial)
    np.testing.assert_allclose(shares, adapted.predict(later, trial=later.trial), atol=1e-6)
    assert list(table["trial"]) == ["anna/t4"] * 2 + ["anna/t5"] * 2
    assert set(table["written_trials"]) == {REPORTED} and set(table["reported"]) == {0}
    recalled = pd.read_csv(tmp_path / "recalled.csv")
    assert list(recalled) == ["id", "written_trial", "weight"] and len(recalled) == 4 * REPORTED
    weights = adapted.explain(later, trial=later.trial).written_weight
    np.testing.assert_allclose(recalled["weight"].to_numpy().reshape(4, REPORTED), weights, atol=1e-6)


def test_sequential_uses_earlier_reports_alone(model, fitted, data, tmp_path):
    table, shares = predicted(model, data, tmp_path, "--sequential")
    whole, growing = study(1, ["anna"]), fitted
    for n in range(TRIALS):
        trial = take(whole, np.arange(2 * n, 2 * n + 2))
        wanted = growing.predict(trial, trial=trial.trial)
        np.testing.assert_allclose(shares[2 * n : 2 * n + 2], wanted, atol=1e-6)
        growing = growing.update(trial, trial.labels, trial=trial.trial) if n < REPORTED else growing
    assert list(table["written_trials"]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    assert list(table["reported"]) == [1] * 8 + [0] * 4


def test_a_memory_is_continued_and_writes_no_trial_twice(model, data, tmp_path, capsys):
    whole = predicted(model, data, tmp_path)[1]
    memory, file = tmp_path / "anna_memory.npz", data / "anna.npz"
    held = dict(np.load(file))
    without_reports(file, 4)
    table, _ = predicted(model, data, tmp_path, "--memory", memory)
    assert set(table["written_trials"]) == {2}
    np.savez(file, **held)  # two more reports, below those that are written
    table, shares = predicted(model, data, tmp_path, "--memory", memory)
    assert set(table["written_trials"]) == {REPORTED}
    np.testing.assert_allclose(shares, whole, atol=1e-6)
    assert "no new trial" not in capsys.readouterr().err
    np.savez(file, **{key: x[:8] if x.ndim else x for key, x in held.items()})  # the written trials alone
    table, _ = predicted(model, data, tmp_path, "--memory", memory)
    expected = f"warning: no new trial was written to {memory}: it holds all reported trials of the data\n"
    assert table.empty and capsys.readouterr().err == expected
    np.savez(file, **{key: x for key, x in held.items() if key != "labels"})  # the memory alone
    table, shares = predicted(model, data, tmp_path, "--memory", memory)
    assert list(table["trial"]) == ["anna/t4"] * 2 + ["anna/t5"] * 2  # no trial after its own report
    np.testing.assert_allclose(shares, whole, atol=1e-6)


def test_no_trial_is_in_the_memory_before_its_prediction_is_saved(model, data, tmp_path, monkeypatch, capsys):
    memory = tmp_path / "anna_memory.npz"
    words = [str(model), str(data), "--sequential", "--memory", str(memory)]
    assert command.run([*words, "-o", str(tmp_path / "nowhere" / "out.csv")]) == 2
    assert "nowhere/out.csv: its folder does not exist" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(command, "csv_text", lambda frame: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command.run(words)
    assert not memory.exists()
    assert command.run(words) == 0 and memory.exists()


def test_a_mistake_is_one_line(model, fitted, data, tmp_path, capsys):
    def refused(*words):
        assert command.run([*map(str, words)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        return error

    assert "manifest.json" in refused(tmp_path, data)
    memory = tmp_path / "m.npz"
    predicted(model, data, tmp_path, "--memory", memory)
    other = dict(np.load(memory))
    np.savez(memory, **other | {"model": np.array("another")})
    assert "was written by another model" in refused(model, data, "--memory", memory)
    np.savez(memory, **other | {"subject": np.array("ben")})
    assert "is of subject 'ben', the data are of 'anna'" in refused(model, data, "--memory", memory)
    np.savez(memory, a=np.ones(2))
    assert "is no personal memory" in refused(model, data, "--memory", memory)
    memory.write_bytes(b"damaged")
    assert "delete it and write the reports again" in refused(model, data, "--memory", memory)
    write_folder(study(2, ["ben"]), tmp_path / "two")
    held = dict(np.load(data / "anna.npz"))
    np.savez(tmp_path / "two" / "anna.npz", **held)
    assert "the data are of 2" in refused(model, tmp_path / "two", "--memory", tmp_path / "new.npz")
    held["labels"][8:] = 1.0
    np.savez(data / "anna.npz", **held)
    assert "every trial has a report, so none is left to predict; give --sequential" in refused(model, data)
    held["labels"][1] = np.nan
    np.savez(data / "anna.npz", **held)
    assert "trial 'anna/t0' has a report for 1 of 2 windows" in refused(model, data)
    np.savez(data / "anna.npz", **{key: x for key, x in held.items() if key != "trial"})
    assert "not every file names its trials" in refused(model, data)


def test_a_model_that_standardises_each_subject_uses_the_whole_recording(fitted, data, tmp_path):
    model, config = with_memory(fitted), fitted.config_
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, per_subject_standardise=True))
    model._fits, model._models = [fit._replace(config=config) for fit in fitted._fits], []
    model.save(tmp_path / "standardised")
    whole = standardise_per_subject(study(1, ["anna"]))
    first, later = take(whole, np.arange(8)), take(whole, np.arange(8, 12))
    adapted = fitted.adapt(first, first.labels, trial=first.trial)
    _, shares = predicted(tmp_path / "standardised", data, tmp_path)
    np.testing.assert_allclose(shares, adapted.predict(later, trial=later.trial), atol=1e-6)


@pytest.fixture
def run(trained, tmp_path):
    """A run of one fold, and one of its subjects as a folder."""
    folder = shutil.copytree(trained[0].workdir, tmp_path / "run")
    recordings = trained[0].recordings
    write_folder(take(recordings, recordings.subject == recordings.subject[0]), tmp_path / "one")
    return folder, tmp_path / "one"


def test_a_run_with_a_learned_memory_is_adapted_and_one_without_is_one_line(run, tmp_path, capsys):
    folder, data = run
    assert command.run([str(folder), str(data), "--sequential"]) == 2
    error = capsys.readouterr().err
    assert "this run has learned no personal memory; train with --config.protocol.kind=sequential" in error
    none = np.zeros((0, 3))
    learned = {"all views": Learned(KERNEL, "on")}
    ids = np.zeros(0, str)
    tested = HeldOut({}, none, none, ids, ids)
    memory = FoldMemory(np.zeros(0, int), none, tested, learned, "all views", ())
    save_memory(memory_file(folder / "folds" / "00", "MPCL"), memory)
    assert command.run([str(folder), str(data), "--sequential", "-o", str(tmp_path / "out.csv")]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(dict.fromkeys(table["written_trials"])) == list(range(table["trial"].nunique()))
    assert predict_command.run([str(folder), str(data), "-o", str(tmp_path / "zero.csv")]) == 0
    names = [name for name in table if name.startswith("predicted_")]
    difference = (table[names] - pd.read_csv(tmp_path / "zero.csv")[names]).abs().max(axis=1)
    assert difference[table["written_trials"] == 0].max() < 1e-6 < 1e-3 < difference.max()


def test_a_memory_that_is_off_is_a_warning_and_the_predictions_of_the_model(fitted, data, tmp_path, capsys):
    without_kernel = with_memory(fitted, None)
    without_kernel.save(tmp_path / "off")
    table, shares = predicted(tmp_path / "off", data, tmp_path)
    assert "warning: the personal memory is on: for a test" in capsys.readouterr().err
    later = take(study(1, ["anna"]), np.arange(8, 12))
    np.testing.assert_allclose(shares, fitted.predict(later), atol=1e-6)
    assert set(table["written_trials"]) == {0}
