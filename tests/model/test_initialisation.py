"""Kernels drawn by loops are those that Flax draws one by one."""

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpcl_jax.model.initialisation import draw_all
from mpcl_jax.model.layers import Dense, joined_dense

X = jnp.zeros((2, 5))


@pytest.fixture(scope="module", autouse=True)
def quick_to_compile():
    """Programs and single operations alike, so that both round alike; conftest.py puts the setting back."""
    jax.config.update("jax_disable_most_optimizations", True)


class Several(nn.Module):
    """One loop draws the kernels of the first two layers (600 and 840 numbers), another that of the third (21)."""

    of: type

    @nn.compact
    def __call__(self, x):
        """The result is not looked at."""
        x = self.of(120, name="wide")(x)
        x = self.of(7, name="narrow")(x)
        return self.of(3, use_bias=False, name="last")(x)


def drawn(key):
    """Our kernels, drawn by loops."""
    return draw_all(Several(Dense).init(key, X))


def drawn_one_by_one(key):
    return nn.meta.unbox(Several(Dense).init(key, X))


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg"])
def test_numbers_are_those_of_flax(generator):
    key = jax.random.key(4, impl=generator)
    ours, one_by_one = jax.jit(drawn)(key), drawn_one_by_one(key)
    theirs = jax.jit(Several(nn.Dense).init)(key, X)
    with jax.enable_x64(True):
        with_float64 = drawn(key)
        kernel = drawn_one_by_one(key)["params"]["wide"]["kernel"]
    assert kernel.dtype == with_float64["params"]["wide"]["kernel"].dtype == jnp.float32
    for found in (ours, one_by_one, with_float64):
        jax.tree.map(np.testing.assert_array_equal, found, theirs)
    assert 0.8 < np.std(ours["params"]["wide"]["kernel"]) * 5**0.5 < 1.2


def test_many_trainings_have_each_their_numbers():
    keys = jax.random.split(jax.random.key(1), 3)
    together, alone = jax.vmap(drawn)(keys), drawn(keys[2])
    jax.tree.map(lambda many, one: np.testing.assert_array_equal(many[2], one), together, alone)


def test_a_kernel_of_another_shape_is_refused():
    class Joined(nn.Module):
        size: int

        @nn.compact
        def __call__(self, x):
            return joined_dense(x, {"a": self.size}, jnp.float32)

    for small, large in ((Joined(3), Joined(4)), (Dense(3), Dense(4))):
        variables = draw_all(small.init(jax.random.key(0), X))
        with pytest.raises(flax.errors.ScopeParamShapeError, match="kernel"):
            large.apply(variables, X)
