"""Encoders: each modality becomes a few tokens of the common width (design, see docs/method.md, Input)."""

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange

from mpcl_jax.model.layers import Dense, Dropout


class ModalityEncoder(nn.Module):
    """Maps all features of one modality at once to `tokens` tokens of width `width`.

    Dense(tokens · width), gelu, Dense(width) per token. There is no normalisation of the raw features: a
    LayerNorm of single raw tokens loses what separates two clips (measured, docs/method.md).
    """

    width: int  # D
    tokens: int  # N_m
    dropout: float  # of the tokens
    input_dropout: float  # of the features
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, signal, present, *, train: bool):
        """`signal` [B, T_m, F_m] z-scored · `present` [B] bool. Returns [B, N_m, D].

        The content of an absent modality is replaced by zeros before anything is computed from it.
        """
        signal = jnp.where(present[:, None, None], signal, 0.0)
        flat = rearrange(signal, "b t f -> b (t f)")
        flat = Dropout(self.input_dropout)(flat, train=train)
        hidden = nn.gelu(Dense(self.tokens * self.width, dtype=self.dtype, name="spread")(flat))
        hidden = rearrange(hidden, "b (n d) -> b n d", n=self.tokens)
        tokens = Dense(self.width, dtype=self.dtype, name="token")(hidden)
        return Dropout(self.dropout)(tokens, train=train)
