"""The linear layer: Flax's sums and gradients, and a gradient without transposed copies."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpcl_jax.model.dense import Dense

X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5, 3)), jnp.float32)


def value_and_gradients(layer, x):
    kernel = np.random.default_rng(1).normal(size=(3, 4))
    variables = {"params": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.arange(4.0)}}
    return jax.value_and_grad(lambda v, x: jnp.sum(jnp.tanh(layer.apply(v, x))), (0, 1))(variables, x)


@pytest.mark.parametrize("x", [X, X[0], X[0, 0]], ids=["tokens", "rows", "vector"])
def test_equals_the_layer_of_flax(x):
    ours, theirs = value_and_gradients(Dense(4), x), value_and_gradients(nn.Dense(4), x)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_every_product_of_the_gradient_is_one_of_two_matrices():
    """Flax's own layer contracts two axes at once in the gradient for its kernel."""
    ranks = {}
    for layer in (Dense(4), nn.Dense(4)):
        jaxpr = jax.make_jaxpr(lambda x, layer=layer: value_and_gradients(layer, x))(X)
        products = [e for e in jaxpr.eqns if e.primitive.name == "dot_general"]
        ranks[layer.dot_general is None] = {v.aval.ndim for e in products for v in e.invars}
    assert ranks == {False: {2}, True: {2, 3}}


def test_half_precision_stays_half_precision():
    layer = Dense(4, dtype=jnp.bfloat16)
    out = layer.apply(layer.init(jax.random.key(0), X), X)
    assert out.dtype == jnp.bfloat16 and out.shape == (6, 5, 4)
