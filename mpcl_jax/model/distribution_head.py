"""Stage 3: hierarchical compression (emotions → valence groups → one) and the emotion distribution."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from mpcl_jax.config.model import HeadConfig
from mpcl_jax.model.layers import Dense, Dropout


class ValenceCompression(nn.Module):
    """Emotion tokens → one token per valence group, by retrieval with one learned query per group.

    A learned bias, at the start 0 for the emotions of the group and −4 for others, ties each query to its group.
    """

    valence: tuple[int, ...]  # valence group of each emotion, 0 … V−1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens):
        """`tokens` [B, C, D]. Returns [B, V, D]."""
        own = np.asarray(self.valence)[None] == np.arange(max(self.valence) + 1)[:, None]  # [V, C]
        bias = self.param("bias", lambda key: jnp.where(own, jnp.float32(0.0), -4.0))
        return _query_pool(self, tokens, own.shape[0], bias[None])


class GlobalCompression(nn.Module):
    """Tokens → one token, by retrieval with one learned query."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens):
        """`tokens` [B, N, D]. Returns [B, D]."""
        return _query_pool(self, tokens, 1, 0.0)[:, 0]


def _query_pool(module, tokens, queries, bias):
    """Retrieval of `tokens` [B, N, D] by learned queries, then an MLP. Returns [B, queries, D]."""
    width = tokens.shape[-1]
    query = module.param("query", nn.initializers.normal(width**-0.5), (queries, width))
    key_value = Dense(2 * width, dtype=module.dtype, name="key_value")(tokens)
    key, value = jnp.split(key_value, 2, axis=-1)
    similarity = jnp.einsum("qd,bnd->bqn", query, key).astype(jnp.float32) / width**0.5 + bias
    pooled = jnp.einsum("bqn,bnd->bqd", jax.nn.softmax(similarity, axis=-1).astype(module.dtype), value)
    hidden = nn.LayerNorm(dtype=module.dtype, name="norm")(pooled)
    hidden = nn.gelu(Dense(2 * width, dtype=module.dtype, name="mlp_in")(hidden))
    return pooled + Dense(width, dtype=module.dtype, name="mlp_out")(hidden)


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
        joined = jnp.concatenate([tokens, *context, _spread(whole, emotions)], axis=-1)
        hidden = nn.gelu(Dense(width, dtype=self.dtype, name="mlp_in")(joined))
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
        if self.settings.hierarchy == "flat":
            return (), GlobalCompression(dtype=self.dtype, name="globally")(tokens)
        by_valence = ValenceCompression(self.valence, dtype=self.dtype, name="by_valence")(tokens)
        whole = GlobalCompression(dtype=self.dtype, name="globally")(by_valence)
        return (by_valence[:, np.asarray(self.valence)],), whole


def _spread(whole, emotions):
    return jnp.broadcast_to(whole[:, None], (whole.shape[0], emotions, whole.shape[-1]))


def start_at_mean(params: dict, label_mean) -> dict:
    """`params` of a model whose head predicts `label_mean` [C] (>= 0, sum 1) before any training."""
    bias = jnp.log(jnp.maximum(label_mean, 1e-6))  # an emotion that was never reported stays possible
    return {**params, "head": {**params["head"], "bias": bias}}
