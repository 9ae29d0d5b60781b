"""Golden values of the constants and the classical regressors, and how they choose their settings."""

import numpy as np
import pytest

from mpcl_jax import metrics
from mpcl_jax.benchmark import baselines
from mpcl_jax.benchmark.selection import Part
from mpcl_jax.settings import BASELINES

CLASSICAL = tuple(name for name in BASELINES if name != "mlp")


def planted(rows=240, people=8, features=6, emotions=4, seed=0):
    """Labels are a softmax of a linear map of the features: something to learn for everybody."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, features)).astype(np.float32)
    logits = x @ np.random.default_rng(99).normal(size=(features, emotions))
    labels = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Part(x, labels, np.array([f"S{i % people}" for i in range(rows)]))


def one_group(x, labels):
    return Part(np.asarray(x, np.float32), np.asarray(labels, np.float64), np.array(["S1"] * len(x)))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_predicts_distributions(name):
    test = planted(rows=30, seed=1)
    predicted = baselines.predict(name, planted(rows=120), test.x, seed=0, trials=1)
    assert predicted.shape == test.labels.shape
    assert (predicted >= 0).all()
    assert np.allclose(predicted.sum(1), 1, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name not in ("uniform", "train_mean")])
def test_what_can_be_learned_is_learned(name):
    train, test = planted(), planted(rows=60, seed=1)
    constant = metrics.kl(test.labels, baselines.predict_train_mean(train, test.x)).mean()
    predicted = baselines.predict(name, train, test.x, seed=0, trials=6)
    assert metrics.kl(test.labels, predicted).mean() < 0.6 * constant


def test_uniform_and_train_mean():
    train = one_group([[0], [0], [0]], [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]])
    assert (baselines.predict_uniform(train, train.x) == 0.5).all()
    # (.2 + .4 + .6) / 3 = .4
    assert np.allclose(baselines.predict_train_mean(train, train.x[:2]), [[0.4, 0.6]] * 2)


def test_knn_is_the_mean_label_of_the_nearest():
    # One group: the first candidate, 15 neighbours, which are all rows but the one far away.
    x = np.r_[np.zeros(15), 100.0][:, None]
    labels = np.r_[[[0.0, 1.0]] * 10, [[0.6, 0.4]] * 5, [[1.0, 0.0]]]
    predicted = baselines.predict_knn(one_group(x, labels), np.array([[1.0]], np.float32), trials=6)
    # 5 · .6 / 15 = .2
    assert np.allclose(predicted, [[0.2, 0.8]])


def test_knn_asks_no_more_neighbours_than_there_are():
    train = one_group([[0], [1]], [[0.2, 0.8], [0.4, 0.6]])
    assert np.allclose(baselines.predict_knn(train, train.x[:1], trials=1), [[0.3, 0.7]])


def test_ridge_is_the_closed_form():
    # Centred x ∓10, centred first share ∓.3: slope (10·.3 + 10·.3) / (200 + alpha 100) = .02, mean .5.
    train = one_group([[-10], [10]], [[0.2, 0.8], [0.8, 0.2]])
    predicted = baselines.predict_ridge(train, np.array([[10.0], [100.0]], np.float32), trials=6)
    assert np.allclose(predicted[0], [0.7, 0.3])
    # At 100 the line gives 2.5 and −1.5; −1.5 becomes 1e-6, and 2.5 + 1e-6 is divided out.
    assert np.allclose(predicted[1], [2.5 / 2.500001, 1e-6 / 2.500001], rtol=1e-9)


def test_extra_trees_depend_on_the_seed_alone():
    train, test = planted(rows=80), planted(rows=20, seed=1)
    first, again, other = (baselines.predict_extra_trees(train, test.x, seed=s, trials=1) for s in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_the_budget_limits_the_search():
    # Every row has a twin in another group, so one neighbour is exact; a budget of 1 knows only 15 neighbours.
    draw = np.random.default_rng(0)
    x, labels = draw.normal(size=(60, 3)).astype(np.float32), draw.dirichlet(np.ones(3), 60)
    train = Part(np.r_[x, x], np.r_[labels, labels], np.repeat(["a", "b", "c", "d"], 30))
    full = metrics.kl(labels, baselines.predict_knn(train, x, trials=6)).mean()
    small = metrics.kl(labels, baselines.predict_knn(train, x, trials=1)).mean()
    assert full < 1e-9
    assert small > 0.05


def test_settings_are_chosen_for_new_groups_not_for_new_rows():
    # Each person repeats one label in one corner of the space. Among rows one neighbour looks perfect, among
    # people it is worthless; the search must see the second and average over many neighbours.
    draw = np.random.default_rng(0)
    who = np.repeat(np.arange(30), 12)
    corner, report = draw.normal(size=(30, 5)), draw.dirichlet(np.full(4, 3.0), 30)
    x = (corner[who] + 0.01 * draw.normal(size=(360, 5))).astype(np.float32)
    train = Part(x, report[who], who.astype(str))
    new = draw.normal(size=(50, 5)).astype(np.float32)
    chosen = baselines.predict_knn(train, new, trials=6)
    by_rows = baselines.predict_knn(train._replace(group=np.arange(360).astype(str)), new, trials=6)
    mean = report.mean(0)
    # An average over at least 100 rows (9 people) lies much closer to the common mean than one person's report.
    assert np.abs(chosen - mean).mean() < 0.5 * np.abs(by_rows - mean).mean()


def test_mistakes_are_named():
    train = planted(rows=20)
    with pytest.raises(ValueError, match="baseline 'svm': unknown; known here: uniform"):
        baselines.predict("svm", train, train.x, seed=0, trials=1)
    with pytest.raises(ValueError, match="trials = 0"):
        baselines.predict("knn", train, train.x, seed=0, trials=0)
    with pytest.raises(ValueError, match="wanted \\[N, P\\] and \\[M, P\\]"):
        baselines.predict("ridge", train, train.x[:, :2], seed=0, trials=1)
