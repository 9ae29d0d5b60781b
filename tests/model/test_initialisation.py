"""Kernels drawn by loops are those that Flax draws one by one."""

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import quick_jit

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
    ours = quick_jit(lambda key: draw_all(Several(Dense).init(key, X)))(key)
    theirs = quick_jit(Several(nn.Dense).init)(key, X)
    one_by_one = quick_jit(lambda key: nn.meta.unbox(Several(Dense).init(key, X)))(key)
    for drawn in (ours, one_by_one):
        jax.tree.map(np.testing.assert_array_equal, drawn, theirs)
    assert 0.8 < np.std(ours["params"]["wide"]["kernel"]) * 5**0.5 < 1.2


@pytest.mark.parametrize("draw", [draw_all, nn.meta.unbox])
def test_numbers_are_float32_whatever_the_default(draw):
    def drawn():
        return quick_jit(lambda key: draw(Several(Dense).init(key, X)))(jax.random.key(4))

    here = drawn()
    with jax.enable_x64(True):
        jax.tree.map(np.testing.assert_array_equal, drawn(), here)
        assert drawn()["params"]["wide"]["kernel"].dtype == jnp.float32


def test_many_trainings_have_each_their_numbers():
    keys = jax.random.split(jax.random.key(1), 3)
    draw = lambda key: draw_all(Several(Dense).init(key, X))  # noqa: E731
    together, alone = quick_jit(jax.vmap(draw))(keys), quick_jit(draw)(keys[2])
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
