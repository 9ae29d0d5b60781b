"""Predictions for new arrays are those of the run, for any subset of modalities and any number of windows."""

import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from run_fixture import quick_options

from mpcl_jax.data.normalise import standardise_per_subject
from mpcl_jax.runs import predict as module
from mpcl_jax.runs import programs
from mpcl_jax.runs.predict import bucket, open_model, predict
from mpcl_jax.train import devices
from mpcl_jax.types import DataError, take


@pytest.fixture(scope="module")
def finished(trained):
    """One fold, its best epoch before its last: (run, its predictions, the model read from its folder)."""
    run, predictions = trained
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "compiled", partial(jax.jit, compiler_options=quick_options()))
        yield run, predictions, open_model(run.workdir)


def arrays(run, rows):
    recordings = run.recordings
    return [{m: x[rows] for m, x in tree.items()} for tree in (recordings.signals, recordings.present)]


def test_equal_those_of_the_run(finished):
    run, predictions, model = finished
    shares = predict(model, *arrays(run, predictions.rows))
    np.testing.assert_allclose(shares, predictions.predicted, atol=1e-6)
    assert model.spec.emotions == run.recordings.emotions and model.notes == run.recordings.notes


def test_a_prediction_does_not_depend_on_other_windows(finished, monkeypatch):
    run, predictions, model = finished
    together = predict(model, *arrays(run, predictions.rows[:7]))
    alone = [predict(model, *arrays(run, predictions.rows[i : i + 1]))[0] for i in range(7)]
    monkeypatch.setattr(module, "LARGEST", 4)  # in calls of 4 and 3, which are padded to 64
    in_parts = predict(model, *arrays(run, predictions.rows[:7]))
    np.testing.assert_allclose(alone, together, atol=1e-6)
    np.testing.assert_allclose(in_parts, together, atol=1e-6)


def test_a_modality_that_is_left_out_is_absent(finished):
    run, predictions, model = finished
    signals, present = arrays(run, predictions.rows[:4])
    last = list(signals)[-1]
    without = {m: x for m, x in signals.items() if m != last}
    hidden = present | {last: np.zeros(4, bool)}
    nonsense = signals | {last: np.full_like(signals[last], np.nan)}
    shares = predict(model, without)
    np.testing.assert_array_equal(shares, predict(model, nonsense, hidden))
    assert np.abs(shares - predict(model, signals)).max() > 1e-4
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_few_or_far_windows_and_features_without_tokens_are_predicted(finished):
    run, predictions, model = finished
    signals, _ = arrays(run, predictions.rows[:2])
    far = predict(model, signals | {"gsr": changed(signals["gsr"], 1e14)})  # not refused
    np.testing.assert_allclose(far.sum(axis=1), 1, atol=1e-5)
    flat = predict(model, signals | {"gsr": signals["gsr"][:, 0]})
    np.testing.assert_array_equal(flat, predict(model, signals))
    assert predict(model, {m: x[:0] for m, x in signals.items()}).shape == (0, 10)
    assert len(repr(model)) < 150 and "10 emotions; eeg [18, 5]" in repr(model)


def test_settings_of_the_calling_program_change_nothing(finished):
    run, predictions, model = finished
    signals, present = arrays(run, predictions.rows[:4])
    expected = predict(model, signals, present)
    odd = {"jax_enable_x64": True, "jax_transfer_guard": "disallow"}
    odd |= {"jax_numpy_dtype_promotion": "strict", "jax_numpy_rank_promotion": "raise"}
    before = {name: jax.config.values[name] for name in odd}
    try:
        for name, value in odd.items():
            jax.config.update(name, value)
        np.testing.assert_array_equal(predict(model, signals, present), expected)
        np.testing.assert_allclose(predict(open_model(run.workdir), signals, present), expected, atol=1e-6)
        assert {name: jax.config.values[name] for name in odd} == odd
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_few_sizes_are_compiled(finished):
    run, predictions, _ = finished
    model = open_model(run.workdir)
    for count in (1, 2, 3, 1):
        predict(model, *arrays(run, predictions.rows[:count]))
    assert model.forward._cache_size() == 2
    assert [bucket(n) for n in (1, 2, 64, 65, 1023, 1024, 5000)] == [1, 64, 64, 64, 64, 1024, 1024]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {}, "no modality is given; the run has eeg"),
        (lambda s: s | {"ecg": s["eeg"]}, "unknown modality 'ecg'"),
        (lambda s: s | {"eeg": s["eeg"][:, :, 1:]}, "eeg: shapes"),
        (lambda s: s | {"eeg": np.full_like(s["eeg"], np.inf)}, "eeg: window 0, .*feature 0 is inf; allowed"),
        (lambda s: s | {"gsr": changed(s["gsr"], 1e300)}, "gsr: .*window 1, feature 3 is inf"),
        (
            lambda s: s | {"gsr": changed(s["gsr"], 1e38)},
            r"gsr: window 1, feature 3 is 1e\+38; allowed: up to ±1e\+30",
        ),
        (
            lambda s: s | {"gsr": changed(s["gsr"], -1e25)},
            r"gsr: window 1, feature 3 is -\d.*e2\d standard deviations from the training mean; at most 1e15 are",
        ),
        (lambda s: s | {"gsr": s["gsr"].astype(str)}, "gsr: <U.* of shape .*; wanted numbers"),
        (lambda s: s | {"gsr": [[1.0, 2.0], [3.0]]}, "^gsr: its lists have different lengths; wanted"),
        (lambda s: s["eeg"], "^signals: ndarray; wanted a dict, modality -> array; the run has eeg, gsr"),
    ],
)
def test_wrong_arrays_are_named(finished, change, words):
    run, predictions, model = finished
    signals, _ = arrays(run, predictions.rows[:2])
    with pytest.raises(ValueError, match=words):
        predict(model, change(signals))


@pytest.mark.parametrize(
    ("present", "words"),
    [
        (np.ones(2, bool), "^present: ndarray; wanted a dict"),
        ({"eeg": [[True], [True, False]]}, r"^eeg: its lists have different lengths; wanted \[2\] booleans"),
        (None, "window 1: no modality is present"),
    ],
)
def test_a_wrong_presence_is_named(finished, present, words):
    run, predictions, model = finished
    signals, there = arrays(run, predictions.rows[:2])
    if present is None:  # nothing in the second window
        present = {m: np.array([True, False]) for m in there}
    with pytest.raises(ValueError, match=words):
        predict(model, signals, present)


def changed(x, value):
    """`x` [2, 1, F] in float64 with `value` as feature 3 of window 1."""
    x = x.astype(np.float64)
    x[1, 0, 3] = value
    return x


def test_a_missing_feature_is_the_median_of_the_training_part(finished):
    run, predictions, model = finished
    signals, _ = arrays(run, predictions.rows[:2])
    median = model.normalisation.median["gsr"][0, 3]
    training_part = take(run.recordings, run.split.folds[0].train)
    assert median == np.median(training_part.signals["gsr"][training_part.present["gsr"], 0, 3])
    missing = predict(model, signals | {"gsr": changed(signals["gsr"], np.nan)})
    np.testing.assert_array_equal(missing, predict(model, signals | {"gsr": changed(signals["gsr"], median)}))
    without = {m: x for m, x in signals.items() if m != "gsr"}
    nothing = predict(model, signals | {"gsr": np.full_like(signals["gsr"], np.nan)})
    np.testing.assert_array_equal(nothing, predict(model, without))


def test_a_run_that_standardised_each_subject_is_given_the_subject(finished):
    run, predictions, model = finished
    own = model._replace(per_subject=True)
    signals, present = arrays(run, predictions.rows)  # 24 windows of two subjects
    subject = run.recordings.subject[predictions.rows]
    as_in_the_run = standardise_per_subject(take(run.recordings, predictions.rows)).signals
    shares = predict(own, signals, present, subject)
    np.testing.assert_array_equal(shares, predict(model, as_in_the_run, present))
    signals_of_one = {m: x[:12] for m, x in signals.items()}  # one text is the subject of all windows
    one = [predict(own, signals_of_one, subject=subject) for subject in (["anna"] * 12, "anna")]
    np.testing.assert_array_equal(*one)
    for given, words in (
        ({}, "subject: this run standardised each subject by its own windows"),
        ({"subject": subject[:-1]}, "subject: shape .* one id per window"),
        ({"subject": np.r_[["new"], subject[1:]]}, "eeg: subject new has 1 windows; wanted at least 10"),
    ):
        with pytest.raises(ValueError, match=words):
            predict(own, signals, present, **given)
    with pytest.raises(ValueError, match="subject: this run did not standardise"):
        predict(model, signals, present, subject)


def test_opening_a_run_is_silent_and_keeps_compiled_programs(finished, tmp_path, monkeypatch, caplog, capfd):
    run, _, _ = finished
    shutil.copytree(run.workdir, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["per_subject_standardise"] = True
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    kept, before = [], jax.config.jax_compilation_cache_dir
    monkeypatch.setattr(devices, "keep_compiled_programs", lambda: kept.append(True))
    assert open_model(tmp_path / "run").per_subject
    assert len(kept) == (before is None)  # a folder that JAX was given stays
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        open_model(tmp_path / "run")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    assert kept and not caplog.records and capfd.readouterr() == ("", "")


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(DataError, match=r"config\.json: does not exist: no run") as refused:
        open_model(tmp_path)
    assert str(refused.value).count(str(tmp_path)) == 1


def test_a_fold_that_was_not_trained_is_named(finished, tmp_path):
    run, _, _ = finished
    for name in ("config.json", "data.json"):
        (tmp_path / name).write_text((run.workdir / name).read_text())
    assert json.loads((tmp_path / "data.json").read_text())["emotions"]
    with pytest.raises(DataError, match="holds no whole checkpoint; train this fold first"):
        open_model(tmp_path, fold=7)
