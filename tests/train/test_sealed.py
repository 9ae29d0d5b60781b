"""The test is sealed: choices are written before measures, looks are counted, test labels decide nothing."""

import json

import numpy as np
import pytest
from run_fixture import moved

from mpcl_jax.config.data import ProtocolConfig, SimulateConfig
from mpcl_jax.config.schema import QUICK_BASELINES, BenchmarkConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation import comparison
from mpcl_jax.train.folds import device_rows
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.selection import record_test_access, write_choices
from mpcl_jax.types import DataError, Recordings

SMALL = SimulateConfig(subjects=6, clips=4, windows=2, emotions=4)


def entry(workdir, fold="fold 1 of 2", method="ridge"):
    return json.loads((workdir / "selection.json").read_text())[fold][method]


def test_a_first_look_is_noted_with_its_time_behind_the_choice(tmp_path):
    write_choices(tmp_path, "ridge", {"fold 1 of 2": {"setting": "100.0"}})
    assert entry(tmp_path)["looked"] is None
    assert record_test_access(tmp_path) == ""
    found = entry(tmp_path)
    assert found["choice"] == {"setting": "100.0"} and found["chosen"] <= found["looked"]


def test_the_same_choice_again_is_no_second_look(tmp_path):
    for _ in range(3):
        write_choices(tmp_path, "ridge", {"fold 1 of 2": {"setting": "100.0"}})
        before = entry(tmp_path)["chosen"]
        assert record_test_access(tmp_path) == ""
    assert entry(tmp_path)["chosen"] == before and entry(tmp_path)["earlier"] == []


def test_another_choice_after_a_look_is_counted_and_kept(tmp_path):
    write_choices(tmp_path, "MPCL", {f"fold {k} of 2": {"epoch": 3} for k in (1, 2)})
    record_test_access(tmp_path)
    write_choices(tmp_path, "MPCL", {f"fold {k} of 2": {"epoch": 4} for k in (1, 2)})
    assert record_test_access(tmp_path).startswith("Test access 2: MPCL in fold 2 of 2 and 1 more was chosen")
    write_choices(tmp_path, "MPCL", {"fold 1 of 2": {"epoch": 5}})
    assert record_test_access(tmp_path).startswith("Test access 3: MPCL in fold 1 of 2")
    assert [x["choice"]["epoch"] for x in entry(tmp_path, method="MPCL")["earlier"]] == [3, 4]
    assert record_test_access(tmp_path).startswith("Test access 3:")  # the same selection: nothing new


def test_a_choice_without_a_test_access_may_change_and_methods_may_join(tmp_path):
    write_choices(tmp_path, "ridge", {"fold 1 of 2": {"setting": "1"}})
    write_choices(tmp_path, "ridge", {"fold 1 of 2": {"setting": "2"}})
    assert record_test_access(tmp_path) == ""
    write_choices(tmp_path, "knn", {"fold 1 of 2": {"setting": "5"}})
    assert record_test_access(tmp_path) == ""


@pytest.mark.parametrize("text", ["", "[1]", '{"fold": {"ridge": {}}}', '{"fold": 3}'])
def test_a_damaged_record_is_refused(tmp_path, text):
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(DataError, match=r"selection.json: is no record of choices"):
        record_test_access(tmp_path)


def with_other_labels(recordings: Recordings, rows: np.ndarray, seed: int) -> Recordings:
    labels = recordings.labels.copy()
    labels[rows] = np.random.default_rng(seed).dirichlet(np.full(labels.shape[1], 0.4), len(rows))
    return recordings._replace(labels=labels)


@pytest.mark.parametrize(
    "kind, names, mutations",
    [
        ("subject_kfold", ("knn", "ridge", "sa_bfgs"), 3),
        ("window80", tuple(name for name in QUICK_BASELINES if name != "mlp"), 1),
        pytest.param("subject_kfold", ("late_fusion", "extra_trees", "mlp"), 20, marks=pytest.mark.long),
    ],
)
def test_mutated_test_labels_change_no_setting_and_no_prediction_of_a_baseline(kind, names, mutations):
    def chosen(recordings):
        predicted, choices, _ = comparison.predict_fold(
            recordings, kind, fold, names, BenchmarkConfig(tries=2), 0
        )
        return {name: x.tobytes() for name, x in predicted.items()}, choices

    recordings, _ = simulate(SMALL)
    fold = make_split(recordings, ProtocolConfig(kind=kind, folds=3, validation=0.3)).folds[0]
    before, choices = chosen(recordings)
    assert choices and all(choice["setting"] for choice in choices.values())
    for seed in range(mutations):
        assert chosen(with_other_labels(recordings, fold.test, seed)) == (before, choices)
    # The check can fail: other training labels give other predictions.
    assert chosen(with_other_labels(recordings, fold.train, 0))[0] != before


def choice_and_predictions(run, recordings, folder):
    rows = device_rows(recordings, run.program.replicated)
    (predictions,) = train_folds(moved(run, folder)._replace(recordings=recordings, rows=rows))
    return predictions.predicted.tobytes(), entry(folder, run.split.folds[0].name, "MPCL")["choice"]


@pytest.mark.parametrize("mutations", [1, pytest.param(20, marks=pytest.mark.long)])
def test_mutated_test_labels_change_no_chosen_epoch(trained, tmp_path, mutations):
    run, folder = trained[0], tmp_path
    before = choice_and_predictions(run, run.recordings, folder / "before")
    assert before[1]["by"] == "validation KL" and 1 <= before[1]["epoch"] <= run.config.train.epochs
    fold = run.split.folds[0]
    for seed in range(mutations):
        mutated = with_other_labels(run.recordings, fold.test, seed)
        assert choice_and_predictions(run, mutated, folder / f"{seed}") == before
    # The check can fail: other validation labels are seen by the choice.
    other = with_other_labels(run.recordings, fold.validation, 0)
    assert choice_and_predictions(run, other, folder / "other")[1] != before[1]


def test_the_choice_is_written_before_the_test_rows_are_predicted(trained, tmp_path, monkeypatch):
    run, seen = trained[0], []

    def predict(*_):
        seen.append(entry(tmp_path / "run", run.split.folds[0].name, "MPCL")["choice"])
        raise RuntimeError("not further")

    monkeypatch.setattr("mpcl_jax.train.loop.predict", predict)
    with pytest.raises(RuntimeError, match="not further"):
        train_folds(moved(run, tmp_path / "run"))
    assert seen[0]["epoch"] >= 1
