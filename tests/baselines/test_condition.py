"""The condition classifier: what a condition is, and how its probabilities become a prediction."""

import numpy as np
import pytest

from mpcl_jax.baselines import condition
from mpcl_jax.baselines.selection import Part, RowInfo, Task

REPORTS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])


def task_of(stimulus=None, rows=80):
    """Two conditions that the features separate, eight subjects; reports vary around those of their condition."""
    draw = np.random.default_rng(0)
    which = np.arange(rows) % 2
    x = (10 * which[:, None] - 5 + draw.normal(size=(rows, 2))).astype(np.float32)
    labels = REPORTS[which] + 0.02 * draw.normal(size=(rows, 1)) * [1, -1, 0]
    subject = np.array([f"S{i // 10}" for i in range(rows)])
    names = np.array(["calm", "tense"])[which] if stimulus is None else np.asarray(stimulus)
    info = RowInfo(subject, names, np.full(rows, 1.0))
    return Task(Part(x, labels, subject), np.array([[-5, -5], [5, 5], [0, 0]], np.float32), info, None, ())


@pytest.mark.parametrize("candidate", condition.CANDIDATES, ids=str)
def test_a_certain_condition_gives_its_mean_report(candidate):
    task = task_of()
    shares, setting = condition.predict(task, 0, 1, (candidate,))
    assert np.allclose(shares[0], task.train.labels[::2].mean(0), atol=0.1)
    assert np.allclose(shares[1], task.train.labels[1::2].mean(0), atol=0.1)
    assert np.allclose(shares.sum(1), 1) and setting.endswith("condition: stimulus")


def test_the_search_keeps_each_row_with_its_stimulus():
    # The stimulus separates the reports; read from other rows, it would say nothing about the features.
    task = task_of()
    shares, setting = condition.predict(task, 0, 6)
    assert np.abs(shares[:2] - REPORTS).max() < 0.1 and setting.endswith("condition: stimulus")


def test_the_prediction_mixes_the_mean_reports_by_the_probabilities():
    task = task_of()
    means = np.stack([task.train.labels[i::2].mean(0) for i in (0, 1)])
    x = task.train.x.astype(np.float64)
    model = condition.make(0, "logistic", 0.01).fit(x, task.train_info.stimulus)
    shares = condition.predict(task, 0, 1, (("logistic", 0.01),)).shares
    assert np.allclose(shares, model.predict_proba(task.x) @ means)


@pytest.mark.parametrize(
    "stimulus",
    [[""] * 80, ["one"] * 80, [f"row {i}" for i in range(80)], [f"of {i // 10}, {i % 2}" for i in range(80)]],
    ids=["no names", "a single one", "one per row", "one subject each"],
)
def test_without_shared_stimuli_the_condition_is_a_cluster_of_the_labels(stimulus):
    shares, setting = condition.predict(task_of(stimulus), 0, 1)
    assert setting.endswith("condition: clusters of the labels")
    assert np.allclose(shares[:2], REPORTS, atol=0.2)


def test_rows_of_a_stimulus_of_one_subject_are_left_out():
    names = np.array(["calm", "tense"])[np.arange(80) % 2].astype(object)
    names[:10:2] = "rare"
    known = condition.shared_stimuli(task_of(names.astype(str)).train_info)
    assert (known[:10:2] == "").all() and set(known) == {"", "calm", "tense"}


def test_labels_that_are_all_equal_give_their_mean():
    task = task_of([""] * 80)
    equal = np.tile([0.5, 0.3, 0.2], (80, 1))
    shares, _ = condition.predict(task._replace(train=task.train._replace(labels=equal)), 0, 6)
    assert np.allclose(shares, equal[:3])
