"""The head: a distribution, starting at the mean label, through each of the three hierarchies."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import all_finite, parameters_of, quick_jit

from mpcl_jax.config.model import HeadConfig
from mpcl_jax.model.distribution_head import Compression, DistributionHead
from mpcl_jax.model.losses import kl_divergence

pytestmark = pytest.mark.usefixtures("strict_shapes")

VALENCE = (0, 1, 0, 1)
RNG = np.random.default_rng(0)
TOKENS = RNG.normal(size=(3, 4, 8)).astype(np.float32)
WIDE = RNG.normal(size=(3, 2, 16)).astype(np.float32)
HIERARCHIES = ("valence", "flat", "mean")


@functools.cache
def head(hierarchy="valence", direct=True, dropout=0.0):
    module = DistributionHead(HeadConfig(hierarchy, direct), VALENCE, dropout)
    return module, parameters_of(module, TOKENS, WIDE, train=False)


def gelu(x):
    return np.asarray(jax.nn.gelu(x))


def pooled(params, tokens, bias):
    """`softmax(query · key / √8 + bias) · value`, then `x + MLP(LN x)`, in NumPy."""
    key, value = np.split(tokens @ params["key_value"]["kernel"] + params["key_value"]["bias"], 2, axis=-1)
    strength = np.exp(np.einsum("qd,bnd->bqn", params["query"], key) / np.sqrt(8.0) + bias)
    x = np.einsum("bqn,bnd->bqd", strength / strength.sum(-1, keepdims=True), value)
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    normed = normed * params["norm"]["scale"] + params["norm"]["bias"]
    hidden = gelu(normed @ params["mlp_in"]["kernel"] + params["mlp_in"]["bias"])
    return x + hidden @ params["mlp_out"]["kernel"] + params["mlp_out"]["bias"]


def in_numpy(params, hierarchy):
    if hierarchy == "valence":
        levels = pooled(params["by_valence"], TOKENS, params["by_valence"]["bias"])  # [B, V, D]
        whole = pooled(params["globally"], levels, 0.0)
        context = [levels[:, list(VALENCE)]]
    else:
        whole = (
            TOKENS.mean(1, keepdims=True) if hierarchy == "mean" else pooled(params["globally"], TOKENS, 0.0)
        )
        context = []
    joined = np.concatenate([TOKENS, *context, np.repeat(whole, 4, axis=1)], axis=-1)
    hidden = gelu(joined @ params["mlp_in"]["kernel"] + params["mlp_in"]["bias"])
    logits = params["bias"] + (hidden @ params["mlp_out"]["kernel"])[..., 0]
    logits = (
        logits
        + whole[:, 0] @ params["from_global"]["kernel"]
        + WIDE.reshape(3, 32) @ params["direct"]["kernel"]
    )
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_each_hierarchy_follows_its_formula_and_has_finite_gradients(hierarchy):
    module, params = head(hierarchy)
    labels = np.eye(4, dtype=np.float32)[:3]  # one-hot

    @quick_jit
    def run(params, tokens, wide):
        def loss(params, tokens, wide):
            log_probs = module.apply({"params": params}, tokens, wide, train=False)
            return kl_divergence(labels, log_probs).sum(), log_probs

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(params, tokens, wide)

    (_, log_probs), gradient = run(params, TOKENS, WIDE)
    assert log_probs.dtype == jnp.float32
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(log_probs, in_numpy(params, hierarchy), atol=2e-4)
    assert all_finite(gradient)
    # Logits of any size: the gradient stays finite where a probability underflows.
    (_, far), gradient = run({**params, "bias": np.float32([500.0, 0.0, -500.0, 0.0])}, TOKENS, WIDE)
    assert all_finite((far, gradient))
    np.testing.assert_allclose(np.exp(far).sum(-1), 1.0, rtol=1e-5)


def test_each_valence_query_prefers_its_own_emotions_at_the_start():
    made = quick_jit(Compression(VALENCE).init)(jax.random.key(0), TOKENS)["params"]
    assert np.asarray(made["bias"]).tolist() == [[0.0, -4.0, 0.0, -4.0], [-4.0, 0.0, -4.0, 0.0]]
