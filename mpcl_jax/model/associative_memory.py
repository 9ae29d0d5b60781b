"""Associative memory: retrieval of stored patterns by a state pattern, at several scales at once.

Modern Hopfield retrieval (Ramsauer et al. 2021) in the words of that field: a *state pattern* recalls a
mixture of *stored patterns*; the *association* is the share of each. The inverse temperature beta sets the
scale of what is recalled: the average of all patterns when it is small, a single pattern when it is large, a
cluster of similar patterns in between.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from mpcl_jax.model.layers import Dense, joined_dense, rows_by_columns, rows_by_rows

# Similarity of a pattern that a state may not recall; finite, because the gradient multiplies it by 0.
FORBIDDEN = -1e30


def association_by_scale(similarity, beta, gate, may_recall):
    """`g_s · softmax(β_s · similarity)` over the last axis of each scale s, a list of [..., T, N].

    `similarity` [..., T, N] · `beta` S numbers > 0 · `gate` S arrays [..., T] · `may_recall` [..., T, N] bool,
    broadcastable: other patterns get exactly 0, whatever their similarity. A state that may recall nothing gets
    0 everywhere. The largest similarity is subtracted once for all scales, which changes no softmax.
    """
    largest = jnp.where(may_recall, similarity, FORBIDDEN).max(axis=-1, keepdims=True)
    below = jnp.where(may_recall, similarity - jax.lax.stop_gradient(largest), FORBIDDEN)
    found = []
    for beta_s, gate_s in zip(beta, gate, strict=True):
        strength = jnp.exp(beta_s * below)
        total = strength.sum(axis=-1)
        found.append((gate_s / jnp.where(total > 0, total, 1.0))[..., None] * strength)
    return found


class MultiScaleRetrieval(nn.Module):
    """Retrieval among tokens by several heads, each a gated mixture of scales (stage 1).

    `A = Σ_s g_s · softmax(β_s · Q Kᵀ)`, `output = A V W_o`: one projection set serves all scales, only the
    inverse temperature differs. The gate g is computed from the token, so each token chooses its own scale.
    """

    heads: int
    scales: tuple[float, ...]  # inverse temperatures at the start, in units of 1/sqrt(D / heads)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens, may_recall):
        """`tokens` [B, T, D], states and stored patterns · `may_recall` [B, T, T] bool. Returns [B, T, D]."""
        width, count = tokens.shape[-1], len(self.scales)
        start = jnp.log(jnp.asarray(self.scales) / (width // self.heads) ** 0.5)
        log_beta = self.param("log_beta", lambda key: start)

        sizes = {"query": width, "key_value": 2 * width}
        if count > 1:
            sizes["gate"] = self.heads * count
        query, key_value, *gate = joined_dense(tokens, sizes, self.dtype)
        key, value = jnp.split(key_value, 2, axis=-1)
        query, key, value = (rearrange(x, "b t (h d) -> b h t d", h=self.heads) for x in (query, key, value))
        if count > 1:
            gate = jax.nn.softmax(rearrange(gate[0], "b t (h s) -> s b h t", h=self.heads), axis=0)
        else:
            gate = jnp.ones((1, 1, 1, 1))

        similarity = rows_by_rows(query, key).astype(jnp.float32)  # [B, H, T, T]
        shares = association_by_scale(
            similarity, jnp.exp(log_beta), gate.astype(jnp.float32), may_recall[:, None]
        )
        if self.is_mutable_collection("intermediates"):  # only on request (`recall.py`)
            self.sow("intermediates", "association", jnp.stack(shares, axis=1).mean(2))  # [B, S, T, T]
        recalled = rows_by_columns(sum(shares).astype(self.dtype), value)
        return Dense(width, dtype=self.dtype, name="output")(rearrange(recalled, "b h t d -> b t (h d)"))
