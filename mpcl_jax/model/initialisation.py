"""Random weights, drawn for all layers by a few loops.

XLA expands each draw to hundreds of instructions, and one draw for each of thirty layers took a quarter of the time
that a training needs to compile. A loop draws for many layers with one such body, and gives the same numbers: with
`jax_threefry_partitionable` (`jax_settings.py`) a shorter array is the beginning of a longer one with the same key.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

STANDARD_DEVIATION = 0.87962566103423978  # of a standard normal distribution that is cut off at ±2


class Undrawn(flax.struct.PyTreeNode, nn.meta.AxisMetadata[jax.Array]):
    """The kernel of a layer before its numbers are drawn: what `init` of a module returns in its place.

    `flax.linen.meta.unbox` draws one array at a time, `draw_all` all of a model.
    """

    zeros: jax.Array  # first: Flax compares its shape with that of the kernel that a trained model has
    key: jax.Array  # of random numbers

    def unbox(self) -> jax.Array:
        """The kernel, as `flax.linen.initializers.lecun_normal` draws it."""
        return nn.initializers.lecun_normal()(self.key, self.zeros.shape)

    def replace_boxed(self, val: Any) -> Any:
        """The array itself: what is drawn needs no key any more."""
        return val

    def add_axis(self, index: int, params: dict) -> "Undrawn":
        """Layers are not stacked."""
        raise NotImplementedError

    remove_axis = add_axis


def lecun_normal(key: jax.Array, shape: tuple[int, ...], dtype: Any = None) -> Undrawn:
    """An initialiser of Flax for kernels [inputs, outputs]: variance 1 / inputs, normal, cut off at ±2 deviations."""
    return Undrawn(jnp.zeros(shape, jnp.float32), key)


def _normal(key, count: int):
    """[count] numbers of a standard normal distribution that is cut off at ±2."""
    return jax.random.truncated_normal(key, -2.0, 2.0, (count,), jnp.float32)


def draw_all(variables):
    """`variables` of `init` with an array in the place of each `Undrawn`."""
    leaves, form = jax.tree.flatten(variables, is_leaf=lambda x: isinstance(x, Undrawn))
    by_size = {}
    for place, leaf in enumerate(leaves):
        if isinstance(leaf, Undrawn):
            # Sizes up to a power of four together: a loop draws as many numbers for each as for the largest.
            by_size.setdefault((math.prod(leaf.zeros.shape) - 1).bit_length() // 2, []).append(place)
    for places in by_size.values():
        most = max(math.prod(leaves[place].zeros.shape) for place in places)
        keys = jnp.stack([leaves[place].key for place in places])
        rows = jax.lax.map(partial(_normal, count=most), keys)
        for place, row in zip(places, rows, strict=True):
            shape = leaves[place].zeros.shape
            deviation = jnp.sqrt(jnp.float32(1 / shape[-2])) / jnp.float32(STANDARD_DEVIATION)
            leaves[place] = row[: math.prod(shape)].reshape(shape) * deviation
    return form.unflatten(leaves)
