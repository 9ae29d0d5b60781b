"""Kernel ridge, gradient boosting and the average: against their definitions."""

import numpy as np
import pytest
from test_baselines import planted, task_of

from mpcl_jax import metrics
from mpcl_jax.baselines import boosting, condition, kernel_ridge, registry
from mpcl_jax.baselines.kernel_ridge import LOG_RATIOS, SHARES, Setting
from mpcl_jax.baselines.means import train_mean
from mpcl_jax.metrics import as_distributions


@pytest.mark.parametrize("space", [SHARES, LOG_RATIOS])
def test_kernel_ridge_is_its_closed_form(space):
    train, test = planted(rows=60), planted(rows=10, seed=1)
    sides = [[0, 1, 2, 3], [4, 5]]
    found = kernel_ridge._fit_predict(train, test.x, sides, Setting(4, 1.0, 0.1, space), 0)
    # All components of both sides are kept: distances are those of the features, each side scaled to norm 1.
    parts = [train.x[:, side] for side in sides]
    scaled = [x / np.sqrt(x.astype(float).var(0, ddof=1).sum()) for x in parts]
    other = [test.x[:, side] / np.sqrt(train.x[:, side].astype(float).var(0, ddof=1).sum()) for side in sides]
    fitted, wanted = np.concatenate(scaled, 1), np.concatenate(other, 1)
    gamma = 1 / (4 * fitted.var(0).sum())

    def kernel(a, b):
        return np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(2))

    labels = train.labels if space == SHARES else np.log(0.99 * train.labels + 0.01 / 4)
    mean = labels.mean(0)
    weights = np.linalg.solve(kernel(fitted, fitted) + 0.1 * np.eye(60), labels - mean)
    expected = mean + kernel(wanted, fitted) @ weights
    expected = expected if space == SHARES else np.exp(expected)
    assert np.allclose(found, as_distributions(expected), atol=1e-5)


def test_the_approximated_kernel_of_many_rows_is_exact_with_all_landmarks(monkeypatch):
    train, test = planted(rows=60), planted(rows=10, seed=1)
    arguments = (train, test.x, [[0, 1, 2, 3, 4, 5]], Setting(6, 1.0, 0.1), 0)
    exact = kernel_ridge._fit_predict(*arguments)
    monkeypatch.setattr(kernel_ridge, "MOST_ROWS", 59)
    monkeypatch.setattr(kernel_ridge, "LANDMARKS", 60)
    assert np.allclose(kernel_ridge._fit_predict(*arguments), exact, atol=0.01)


def test_a_modality_group_without_variance_is_harmless():
    train, test = planted(rows=60), planted(rows=10, seed=1)
    train.x[:, 4:] = test.x[:, 4:] = 0
    shares = kernel_ridge._fit_predict(train, test.x, [[0, 1, 2, 3], [4, 5]], Setting(8, 1.0, 0.1), 0)
    constant = metrics.kl(test.labels, train_mean(train, 10)).mean()
    assert metrics.kl(test.labels, shares).mean() < constant


def test_boosting_starts_at_the_mean_label_and_comes_nearer_with_each_round():
    train = planted(rows=120)
    slow, fast = boosting.Setting(1e-9, 4, 5), boosting.Setting(0.1, 4, 5)
    assert np.allclose(boosting.stages(train, train.x, slow, 0, (1,))[0], train.labels.mean(0))
    stages = boosting.stages(train, train.x, fast, 0, (1, 5, 20, 60))
    kl = [metrics.kl(train.labels, shares).mean() for shares in stages]
    assert kl == sorted(kl, reverse=True) and kl[-1] < 0.5 * kl[0]


def test_the_average_is_the_mean_of_its_members():
    task = task_of(planted(rows=60), planted(rows=10, seed=1))
    members = [registry.predict(name, task, seed=0, tries=1).shares for name in ("ridge", "extra_trees")]
    members.append(condition.predict(task, 0, 1, condition.FOREST).shares)
    found = registry.predict("average", task, seed=0, tries=1)
    assert np.allclose(found.shares, np.mean(members, axis=0), atol=1e-12)
    words = "ridge alpha=", "extra_trees leaf_rows=", "condition ExtraTrees"
    assert all(word in found.setting for word in words)
