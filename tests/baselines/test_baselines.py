"""Golden values of the classical regressors, what every baseline keeps to, and how settings are chosen."""

import numpy as np
import pytest

from mpcl_jax import metrics
from mpcl_jax.baselines import registry as baselines
from mpcl_jax.baselines import regressors
from mpcl_jax.baselines.budget import tried
from mpcl_jax.baselines.means import predict_train_mean
from mpcl_jax.baselines.selection import Block, Known, Part, Task
from mpcl_jax.config.schema import BASELINES

NETWORKS = ("mlp", "emotion_dict", "helo")
LISTED = tuple(name for name in BASELINES if name not in NETWORKS)
OF_SIGNALS = ("knn", "ridge", "sa_bfgs", "late_fusion", "extra_trees")
BLOCKS = (
    Block("eda", "physiological", (0, 1), None),
    Block("bvp", "physiological", (2, 3), None),
    Block("face", "behavioural", (4, 5), None),
)


def planted(rows=240, people=8, features=6, emotions=4, seed=0):
    """Labels are a softmax of a linear map of the features: something to learn for everybody."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, features)).astype(np.float32)
    logits = x @ np.random.default_rng(99).normal(size=(features, emotions))
    labels = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Part(x, labels, np.array([f"S{i % people}" for i in range(rows)]))


def known(part):
    """Ids of the rows of `part`: its people, three clips, of which the second is twice as long."""
    clip = np.arange(len(part.x)) % 3
    return Known(part.group, np.array(["a", "b", ""])[clip], np.array([4.0, 8.0, 4.0])[clip])


def task_of(train, test):
    return Task(train, test.x, known(train), known(test), BLOCKS)


@pytest.fixture(scope="module")
def small():
    """A task, its test labels, and what every baseline says with a budget of one."""
    train, test = planted(rows=120), planted(rows=30, seed=1)
    task = task_of(train, test)
    return task, {name: baselines.predict(name, task, seed=0, trials=1) for name in LISTED}


def one_group(x, labels):
    return Part(np.asarray(x, np.float32), np.asarray(labels, np.float64), np.array(["S1"] * len(x)))


@pytest.mark.parametrize("name", LISTED)
def test_every_baseline_predicts_distributions_and_repeats_itself(small, name):
    task, predicted = small
    assert predicted[name].shape == (30, 4)
    assert (predicted[name] >= 0).all()
    assert np.allclose(predicted[name].sum(1), 1, atol=1e-9)
    assert (baselines.predict(name, task, seed=0, trials=1) == predicted[name]).all()


@pytest.mark.parametrize("name", LISTED)
def test_a_row_is_predicted_the_same_in_any_company(small, name):
    task, predicted = small
    ids = Known(*(values[:3] for values in task.of_test))
    alone = baselines.predict(name, task._replace(x=task.x[:3], of_test=ids), seed=0, trials=1)
    assert np.allclose(alone, predicted[name][:3], atol=1e-9)


@pytest.mark.parametrize("name", OF_SIGNALS)
def test_what_can_be_learned_is_learned(name):
    train, test = planted(), planted(rows=60, seed=1)
    constant = metrics.kl(test.labels, predict_train_mean(train, test.x)).mean()
    predicted = baselines.predict(name, task_of(train, test), seed=0, trials=6)
    assert metrics.kl(test.labels, predicted).mean() < 0.6 * constant


def test_knn_is_the_mean_label_of_the_nearest():
    # One group: the first candidate, 15 neighbours, which are all rows but the one far away.
    x = np.r_[np.zeros(15), 100.0][:, None]
    labels = np.r_[[[0.0, 1.0]] * 10, [[0.6, 0.4]] * 5, [[1.0, 0.0]]]
    predicted = regressors.predict_knn(one_group(x, labels), np.array([[1.0]], np.float32), trials=6)
    # 5 · .6 / 15 = .2
    assert np.allclose(predicted, [[0.2, 0.8]])


def test_knn_asks_no_more_neighbours_than_there_are():
    train = one_group([[0], [1]], [[0.2, 0.8], [0.4, 0.6]])
    assert np.allclose(regressors.predict_knn(train, train.x[:1], trials=1), [[0.3, 0.7]])


def test_ridge_is_the_closed_form():
    # Centred x ∓10, centred first share ∓.3: slope (10·.3 + 10·.3) / (200 + alpha 100) = .02, mean .5.
    train = one_group([[-10], [10]], [[0.2, 0.8], [0.8, 0.2]])
    predicted = regressors.predict_ridge(train, np.array([[10.0], [100.0]], np.float32), trials=6)
    assert np.allclose(predicted[0], [0.7, 0.3])
    # At 100 the line gives 2.5 and −1.5; −1.5 becomes 1e-6, and 2.5 + 1e-6 is divided out.
    assert np.allclose(predicted[1], [2.5 / 2.500001, 1e-6 / 2.500001], rtol=1e-9)


def test_extra_trees_depend_on_the_seed_alone():
    train, test = planted(rows=80), planted(rows=20, seed=1)
    first, again, other = (regressors.predict_extra_trees(train, test.x, seed=s, trials=1) for s in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_the_budget_limits_the_search():
    # Every row has a twin in another group, so one neighbour is exact; a budget of 1 knows only 15 neighbours.
    draw = np.random.default_rng(0)
    x, labels = draw.normal(size=(60, 3)).astype(np.float32), draw.dirichlet(np.ones(3), 60)
    train = Part(np.r_[x, x], np.r_[labels, labels], np.repeat(["a", "b", "c", "d"], 30))
    full = metrics.kl(labels, regressors.predict_knn(train, x, trials=6)).mean()
    small = metrics.kl(labels, regressors.predict_knn(train, x, trials=1)).mean()
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
    chosen = regressors.predict_knn(train, new, trials=6)
    by_rows = regressors.predict_knn(train._replace(group=np.arange(360).astype(str)), new, trials=6)
    mean = report.mean(0)
    # An average over at least 100 rows (9 people) lies much closer to the common mean than one person's report.
    assert np.abs(chosen - mean).mean() < 0.5 * np.abs(by_rows - mean).mean()


@pytest.mark.parametrize(
    ("name", "trials", "count"),
    [
        ("uniform", 6, 0),
        ("stimulus_mean", 6, 0),
        ("knn", 6, 6),
        ("knn", 9, 6),
        ("ridge", 2, 2),
        ("helo", 9, 9),
    ],
)
def test_how_many_settings_each_tries(name, trials, count):
    assert tried(name, trials) == count


def test_mistakes_are_named():
    train = planted(rows=20)
    task = task_of(train, train)
    with pytest.raises(ValueError, match="baseline 'svm': unknown; known here: uniform"):
        baselines.predict("svm", task, seed=0, trials=1)
    with pytest.raises(ValueError, match="trials = 0"):
        baselines.predict("knn", task, seed=0, trials=0)
    with pytest.raises(ValueError, match="wanted \\[N, P\\] and \\[M, P\\]"):
        baselines.predict("ridge", task._replace(x=train.x[:, :2]), seed=0, trials=1)
    with pytest.raises(ValueError, match="test rows: 3 of x, .*'subject': 20"):
        baselines.predict("ridge", task._replace(x=train.x[:3]), seed=0, trials=1)
    with pytest.raises(ValueError, match="blocks name 4 columns, x has 6"):
        baselines.predict("late_fusion", task._replace(blocks=BLOCKS[:2]), seed=0, trials=1)
