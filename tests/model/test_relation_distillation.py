"""Distillation: nothing to learn from oneself, no gradient into the teacher, only relations count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import quick_jit, same_bits

from mpcl_jax.model.relation_distillation import log_relations, relation_distillation

pytestmark = pytest.mark.usefixtures("strict_shapes")

RNG = np.random.default_rng(0)
SIMILARITY = RNG.normal(size=(3, 2, 4, 2)).astype(np.float32)
BOTH = np.ones((3, 2), bool)

distil = quick_jit(relation_distillation)
slope_of = quick_jit(
    jax.grad(lambda similarity, present: jnp.sum(relation_distillation(similarity, present)))
)


# r_p = (1/2, 1/2), r_b = (1/4, 3/4): KL(p‖b) = ½ ln 2 + ½ ln ⅔ = ½ ln 4/3; KL(b‖p) = ¼ ln ½ + ¾ ln 3/2.
def test_golden_value():
    similarity = np.log(np.float32([[[[0.5, 0.5]], [[0.25, 0.75]]]]))
    expected = 0.5 * (0.5 * np.log(4 / 3) + 0.25 * np.log(1 / 2) + 0.75 * np.log(3 / 2))
    np.testing.assert_allclose(distil(similarity, BOTH[:1]), [expected], rtol=1e-5)


def test_zero_for_identical_relations():
    same = np.repeat(SIMILARITY[:, :1], 2, axis=1)
    same[:, 1] += 5.0  # a constant is not a relation
    np.testing.assert_allclose(distil(same, BOTH), 0.0, atol=1e-5)
    assert (np.asarray(distil(SIMILARITY, BOTH)) > 0.01).all()


def test_zero_where_a_group_is_missing():
    present = np.array([[True, True], [True, False], [False, True]])
    found = np.asarray(distil(SIMILARITY, present))
    assert found[0] > 0
    assert same_bits(found[1:], np.zeros(2, np.float32))
    slope = np.asarray(slope_of(SIMILARITY, present))
    assert slope[0].any() and not slope[1:].any()


def test_no_gradient_reaches_a_teacher():
    """d/ds_b of ½ KL(sg r_p ‖ r_b) is ½ (r_b − r_p); a gradient into teachers would add terms to it."""
    slope = slope_of(SIMILARITY, BOTH)
    r = np.exp(log_relations(SIMILARITY))
    expected = 0.5 * (r - r[:, ::-1]).reshape(3, 2, 4, 2)
    np.testing.assert_allclose(slope, expected, atol=1e-6)
