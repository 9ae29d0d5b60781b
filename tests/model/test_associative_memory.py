"""Retrieval: scales between the average and the nearest pattern, masks that let nothing through."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import parameters_of, quick_jit, same_bits

from mpcl_jax.model.associative_memory import MultiScaleRetrieval, association_by_scale

pytestmark = pytest.mark.usefixtures("strict_shapes")

STORED = np.float32([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
SCALES = (0.25, 1.0, 4.0)


@quick_jit
def recall(state, stored, beta, present):
    """One step of Hopfield retrieval."""
    (association,) = association_by_scale(state @ stored.T, [beta], [jnp.ones(len(state))], present[None])
    return association @ stored


# Scale ln 2, state (1, 0): similarities ln 2 · (1, 0, −1), weights 2 : 1 : ½: (2 (1, 0) + (0, 1) + ½ (−1, 0)) / 3.5
# = (3/7, 2/7). Without the third pattern, whatever it holds: weights 2 : 1, so (2/3, 1/3).
def test_golden_retrieval_and_absent_patterns():
    state, present, other = np.float32([[1.0, 0.0]]), np.array([True, True, False]), STORED.copy()
    found = recall(state, STORED, np.log(2.0), np.ones(3, bool))
    np.testing.assert_allclose(found, [[3 / 7, 2 / 7]], rtol=1e-6)
    without = recall(state, STORED, np.log(2.0), present)
    np.testing.assert_allclose(without, [[2 / 3, 1 / 3]], rtol=1e-6)
    other[2] = -1e30
    assert same_bits(without, recall(state, other, np.log(2.0), present))


def test_a_state_that_may_recall_nothing_gets_nothing_and_has_a_gradient():
    def total(similarity, beta):
        may_recall = np.array([[True, False], [False, False]])
        return sum(association_by_scale(similarity, beta, jnp.ones((2, 2)), may_recall))[:, 0].sum()

    found, gradients = quick_jit(jax.value_and_grad(total, (0, 1)))(jnp.ones((2, 2)), jnp.float32([1.0, 4.0]))
    assert found == 2.0  # one for each scale, of the first state alone
    assert all((x == 0).all() for x in gradients)


def patterns(seed=0):
    """B 2, T 4, D 4: the last token of the second sample is absent, one token may not recall another."""
    tokens = np.random.default_rng(seed).normal(size=(2, 4, 4)).astype(np.float32)
    may_recall = np.ones((2, 4, 4), bool)
    may_recall[1, :, 3] = False
    may_recall[0, 1, 0] = False
    return tokens, may_recall


def in_numpy(params, tokens, may_recall, heads, count):
    """The formula of the docstring, one sample, head, token and scale at a time."""

    def dense(name, x):
        return x @ np.asarray(params[name]["kernel"], np.float64) + np.asarray(params[name]["bias"])

    batch, size, width = tokens.shape
    per_head = width // heads
    beta = np.exp(np.asarray(params["log_beta"], np.float64))
    joined = np.zeros((batch, size, width))
    for b in range(batch):
        query = dense("query", tokens[b])
        key_value = dense("key_value", tokens[b])
        gate = dense("gate", tokens[b]) if count > 1 else np.zeros((size, heads))
        for h in range(heads):
            here = slice(h * per_head, (h + 1) * per_head)
            key, value = key_value[:, :width][:, here], key_value[:, width:][:, here]
            for t in range(size):
                weights = np.exp(gate[t, h * count : (h + 1) * count])
                weights = weights / weights.sum()
                association = np.zeros(len(key))
                for s in range(count):
                    strength = np.exp(beta[s] * key @ query[t, here]) * may_recall[b, t]
                    association += weights[s] * strength / strength.sum()
                joined[b, t, here] = association @ value
    return dense("output", joined)


@functools.cache
def module(scales):
    made = MultiScaleRetrieval(heads=2, scales=scales)
    return made, quick_jit(lambda params, *inputs: made.apply({"params": params}, *inputs))


@pytest.mark.parametrize("scales", [SCALES, (1.0,)])
def test_the_module_equals_a_numpy_loop(scales):
    made, apply = module(scales)
    params = parameters_of(made, *patterns(), seed=3)
    if len(scales) == 3:
        params["log_beta"] = np.float32([-1.0, 0.5, 2.0])  # scales that differ, as the defaults do
    params["gate" if len(scales) > 1 else "query"]["kernel"] *= 5.0  # far from a uniform mixture
    expected = in_numpy(params, *patterns(), heads=2, count=len(scales))
    np.testing.assert_allclose(apply(params, *patterns()), expected, atol=1e-5)


def test_scales_start_in_units_of_the_width_of_a_head():
    # Width 4, 2 heads: 1/sqrt(2) per unit.
    made = MultiScaleRetrieval(heads=2, scales=SCALES)
    params = quick_jit(made.init)(jax.random.key(0), *patterns())["params"]
    np.testing.assert_allclose(np.exp(params["log_beta"]), np.array(SCALES) / np.sqrt(2), rtol=1e-6)
