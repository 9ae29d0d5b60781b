"""Layers and products that are faster on a CPU than those of Flax and JAX, with the same results.

docs/speed.md says what each of them gains.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

from mpcl_jax.model.initialisation import lecun_normal


def product_of_matrices(x, kernel, dimension_numbers, **options):
    """`x` [..., I] times `kernel` [I, O] as `[rows, I] x [I, O]`. Returns [..., O].

    The same sums as `jax.lax.dot_general(x, kernel)`. Its gradient for the kernel contracts one axis instead of
    several, for which XLA would first write transposed copies.
    """
    rows = x.reshape(-1, x.shape[-1])
    one_axis = (((1,), (0,)), ((), ()))
    return jax.lax.dot_general(rows, kernel, one_axis, **options).reshape(*x.shape[:-1], kernel.shape[1])


Dense = partial(nn.Dense, dot_general=product_of_matrices, kernel_init=lecun_normal)

# gelu of the product of an array with three axes. Its gradient computes tanh again: XLA's CPU backend would write the
# gradient over a stored tanh, and such a kernel is not vectorised (six times the time, measured on CPUs alone).
gelu_again = jax.checkpoint(nn.gelu)


class Weights(nn.Module):
    """The parameters of a `Dense`, alone."""

    features: int

    @nn.compact
    def __call__(self, width: int):
        """Returns kernel [width, features] and bias [features]."""
        kernel = self.param("kernel", lecun_normal, (width, self.features))
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


def joined_dense(x, sizes: dict[str, int], dtype) -> list:
    """`Dense(size, name=name)(x)` of each of `sizes`, by one product; inside `nn.compact` alone.

    `x` [..., I]. Returns a list of [..., size].
    """
    weights = [Weights(size, name=name)(x.shape[-1]) for name, size in sizes.items()]
    kernel, bias = (jnp.concatenate(parts, axis=-1) for parts in zip(*weights, strict=True))
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=dtype)
    joined = product_of_matrices(x, kernel, None) + bias.reshape(*[1] * (x.ndim - 1), -1)
    return jnp.split(joined, np.cumsum(list(sizes.values()))[:-1], axis=-1)


@jax.custom_vjp
def rows_by_rows(a, b):
    """`a bᵀ` of many small matrices: `a` [..., T, D] · `b` [..., N, D]. Returns [..., T, N].

    The gradient is the usual one. It transposes a matrix before the product, because XLA's fast products on CPUs
    do not contract the rows of both.
    """
    return jnp.einsum("...td,...nd->...tn", a, b)


@jax.custom_vjp
def rows_by_columns(a, b):
    """`a b` of many small matrices: `a` [..., T, N] · `b` [..., N, D]. Returns [..., T, D]; see `rows_by_rows`."""
    return jnp.einsum("...tn,...nd->...td", a, b)


def _transposed(x):
    # The barrier keeps XLA from merging the transposition with the product.
    return jax.lax.optimization_barrier(jnp.swapaxes(x, -1, -2))


def _both(product):
    return lambda a, b: (product(a, b), (a, b))


def _gradient_of_rows(arrays, of_product):
    a, b = arrays
    of_b = jnp.einsum("...nt,...td->...nd", _transposed(of_product), a)
    return jnp.einsum("...tn,...nd->...td", of_product, b), of_b


def _gradient_of_columns(arrays, of_product):
    a, b = arrays
    of_b = jnp.einsum("...nt,...td->...nd", _transposed(a), of_product)
    return jnp.einsum("...td,...nd->...tn", of_product, b), of_b


rows_by_rows.defvjp(_both(rows_by_rows), _gradient_of_rows)
rows_by_columns.defvjp(_both(rows_by_columns), _gradient_of_columns)


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
