"""Stage 3: hierarchical compression (emotions → valence groups → one) and the emotion distribution."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from mpcl_jax.config.model import HeadConfig
from mpcl_jax.model.layers import Dense, Dropout, gelu_again


class Compression(nn.Module):
    """Tokens → one token per valence group, or a single one: retrieval with one learned query for each, then an MLP.

    A learned bias, at the start 0 for the emotions of the group and −4 for others, ties each query to its group.
    """

    valence: tuple[
        int, ...
    ] = ()  # valence group of each emotion, 0 … V−1; () for a single query without a bias
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens):
        """`tokens` [B, N, D]. Returns [B, V, D], V = 1 for a single query."""
        width, queries, bias = tokens.shape[-1], 1, 0.0
        if self.valence:
            queries = max(self.valence) + 1
            own = np.asarray(self.valence)[None] == np.arange(queries)[:, None]  # [V, C]
            bias = self.param("bias", lambda key: jnp.where(own, jnp.float32(0.0), -4.0))[None]
        query = self.param("query", nn.initializers.normal(width**-0.5), (queries, width))
        key_value = Dense(2 * width, dtype=self.dtype, name="key_value")(tokens)
        key, value = jnp.split(key_value, 2, axis=-1)
        similarity = jnp.einsum("qd,bnd->bqn", query, key).astype(jnp.float32) / width**0.5 + bias
        pooled = jnp.einsum("bqn,bnd->bqd", jax.nn.softmax(similarity, axis=-1).astype(self.dtype), value)
        hidden = nn.LayerNorm(dtype=self.dtype, name="norm")(pooled)
        hidden = gelu_again(Dense(2 * width, dtype=self.dtype, name="mlp_in")(hidden))
        return pooled + Dense(width, dtype=self.dtype, name="mlp_out")(hidden)


class DistributionHead(nn.Module):
    """`log_probs = log_softmax( b_c + MLP([h_c ; its valence token ; global]) + w_c · global + direct_c )`.

    Every last map is zero and b the log of the mean training label at the start (`start_at_mean`), so the
    untrained model is the train-mean predictor and everything it learns is a deviation from it.
    """

    settings: HeadConfig
    valence: tuple[int, ...]  # valence group of each emotion, 0 … V−1
    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens, wide, *, train: bool):
        """`tokens` [B, C, D] emotion tokens · `wide` [B, G, 2D] group features. Returns [B, C] float32."""
        context, whole = self._compress(tokens)
        emotions, width = tokens.shape[1:]
        spread = jnp.broadcast_to(whole[:, None], tokens.shape)
        joined = jnp.concatenate([tokens, *context, spread], axis=-1)
        hidden = gelu_again(Dense(width, dtype=self.dtype, name="mlp_in")(joined))
        hidden = Dropout(self.dropout)(hidden, train=train)
        zeros = nn.initializers.zeros
        logits = self.param("bias", zeros, (emotions,)).astype(self.dtype)[None]
        own = Dense(1, use_bias=False, kernel_init=zeros, dtype=self.dtype, name="mlp_out")(hidden)
        logits += own[..., 0] + self._linear("from_global", emotions)(whole)
        if self.settings.direct:
            wide = Dropout(self.dropout)(rearrange(wide, "b g d -> b (g d)"), train=train)
            logits += self._linear("direct", emotions)(wide)
        return jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)

    def _linear(self, name, emotions):
        zeros = nn.initializers.zeros
        return Dense(emotions, use_bias=False, kernel_init=zeros, dtype=self.dtype, name=name)

    def _compress(self, tokens):
        """The tokens between emotions and the whole ([B, C, D] each, maybe none), and the whole [B, D]."""
        if self.settings.hierarchy == "mean":
            return (), tokens.mean(axis=1)
        globally = Compression(dtype=self.dtype, name="globally")
        if self.settings.hierarchy == "flat":
            return (), globally(tokens)[:, 0]
        by_valence = Compression(self.valence, dtype=self.dtype, name="by_valence")(tokens)
        return (by_valence[:, np.asarray(self.valence)],), globally(by_valence)[:, 0]


def start_at_mean(params: dict, label_mean) -> dict:
    """`params` of a model whose head predicts `label_mean` [C] (>= 0, sum 1) before any training."""
    bias = jnp.log(jnp.maximum(label_mean, 1e-6))  # an emotion that was never reported stays possible
    return {**params, "head": {**params["head"], "bias": bias}}
