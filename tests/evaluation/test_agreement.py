"""The further measures against values worked out by hand, and where they are not defined."""

import numpy as np
import pytest
import scipy

from mpcl_jax.evaluation import agreement

Y = np.array([[0.5, 0.25, 0.25, 0.0], [0.4, 0.3, 0.2, 0.1]])
P = np.array([[0.25, 0.25, 0.5, 0.0], [0.4, 0.3, 0.2, 0.1]])
FLAT = np.full((2, 4), 0.25)


def test_jensen_shannon():
    # m = (3/8, 1/4, 3/8, 0): both sides are 1/2 ln(4/3) + 1/4 ln(2/3).
    expected = 0.5 * np.log(4 / 3) + 0.25 * np.log(2 / 3)
    np.testing.assert_allclose(agreement.jensen_shannon(Y, P), [expected, 0], atol=1e-15)
    assert agreement.jensen_shannon([[1, 0]], [[0, 1]])[0] == pytest.approx(np.log(2))
    draw = np.random.default_rng(0)
    y, p = draw.dirichlet(np.full(5, 0.3), 50), draw.dirichlet(np.full(5, 0.3), 50)
    y[::7, 0], p[::5, 1] = 0, 0
    y, p = y / y.sum(1, keepdims=True), p / p.sum(1, keepdims=True)
    other = [scipy.spatial.distance.jensenshannon(a, b) ** 2 for a, b in zip(y, p, strict=True)]
    np.testing.assert_allclose(agreement.jensen_shannon(y, p), other, atol=1e-12)


def test_rank_correlation():
    # Ranks 4, 2.5, 2.5, 1 and 2.5, 2.5, 4, 1: deviations (1.5, 0, 0, −1.5), (0, 0, 1.5, −1.5): 2.25 / 4.5 = 1/2.
    np.testing.assert_allclose(agreement.rank_correlation(Y, P), [0.5, 1], atol=1e-12)
    assert agreement.rank_correlation(Y, P[:, ::-1])[1] == pytest.approx(-1)
    assert agreement.rank_correlation(Y, FLAT).tolist() == [0, 0]


def test_top_agreement():
    assert agreement.top_agreement(Y, P).tolist() == [0, 1]
    # A flat prediction names all four: the one reported most is a quarter of them.
    assert agreement.top_agreement(Y, FLAT).tolist() == [0.25, 0.25]
    # Reported equally often, so either is right.
    assert agreement.top_agreement([[0.4, 0.4, 0.2]], [[0.3, 0.5, 0.2]]).tolist() == [1]


def test_cooccurrence_error():
    draw = np.random.default_rng(0)
    first = draw.random(200)
    # Evidence of the first two emotions rises and falls together, or the one rises where the other falls.
    together = np.stack([first, first, 2 - 2 * first], 1) / 2
    against = np.stack([first, 1 - first, np.full(200, 0.0)], 1)
    assert agreement.cooccurrence_error(together, together) == 0
    # A constant has no correlation: what is left are the six of `together`, each of them ±1.
    flat = np.full((200, 3), 1 / 3)
    evidence = together - together.min(1, keepdims=True)
    shares = evidence / evidence.sum(1, keepdims=True)
    expected = np.linalg.norm(np.corrcoef(shares, rowvar=False) - np.eye(3))
    assert agreement.cooccurrence_error(together, flat) == pytest.approx(expected)
    # The pair of the first two is off by about 2, twice.
    assert agreement.cooccurrence_error(together, against) > 2
