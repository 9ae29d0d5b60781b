"""Recall of a subject's residuals: golden values, limits, and trials as units."""

import numpy as np
import pytest
from scipy.special import log_softmax

from mpcl_jax.model import recall_kernel
from mpcl_jax.model.personal_memory import adapt, write_trials
from mpcl_jax.model.recall_kernel import FEATURES, TIME, RecallKernel, residual_of, views_of


def windows(count, emotions=3, seed=0):
    """Views, log-probabilities and reports of `count` windows."""
    rng = np.random.default_rng(seed)
    log_probs = log_softmax(rng.normal(size=(count, emotions)), 1)
    views = views_of({"eda": rng.normal(size=(count, 1, 2))}, log_probs, rng.normal(size=(count, 2, 4)))
    return views, log_probs, rng.dirichlet(np.ones(emotions), count)


def test_golden_recall_of_two_trials():
    """Views 0 and 2, width 2, level 1/2, gain 1/2; the new window is at 0.

    k(0, 0) = 1 and k(0, 2) = 1/2 + 1/2 e^(−1/2) = c. K + I = [[2, c], [c, 2]], k = (1, c), so the weights are
    (2 − c², c) / (4 − c²). Both predictions are (1/2, 1/2); the reports (0.8, 0.2) and (0.5, 0.5) have the residuals
    ±ln 2 and 0, so log p' = log(1/2) ± weight · ln 2.
    """
    kernel = RecallKernel(0.5, {FEATURES: 0.5}, {FEATURES: 2.0}, 1e-12)
    log_half = np.log([[0.5, 0.5], [0.5, 0.5]])
    views = {FEATURES: np.array([[0.0], [2.0]])}
    memory = write_trials(None, kernel, ["a", "b"], views, log_half, [[0.8, 0.2], [0.5, 0.5]])
    found, weight = adapt(memory, kernel, {FEATURES: np.zeros((1, 1))}, log_half[:1])
    c = 0.5 + 0.5 * np.exp(-0.5)
    np.testing.assert_allclose(weight, [[(2 - c**2) / (4 - c**2), c / (4 - c**2)]])
    high, low = 0.5 * 2.0 ** weight[0, 0], 0.5 * 2.0 ** -weight[0, 0]
    np.testing.assert_allclose(np.exp(found), [[high / (high + low), low / (high + low)]], atol=1e-9)


def test_level_alone_is_the_shrunk_mean_residual():
    """With level 1/κ the weight of each of n trials is 1 / (n + κ)."""
    views, log_probs, labels = windows(5)
    kernel = RecallKernel(0.25, {}, {}, 0.1)
    found, weight = adapt(
        write_trials(None, kernel, list("abcde"), views, log_probs, labels), kernel, {}, log_probs
    )
    np.testing.assert_allclose(weight, np.full((5, 5), 1 / (5 + 4)))
    mean = residual_of(log_probs, labels, 0.1).mean(0)
    np.testing.assert_allclose(found, log_softmax(log_probs + 5 / 9 * mean, axis=1))


def test_trials_are_units_whose_order_matters_only_with_a_view_of_time():
    views, log_probs, labels = windows(6)
    trial = np.array(list("babbac"))
    for kernel, same in (
        (RecallKernel(0.3, {FEATURES: 1.0}, {FEATURES: 1.0}, 0.1), True),
        (RecallKernel(0.3, {FEATURES: 1.0, TIME: 1.0}, {FEATURES: 1.0, TIME: 1.0}, 0.1), False),
    ):
        whole = write_trials(None, kernel, trial, views, log_probs, labels)
        assert whole.trials == ("b", "a", "c")
        found, weight = adapt(whole, kernel, views, log_probs)
        assert weight.shape == (6, 3)
        step = None
        for i in range(6):
            one = {v: x[[i]] for v, x in views.items()}
            step = write_trials(step, kernel, trial[[i]], one, log_probs[[i]], labels[[i]])
        np.testing.assert_array_equal(adapt(step, kernel, views, log_probs)[0], found)
        back = {v: x[::-1] for v, x in views.items()}
        turned = write_trials(None, kernel, trial[::-1], back, log_probs[::-1], labels[::-1])
        assert np.allclose(adapt(turned, kernel, views, log_probs)[0], found, atol=1e-12) == same


def test_of_many_trials_the_most_similar_ones_are_recalled(monkeypatch):
    """Trials beyond the limit that are far away take no part; near ones give what they give alone."""
    monkeypatch.setattr(recall_kernel, "MOST_RECALLED", 4)
    views, log_probs, labels = windows(9)
    views[FEATURES][:5] += 100.0
    kernel = RecallKernel(0.3, {FEATURES: 1.0}, {FEATURES: 1.0}, 0.1)
    many = write_trials(None, kernel, list("abcdefghi"), views, log_probs, labels)
    near = {v: x[5:] for v, x in views.items()}
    few = write_trials(None, kernel, list("fghi"), near, log_probs[5:], labels[5:])
    found, weight = adapt(many, kernel, near, log_probs[5:])
    expected, of_few = adapt(few, kernel, near, log_probs[5:])
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(weight, np.hstack([np.zeros((4, 5)), of_few]))
    kernel = RecallKernel(0.3, {}, {}, 0.1)
    many = write_trials(None, kernel, list("abcdefghi"), views, log_probs, labels)
    _, weight = adapt(many, kernel, {}, log_probs)
    assert (weight[:, :5] == 0).all() and (weight[:, 5:] > 0).all()  # of equal ones the latest


@pytest.mark.parametrize("blend", [0.01, 0.1, 1.0])
def test_a_reported_zero_gives_a_bounded_residual(blend):
    """Each term is at least log(ε) / (1 − ε), −1 for ε = 1; y = p gives 0."""
    log_probs = np.log([[0.5, 0.3, 0.2]])
    found = residual_of(log_probs, np.array([[0.0, 0.6, 0.4]]), blend)
    least = -1.0 if blend == 1 else np.log(blend) / (1 - blend)
    assert found[0, 1] - found[0, 0] == pytest.approx(found[0, 2] - found[0, 0])
    rise = 1.0 if blend == 1 else np.log((1 - blend) * 2 + blend) / (1 - blend)
    assert found[0, 1] - found[0, 0] == pytest.approx(rise - least)
    np.testing.assert_allclose(residual_of(log_probs, np.exp(log_probs), blend), 0, atol=1e-12)
