"""The six measures against hand values and SciPy, the floor of predictions, and what is refused."""

import math

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from mpcl_jax import metrics

NAMES = ["chebyshev", "clark", "canberra", "kl", "cosine", "intersection"]


def test_hand_values():
    # y = [1/2, 1/4, 1/4, 0], p = [1/4, 1/4, 1/2, 0].
    # |y−p| = 1/4, 0, 1/4, 0; y+p = 3/4, 1/2, 3/4, 0; relative = 1/3, 0, 1/3, (0/0 -> 0).
    # KL = 1/2 ln 2 + 1/4 ln 1 + 1/4 ln(1/2) = 1/4 ln 2.
    # cosine: y·p = 1/8 + 1/16 + 1/8 = 5/16, both norms² = 1/4 + 1/16 + 1/16 = 6/16 -> 5/6.
    y, p = [[0.5, 0.25, 0.25, 0]], [[0.25, 0.25, 0.5, 0]]
    expected = [1 / 4, math.sqrt(2) / 3, 2 / 3, math.log(2) / 4, 5 / 6, 3 / 4]
    got = metrics.scores(y, p)
    assert list(got) == NAMES
    np.testing.assert_allclose(np.stack(list(got.values())), np.array(expected)[:, None], atol=1e-15)


def test_opposite_corners_are_the_worst_values():
    # y = [1, 0], p = [0, 1]: each relative difference is 1, nothing is shared, ln(1/0) is infinite.
    got = {name: x[0] for name, x in metrics.scores([[1, 0]], [[0, 1]]).items()}
    assert list(got.values()) == [1, math.sqrt(2), 2, math.inf, 0, 0]


@st.composite
def distributions(draw, rows):
    """`rows` distributions of 2 to 12 emotions in steps of at least 1/480, with zeros."""
    emotions = draw(st.integers(2, 12))
    counts = st.lists(st.integers(0, 40), min_size=emotions, max_size=emotions).filter(any)
    made = np.array([draw(counts) for _ in range(rows)], np.float64)
    return made / made.sum(1, keepdims=True)


def of_scipy(y, p):
    """The measures by other identities; distance.canberra counts 0/0 as 0, entropy is in nats."""
    with np.errstate(invalid="ignore"):
        ratio = np.nan_to_num((y - p) / (y + p))
    return [
        scipy.spatial.distance.chebyshev(y, p),
        scipy.spatial.distance.euclidean(ratio, 0 * ratio),
        scipy.spatial.distance.canberra(y, p),
        scipy.stats.entropy(y, p),
        1 - scipy.spatial.distance.cosine(y, p),
        1 - scipy.spatial.distance.cityblock(y, p) / 2,
    ]


@given(distributions(rows=2))
def test_measures_agree_with_scipy_also_at_zeros(pair):
    y, p = pair
    got = [x[0] for x in metrics.scores(y[None], p[None]).values()]
    np.testing.assert_allclose(got, of_scipy(y, p), rtol=0, atol=1e-12)


def test_float32_input_is_computed_in_float64():
    y = np.full((1, 3), 1 / 3, np.float32)
    assert all(x.dtype == np.float64 for x in metrics.scores(y, y).values())


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([[0.5, 0.5]], [[0.2, 0.3, 0.5]], "equal shapes"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "equal shapes"),
        ([[0.5, 0.5], [np.nan, 1]], [[0.5, 0.5], [0.5, 0.5]], "labels, row 1: not finite"),
        ([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [np.inf, 1]], "predicted, row 1: not finite"),
        ([[0.5, 0.5]], [[-0.1, 1.1]], "predicted, row 0: negative"),
        ([[3, 1]], [[0.5, 0.5]], "labels, row 0: does not sum to 1"),
    ],
)
def test_every_measure_refuses_what_is_not_a_pair_of_distributions(labels, predicted, message):
    for name in NAMES:
        with pytest.raises(ValueError, match=message):
            getattr(metrics, name)(labels, predicted)


def test_direction_of_every_measure():
    y = np.array([[0.7, 0.2, 0.1]])
    near, far = metrics.scores(y, [[0.6, 0.3, 0.1]]), metrics.scores(y, [[0.1, 0.2, 0.7]])
    assert {name for name in near if near[name][0] > far[name][0]} == set(metrics.HIGHER_IS_BETTER)


def test_subject_means_weigh_subjects_not_windows():
    means = metrics.subject_means([1.0, 3.0, 10.0], np.array(["b", "b", "a"]))
    assert means == {"a": 10.0, "b": 2.0}
    assert list(means) == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "subject", "message"),
    [([1.0], ["a", "b"], "equal shapes"), ([], [], "N > 0"), ([0.0, np.nan], ["a", "b"], "row 1: NaN")],
)
def test_subject_means_refuses(values, subject, message):
    with pytest.raises(ValueError, match=message):
        metrics.subject_means(values, subject)


def test_skill():
    assert metrics.skill(0.05, 0.2) == pytest.approx(0.75)
    assert metrics.skill(0.2, 0.2) == 0
    assert metrics.skill(0.4, 0.2) == -1
    assert metrics.skill(math.inf, 0.2) == -math.inf


@pytest.mark.parametrize(("model", "constant"), [(0.1, 0.0), (0.1, math.inf), (math.nan, 0.1)])
def test_skill_refuses_where_it_has_no_meaning(model, constant):
    with pytest.raises(ValueError, match="not defined"):
        metrics.skill(model, constant)


# The floor of a prediction, the same for every method.


def test_an_underflowing_softmax_has_a_finite_kl():
    log_probs = np.float32([[0.0, -200.0, -300.0], np.log([0.5, 0.3, 0.2])])
    made = metrics.from_log_probs(log_probs)
    assert made.dtype == np.float32 and np.exp(log_probs)[0].min() == 0
    np.testing.assert_allclose(made[0], np.array([1, 1e-6, 1e-6]) / 1.000002, rtol=1e-6)
    assert np.isfinite(metrics.kl([[0.2, 0.3, 0.5]] * 2, made)).all()


@given(
    distributions(rows=3), st.sampled_from([np.float32, np.float64]), st.floats(0.991, 1.009), st.booleans()
)
def test_the_floor_changes_only_rows_below_it_and_only_once(shares, kind, total, wide):
    if wide:  # most of 3000 emotions have a share of zero
        shares = np.pad(shares, ((0, 0), (0, 3000 - shares.shape[1])))
    predicted = (total * shares).astype(kind)
    once = metrics.floored(predicted)
    assert once.dtype == kind and metrics.floored(once).tobytes() == once.tobytes()
    positive = (shares > 0).all(1)
    assert once[positive].tobytes() == predicted[positive].tobytes()
    assert once.min() > 0.98e-6 and np.allclose(once[~positive].sum(1), 1, atol=1e-5)


def test_nan_is_not_hidden_by_the_floor():
    assert np.isnan(metrics.from_log_probs([[np.nan, -200.0]])[0, 0])
