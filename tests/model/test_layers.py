"""The two layers of our own: the results of Flax's, and masks that are independent of one another."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpcl_jax.model.initialisation import draw_all
from mpcl_jax.model.layers import (
    Dense,
    Dropout,
    hashed_positions,
    joined_dense,
    rows_by_columns,
    rows_by_rows,
)

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


def test_layers_of_one_product_equal_single_layers():
    class Both(nn.Module):
        @nn.compact
        def __call__(self, x):
            return joined_dense(x, {"a": 4, "b": 2}, jnp.float32)

    class Single(nn.Module):
        @nn.compact
        def __call__(self, x):
            return [nn.Dense(4, name="a")(x), nn.Dense(2, name="b")(x)]

    ours, theirs = draw_all(Both().init(jax.random.key(0), X)), Single().init(jax.random.key(0), X)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    ours, theirs = Both().apply(ours, X), Single().apply(ours, X)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(rows_by_rows, lambda a, b: a @ jnp.swapaxes(b, -1, -2)), (rows_by_columns, jnp.matmul)],
)
def test_small_products_have_the_usual_gradient(ours, theirs):
    draw = np.random.default_rng(2)
    a, b = (jnp.asarray(draw.normal(size=(2, 3, 4, 4)), jnp.float32) for _ in range(2))
    found, wanted = (
        jax.value_and_grad(lambda a, b, f=f: jnp.sum(jnp.tanh(f(a, b))), (0, 1))(a, b) for f in (ours, theirs)
    )
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found, wanted)


def test_both_keep_half_precision():
    x = X.astype(jnp.bfloat16)
    dense = Dense(4, dtype=jnp.bfloat16)
    assert dense.apply(dense.init(jax.random.key(0), X), X).dtype == jnp.bfloat16
    assert dropped(0.5, jax.random.key(0), x).dtype == jnp.bfloat16


SHAPE = (64, 32, 40)
COUNT = 64 * 32 * 40


def dropped(rate, key, x):
    return Dropout(rate).apply({}, x, train=True, rngs={"dropout": key})


@pytest.mark.parametrize("generator", ["rbg", "threefry2x32"])
@pytest.mark.parametrize("rate", [0.001, 0.2, 0.9])
def test_each_number_is_dropped_with_the_rate_and_the_mean_is_kept(rate, generator):
    x = np.asarray(dropped(rate, jax.random.key(3, impl=generator), jnp.ones(SHAPE)))
    assert set(np.unique(x)) == {np.float32(0), np.float32(1) / np.float32(1 - rate)}
    spread = np.sqrt(rate * (1 - rate) / COUNT)  # of the share of a binomial
    assert abs((x == 0).mean() - rate) < 4 * spread


def test_a_key_gives_one_mask_another_key_another_and_no_training_none():
    x, key = jnp.ones(SHAPE), jax.random.key(0)
    assert Dropout(0.5).apply({}, x, train=False) is x
    assert Dropout(0.0).apply({}, x, train=True) is x
    first = dropped(0.5, key, x)
    assert (first == dropped(0.5, key, x)).all()
    assert 0.45 < (first == dropped(0.5, jax.random.fold_in(key, 1), x)).mean() < 0.55


# For n independent bits the correlation has a standard deviation of 1/√n: .0035 for 81,920.
@pytest.mark.parametrize("shift", [1, 40, 1280])
def test_masks_of_neighbours_steps_and_folds_are_not_correlated(shift):
    seeds = [jax.random.key_data(jax.random.fold_in(jax.random.key(7), i)) for i in range(2)]
    one, other = (np.asarray(hashed_positions(seed, (COUNT,))) >= 2**31 for seed in seeds)
    for a, b in ((one, np.roll(one, shift)), (one, np.roll(other, shift)), (one, other)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(COUNT)
