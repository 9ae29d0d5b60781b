"""Golden values of the classical regressors, properties of every baseline, and the choice of hyper-parameters."""

import numpy as np
import pytest

from mpcl_jax import metrics
from mpcl_jax.baselines import boosting, extra_trees, registry
from mpcl_jax.baselines.means import train_mean
from mpcl_jax.baselines.selection import Block, Part, RowInfo, Task, fit_predict
from mpcl_jax.config.schema import BASELINES

NETWORKS = ("mlp", "emotion_dict", "helo", "helo_sinkhorn")
LISTED = tuple(name for name in BASELINES if name not in NETWORKS)
OF_SIGNALS = ("knn", "ridge", "sa_bfgs", "late_fusion", "extra_trees", "kernel_ridge", "boosting")
BLOCKS = (
    Block("eda", "physiological", (0, 1), None),
    Block("bvp", "physiological", (2, 3), None),
    Block("face", "behavioural", (4, 5), None),
)


def planted(rows=240, subjects=8, features=6, emotions=4, seed=0):
    """Labels are a softmax of a linear map of the features: every baseline can learn something."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, features)).astype(np.float32)
    logits = x @ np.random.default_rng(99).normal(size=(features, emotions))
    labels = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Part(x, labels, np.array([f"S{i % subjects}" for i in range(rows)]))


def info(part):
    """Subjects of the rows of `part`, and three clips, of which the second is twice as long."""
    clip = np.arange(len(part.x)) % 3
    return RowInfo(part.group, np.array(["a", "b", ""])[clip], np.array([4.0, 8.0, 4.0])[clip])


def task_of(train, test):
    return Task(train, test.x, info(train), info(test), BLOCKS)


def predicted_by(name, train, x, *, tries=6):
    """Predictions of a baseline that uses features alone."""
    return registry.predict(name, Task(train, x, None, None, ()), seed=0, tries=tries).shares


@pytest.fixture(scope="module", autouse=True)
def few_rounds():
    """Boosting with few settings and rounds: fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "ROUNDS", (10, 30))
        patch.setattr(boosting, "CANDIDATES", boosting.CANDIDATES[:2])
        yield


@pytest.fixture(scope="module")
def small():
    """A task, and the predictions of every baseline with a budget of one."""
    task = task_of(planted(rows=120), planted(rows=30, seed=1))
    return task, {name: registry.predict(name, task, seed=0, tries=1).shares for name in LISTED}


def one_group(x, labels):
    return Part(np.asarray(x, np.float32), np.asarray(labels, np.float64), np.array(["S1"] * len(x)))


@pytest.mark.parametrize("name", LISTED)
def test_every_baseline_predicts_distributions_of_each_row_for_itself_and_repeats_itself(small, name):
    task, predicted = small
    assert predicted[name].shape == (30, 4)
    assert (predicted[name] >= 0).all()
    assert np.allclose(predicted[name].sum(1), 1, atol=1e-9)
    assert (registry.predict(name, task, seed=0, tries=1).shares == predicted[name]).all()
    first = task._replace(x=task.x[:3], test_info=RowInfo(*(values[:3] for values in task.test_info)))
    alone = registry.predict(name, first, seed=0, tries=1).shares
    assert np.allclose(alone, predicted[name][:3], atol=1e-9)


@pytest.mark.parametrize("name", OF_SIGNALS)
def test_baselines_of_signals_learn_what_can_be_learned(name):
    train, test = planted(), planted(rows=60, seed=1)
    constant = metrics.kl(test.labels, train_mean(train, len(test.x))).mean()
    predicted, setting = registry.predict(name, task_of(train, test), seed=0, tries=6)
    assert metrics.kl(test.labels, predicted).mean() < 0.6 * constant
    assert "=" in setting


def test_knn_is_the_mean_label_of_the_nearest():
    # One group: the first candidate, 15 neighbours, which are all rows but the one far away.
    x = np.r_[np.zeros(15), 100.0][:, None]
    labels = np.r_[[[0.0, 1.0]] * 10, [[0.6, 0.4]] * 5, [[1.0, 0.0]]]
    # 5 · .6 / 15 = .2
    assert np.allclose(predicted_by("knn", one_group(x, labels), np.array([[1.0]], np.float32)), [[0.2, 0.8]])
    few = one_group([[0], [1]], [[0.2, 0.8], [0.4, 0.6]])  # all of them
    assert np.allclose(predicted_by("knn", few, few.x[:1]), [[0.3, 0.7]])


def test_ridge_is_the_closed_form():
    # Centred x ∓10, centred first share ∓.3: slope (10·.3 + 10·.3) / (200 + alpha 100) = .02, mean .5.
    train = one_group([[-10], [10]], [[0.2, 0.8], [0.8, 0.2]])
    predicted = predicted_by("ridge", train, np.array([[10.0], [100.0]], np.float32))
    assert np.allclose(predicted[0], [0.7, 0.3])
    # At 100 the line gives 2.5 and −1.5; −1.5 becomes 1e-6, and 2.5 + 1e-6 is divided out.
    assert np.allclose(predicted[1], [2.5 / 2.500001, 1e-6 / 2.500001], rtol=1e-9)


def test_extra_trees_depend_on_the_seed_alone():
    train, test = planted(rows=80), planted(rows=20, seed=1)
    first, again, other = (fit_predict(extra_trees.make(seed, trees=20), train, test.x) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_the_budget_limits_the_search_and_is_counted():
    # Every row has a twin in another group, so one neighbour is exact; a budget of 1 knows only 15 neighbours.
    draw = np.random.default_rng(0)
    x, labels = draw.normal(size=(60, 3)).astype(np.float32), draw.dirichlet(np.ones(3), 60)
    train = Part(np.r_[x, x], np.r_[labels, labels], np.repeat(["a", "b", "c", "d"], 30))
    assert metrics.kl(labels, predicted_by("knn", train, x)).mean() < 1e-9
    assert metrics.kl(labels, predicted_by("knn", train, x, tries=1)).mean() > 0.05
    tried = {name: registry.tried(name, 9) for name in ("uniform", "stimulus_mean", "knn", "helo")}
    assert tried == {"uniform": 0, "stimulus_mean": 0, "knn": 6, "helo": 9}
    assert registry.tried("ridge", 2) == 2


def test_settings_are_chosen_for_new_groups_not_for_new_rows():
    # Each subject repeats one label in one corner of the space. Between rows one neighbour looks perfect, between
    # subjects it is worthless; the search must see the second and average over many neighbours.
    draw = np.random.default_rng(0)
    subject = np.repeat(np.arange(30), 12)
    corner, report = draw.normal(size=(30, 5)), draw.dirichlet(np.full(4, 3.0), 30)
    x = (corner[subject] + 0.01 * draw.normal(size=(360, 5))).astype(np.float32)
    train = Part(x, report[subject], subject.astype(str))
    new = draw.normal(size=(50, 5)).astype(np.float32)
    chosen = predicted_by("knn", train, new)
    by_rows = predicted_by("knn", train._replace(group=np.arange(360).astype(str)), new)
    mean = report.mean(0)
    # An average over at least 100 rows (9 subjects) lies much closer to the common mean than one subject's report.
    assert np.abs(chosen - mean).mean() < 0.5 * np.abs(by_rows - mean).mean()
