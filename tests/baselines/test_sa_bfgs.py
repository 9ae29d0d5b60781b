"""SA-BFGS: where the optimum is known in closed form, and what the penalty does."""

import numpy as np

from mpcl_jax.baselines.sa_bfgs import make
from mpcl_jax.baselines.selection import Part, fit_predict

# x = −1 reports (.1, .9) and (.3, .7), x = 1 reports (.8, .2).
X = np.array([[-1.0], [-1.0], [1.0]], np.float32)
LABELS = np.array([[0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
TRAIN = Part(X, LABELS, np.array(["S1"] * 3))


def predicted_by(train, x, penalty):
    return fit_predict(make(0, penalty), train, x)


def test_without_a_penalty_it_meets_the_mean_label_of_each_point():
    # Two points, two free numbers of a softmax of two: the divergence is lowest at the means, (.2, .8) and (.8, .2).
    predicted = predicted_by(TRAIN, np.array([[-1.0], [1.0], [0.0]]), 0.0)
    # At 0 the logits, ∓log 4, are halved between: 0, so (.5, .5).
    assert np.allclose(predicted, [[0.2, 0.8], [0.8, 0.2], [0.5, 0.5]], atol=1e-4)


def test_moments_of_features_are_met():
    # The defining property of a maximum entropy model: Σ x (label − p) = 0, and Σ (label − p) = 0 for the bias.
    draw = np.random.default_rng(0)
    train = Part(draw.normal(size=(60, 3)), draw.dirichlet(np.ones(4), 60), np.array(["S1"] * 60))
    apart = train.labels - predicted_by(train, train.x, 0.0)
    assert np.abs(train.x.T @ apart).max() < 2e-3
    assert np.abs(apart.sum(0)).max() < 2e-3


def test_a_large_penalty_leaves_the_mean_label():
    # The bias is free: (.1 + .3 + .8) / 3 = .4.
    assert np.allclose(predicted_by(TRAIN, X, 1e9), [[0.4, 0.6]] * 3, atol=1e-4)


def test_the_penalty_weighs_half_a_square():
    # Optimum of two emotions with θ = (a, −a), bias 0 by symmetry, x = ∓1, labels (.2, .8) and (.8, .2):
    # 2 (.8 − s(2a)) = penalty · a with s the logistic function. For a = .5: 2 (.8 − .7310586) / .5 = .2757656.
    train = Part(np.array([[-1.0], [1.0]]), np.array([[0.2, 0.8], [0.8, 0.2]]), np.array(["S1"] * 2))
    predicted = predicted_by(train, np.array([[1.0]]), 0.2757656)
    assert np.allclose(predicted, [[0.7310586, 0.2689414]], atol=1e-5)
