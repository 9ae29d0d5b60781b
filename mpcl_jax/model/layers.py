"""The two layers that are faster here than Flax's own, with the same results: `Dense` and `Dropout`.

Measured on a CPU with the default settings, batch 128 (docs/speed.md): with this `Dense` a training step takes 34.8
instead of 42.7 ms of processor time; all masks of this `Dropout` in a step take 0.5 instead of 5.6 ms.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp


def product_of_matrices(x, kernel, dimension_numbers, **options):
    """`x` [..., I] times `kernel` [I, O] as `[rows, I] x [I, O]`. Returns [..., O].

    The same sums as `jax.lax.dot_general(x, kernel)`. Its gradient for the kernel contracts one axis instead of
    several, for which XLA would first write transposed copies.
    """
    rows = x.reshape(-1, x.shape[-1])
    one_axis = (((1,), (0,)), ((), ()))
    return jax.lax.dot_general(rows, kernel, one_axis, **options).reshape(*x.shape[:-1], kernel.shape[1])


Dense = partial(nn.Dense, dot_general=product_of_matrices)


class Dropout(nn.Module):
    """Sets each number to zero with probability `rate` and scales the others by `1 / (1 - rate)`.

    The mask is a hash of the position: no random numbers are drawn or stored, and the compiler computes the mask
    where it is used. It depends only on the key, the place of this module and the position, so it is the same on any
    number of devices and for any generator of keys.
    """

    rate: float

    @nn.compact
    def __call__(self, x, *, train: bool):
        """`x` of any shape and floating type. Returns the same; `x` itself where not `train`."""
        if not train or self.rate == 0:
            return x
        seed = jax.random.key_data(self.make_rng("dropout"))[:2]
        kept = hashed_positions(seed, x.shape) >= jnp.uint32(self.rate * 2**32)
        return jnp.where(kept, x / (1.0 - self.rate), jnp.zeros((), x.dtype))


def hashed_positions(seed, shape):
    """Uniform 32-bit numbers `shape`, a function of `seed` [2] uint32 and of the position.

    The finaliser of MurmurHash3 (Appleby, public domain), between the two words of the seed. It is far from
    cryptography and as good as uniform for masks (tests/model/test_layers.py).
    """
    position = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    mixed = position * jnp.uint32(0x9E3779B9) + seed[0]
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
    mixed = ((mixed ^ (mixed >> 13)) + seed[1]) * jnp.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> 16)
