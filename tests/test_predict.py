"""Predictions for new arrays are those of the run, for any subset of modalities and any number of windows."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from run_fixture import quick_options, quickly_prepared, tiny_config

from mpcl_jax import predict as module
from mpcl_jax.batch import DataFileError
from mpcl_jax.predict import bucket, open_model, predict
from mpcl_jax.train.loop import train_folds


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One fold, its best epoch before its last: (run, its predictions, the model read from its folder)."""
    folder = tmp_path_factory.mktemp("run")
    run = quickly_prepared(tiny_config(protocol__only=(0,)), folder)
    (predictions,) = train_folds(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "compiled", partial(jax.jit, compiler_options=quick_options()))
        return run, predictions, open_model(folder)


def arrays(run, rows):
    recordings = run.recordings
    return [{m: x[rows] for m, x in tree.items()} for tree in (recordings.signals, recordings.present)]


def test_equal_those_of_the_run(finished):
    run, predictions, model = finished
    shares = predict(model, *arrays(run, predictions.rows))
    np.testing.assert_allclose(shares, predictions.predicted, atol=1e-6)
    assert model.spec.emotions == run.recordings.emotions and model.notes == run.recordings.notes


def test_a_window_is_predicted_alike_alone_and_among_many(finished, monkeypatch):
    run, predictions, model = finished
    together = predict(model, *arrays(run, predictions.rows[:7]))
    alone = [predict(model, *arrays(run, predictions.rows[i : i + 1]))[0] for i in range(7)]
    monkeypatch.setattr(module, "LARGEST", 4)  # in calls of 4 and 3
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


def test_few_sizes_are_compiled(finished):
    run, predictions, model = finished
    for count in range(1, 9):
        predict(model, *arrays(run, predictions.rows[:count]))
    assert model.forward._cache_size() <= 6  # 1, 2, 4, 8; 24 of the test above, padded to 32
    assert [bucket(n) for n in (1, 2, 3, 5, 1000, 1024)] == [1, 2, 4, 8, 1024, 1024]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {}, "no modality is given; the run has eeg"),
        (lambda s: s | {"ecg": s["eeg"]}, "unknown modality 'ecg'"),
        (lambda s: s | {"eeg": s["eeg"][:, :, 1:]}, "eeg: shapes"),
        (lambda s: s | {"eeg": np.full_like(s["eeg"], np.inf)}, "eeg: holds numbers that are not finite"),
    ],
)
def test_wrong_arrays_are_named(finished, change, said):
    run, predictions, model = finished
    signals, _ = arrays(run, predictions.rows[:2])
    with pytest.raises(ValueError, match=said):
        predict(model, change(signals))


def test_a_window_with_nothing_is_named(finished):
    run, predictions, model = finished
    signals, present = arrays(run, predictions.rows[:3])
    present = {m: np.array([True, False, True]) for m in present}
    with pytest.raises(ValueError, match="window 1: no modality is present"):
        predict(model, signals, present)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"config\.json: can not be read"):
        open_model(tmp_path)


def test_a_fold_that_was_not_trained_is_named(finished, tmp_path):
    run, _, _ = finished
    for name in ("config.json", "data.json"):
        (tmp_path / name).write_text((run.workdir / name).read_text())
    assert json.loads((tmp_path / "data.json").read_text())["emotions"]
    with pytest.raises(DataFileError, match="holds no whole checkpoint; train this fold first"):
        open_model(tmp_path, fold=7)
