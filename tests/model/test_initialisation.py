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


class Several(nn.Module):
    """One loop draws the kernels of the first two layers (600 and 840 numbers), another that of the third (21)."""

    of: type

    @nn.compact
    def __call__(self, x):
        """The result is not looked at."""
        x = self.of(120, name="wide")(x)
        x = self.of(7, name="narrow")(x)
        return self.of(3, use_bias=False, name="last")(x)


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg"])
def test_numbers_are_those_of_flax(generator):
    key = jax.random.key(4, impl=generator)
    ours = jax.jit(lambda key: draw_all(Several(Dense).init(key, X)))(key)
    theirs = jax.jit(Several(nn.Dense).init)(key, X)
    one_by_one = nn.meta.unbox(Several(Dense).init(key, X))
    with jax.enable_x64(True):
        with_float64 = draw_all(Several(Dense).init(key, X))
        kernel = nn.meta.unbox(Several(Dense).init(key, X))["params"]["wide"]["kernel"]
    assert kernel.dtype == with_float64["params"]["wide"]["kernel"].dtype == jnp.float32
    for drawn in (ours, one_by_one, with_float64):
        jax.tree.map(np.testing.assert_array_equal, drawn, theirs)
    assert 0.8 < np.std(ours["params"]["wide"]["kernel"]) * 5**0.5 < 1.2


def test_many_trainings_have_each_their_numbers():
    keys = jax.random.split(jax.random.key(1), 3)
    together = jax.vmap(lambda key: draw_all(Several(Dense).init(key, X)))(keys)
    alone = draw_all(Several(Dense).init(keys[2], X))
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
