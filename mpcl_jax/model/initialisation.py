"""Random weights, drawn for all layers by a few loops.

XLA expands each draw to hundreds of instructions, and one draw for each of thirty layers took a quarter of the time
that a training needs to compile. A loop draws for many layers with one such body. It gives the same numbers, because
a shorter array is the beginning of a longer one with the same key. This holds for "threefry2x32" with
`jax_threefry_partitionable` (`train/jax_settings.py`) and, on CPUs as tested, for "rbg". It does not hold for "rbg"
inside `vmap`, which `config/rules.py` refuses.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

STANDARD_DEVIATION = 0.87962566103423978  # of a standard normal distribution that is cut off at ±2


class Undrawn(flax.struct.PyTreeNode, nn.meta.AxisMetadata[jax.Array]):
    """A kernel before its numbers are drawn: `init` of a module returns it in the place of the kernel.

    `draw_all` draws all kernels of a model, `flax.linen.meta.unbox` one at a time. Draw before you take a gradient.
    """

    zeros: (
        jax.Array
    )  # must be the first field: Flax compares the shape of the first leaf with a trained kernel
    key: jax.Array  # of random numbers

    def unbox(self) -> jax.Array:
        """The kernel, as `flax.linen.initializers.lecun_normal` draws it."""
        return nn.initializers.lecun_normal()(self.key, self.zeros.shape, jnp.float32)

    def replace_boxed(self, val: Any) -> Any:
        """The array itself: a kernel with numbers needs no key."""
        return val

    def add_axis(self, index: int, params: dict) -> "Undrawn":
        """Not supported: `nn.scan` and `nn.vmap` would stack layers."""
        raise NotImplementedError

    remove_axis = add_axis


def lecun_normal(key: jax.Array, shape: tuple[int, ...], dtype: Any = None) -> Undrawn:
    """An initialiser of Flax for kernels [inputs, outputs], always float32.

    Normal, cut off at two standard deviations, with variance 1 / inputs.
    """
    return Undrawn(jnp.zeros(shape, jnp.float32), key)


def draw_all(variables):
    """`variables` of `init` with an array in the place of each `Undrawn`."""
    leaves, form = jax.tree.flatten(variables, is_leaf=lambda x: isinstance(x, Undrawn))
    by_size = {}
    for place, leaf in enumerate(leaves):
        if isinstance(leaf, Undrawn):
            # A loop draws as many numbers for each kernel as for its largest: their sizes differ by less than four.
            by_size.setdefault((leaf.zeros.size - 1).bit_length() // 2, []).append(place)
    for places in by_size.values():
        shape = (max(leaves[place].zeros.size for place in places),)
        keys = jnp.stack([leaves[place].key for place in places])
        rows = jax.lax.map(
            lambda key, shape=shape: jax.random.truncated_normal(key, -2.0, 2.0, shape, jnp.float32), keys
        )
        for place, row in zip(places, rows, strict=True):
            zeros = leaves[place].zeros
            deviation = jnp.sqrt(jnp.float32(1 / zeros.shape[-2])) / jnp.float32(STANDARD_DEVIATION)
            leaves[place] = row[: zeros.size].reshape(zeros.shape) * deviation
    return form.unflatten(leaves)
