"""The co-occurrence map: rows sum to 1, the prior moves it as derived, both banks are recalled."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import all_finite, memory, parameters_of, quick_jit

from mpcl_jax.config.model import CooccurrenceConfig
from mpcl_jax.model.cooccurrence import RARE, CooccurrenceRetrieval

pytestmark = pytest.mark.usefixtures("strict_shapes")

TOKENS = np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32)
LOGITS = np.random.default_rng(1).normal(size=(3, 2, 4, 2)).astype(np.float32)  # B 3, G 2, C 4, K 2
SHARE = np.float32([[(0.25, 0.75)] * 4, [(0.9, 0.1)] * 4])  # G 2, C 4, K 2
LOG_WEIGHT = np.log(SHARE)
UNIFORM = np.full((4, 4), 1 / 16, np.float32)


def module(prior):
    return CooccurrenceRetrieval(CooccurrenceConfig(beta=2.0, prior=prior))


@functools.cache
def parameters(prior):
    inputs = TOKENS, LOGITS, memory().bank, LOG_WEIGHT, memory().cooccurrence
    params = parameters_of(module(True), *inputs)
    params |= {"log_beta": np.float32(np.log(2.0)), "prior_strength": np.float32(1.0)}
    return params if prior else {name: x for name, x in params.items() if name != "prior_strength"}


@functools.cache
def retrieval(prior=True):
    return quick_jit(lambda params, *inputs: module(prior).apply({"params": params}, *inputs))


def retrieved_map(cooccurrence, prior=True, **other):
    params = {**parameters(prior), **other}
    return np.asarray(retrieval(prior)(params, TOKENS, LOGITS, memory().bank, LOG_WEIGHT, cooccurrence)[1])


def test_the_map_without_a_prior_is_the_association_summed_over_banks_and_slots():
    """M_cd = Σ_gk softmax_(g,d,k)(2 · unit(W h_c) · bank_gdk + log π_gdk), here with loops over c, g, d and k."""
    state = TOKENS @ parameters(False)["state"]["kernel"]
    state = state / np.linalg.norm(state, axis=-1, keepdims=True)
    bank = memory().bank
    expected = np.zeros((3, 4, 4))
    for b in range(3):
        for c in range(4):
            for g in range(2):
                for d in range(4):
                    for k in range(2):
                        expected[b, c, d] += SHARE[g, d, k] * np.exp(2.0 * state[b, c] @ bank[g, d, k])
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(retrieved_map(UNIFORM, prior=False), expected, rtol=1e-4)


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_the_prior_multiplies_the_map_by_a_power_of_the_conditional_cooccurrence(strength):
    """softmax(s + a log p) ∝ softmax(s) · pᵃ, with p = P(d | c) + RARE, the same for all banks and slots of d."""
    together = memory().cooccurrence
    conditional = together / together.sum(1, keepdims=True) + RARE
    expected = retrieved_map(UNIFORM, prior=False) * conditional[None] ** strength
    expected /= expected.sum(-1, keepdims=True)
    found = retrieved_map(together, prior_strength=np.float32(strength))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_emotions_never_reported_together_stay_possible_and_finite():
    never = np.diag([0.5, 0.5, 0.0, 0.0]).astype(np.float32)  # the last two were never reported

    @quick_jit
    def slope(params):
        def loss(params):
            tokens, found = module(True).apply(
                {"params": params}, TOKENS, LOGITS, memory().bank, LOG_WEIGHT, never
            )
            return jnp.sum(tokens**2) + jnp.sum(jnp.log(found))

        return jax.grad(loss)(params)

    assert all_finite(slope(parameters(True)))
    found = retrieved_map(never)
    assert (found > 0).all()
    assert (found[:, 0, 1] < 0.05).all() and (found[:, 0, 0] > 0.95).all()


def test_enriched_tokens_follow_their_formula():
    """LN(h + w log(m + RARE)), m = nearᵀ M, near = softmax_c of the mean over modality groups of log Σ_k exp s."""
    params = parameters(False)
    tokens, found = retrieval(False)(params, TOKENS, LOGITS, memory().bank, LOG_WEIGHT, UNIFORM)
    near = np.exp(np.log(np.exp(LOGITS).sum(-1)).mean(1))
    near = near / near.sum(-1, keepdims=True)
    together = np.einsum("bc,bcd->bd", near, found)
    np.testing.assert_allclose(together.sum(-1), 1.0, rtol=1e-5)
    h = TOKENS + np.log(together + RARE)[..., None] @ params["called"]["kernel"]
    normed = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
    expected = normed * params["norm"]["scale"][None, None] + params["norm"]["bias"][None, None]
    np.testing.assert_allclose(tokens, expected, atol=1e-4)


def test_starting_values():
    made = quick_jit(module(True).init)(
        jax.random.key(0), TOKENS, LOGITS, memory().bank, LOG_WEIGHT, UNIFORM
    )["params"]
    np.testing.assert_allclose(np.exp(made["log_beta"]), 2.0, rtol=1e-6)
    assert made["prior_strength"] == 1.0
    without = parameters_of(module(False), TOKENS, LOGITS, memory().bank, LOG_WEIGHT, UNIFORM)
    assert set(made) - set(without) == {"prior_strength"}
