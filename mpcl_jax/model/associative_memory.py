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

from mpcl_jax.model.layers import Dense


def associate(similarity, stored_present=None):
    """Association of states with stored patterns: `softmax` over the last axis of `similarity` [..., N].

    `stored_present` [..., N] bool, broadcastable: absent patterns get exactly 0, whatever their
    similarity. Where all patterns are absent, the association is 0 everywhere.
    """
    if stored_present is None:
        return jax.nn.softmax(similarity, axis=-1)
    masked = jnp.where(stored_present, similarity, jnp.finfo(similarity.dtype).min)
    return jnp.where(stored_present, jax.nn.softmax(masked, axis=-1), 0.0)


class MultiScaleRetrieval(nn.Module):
    """Retrieval by several heads, each a gated mixture of scales (stage 1).

    `A = Σ_s g_s · softmax(β_s · Q Kᵀ)`, `output = A V W_o`: one projection set serves all scales, only the
    inverse temperature differs. The gate g is computed from the state, so each token chooses its own scale.
    """

    heads: int
    scales: tuple[float, ...]  # inverse temperatures at the start, in units of 1/sqrt(D / heads)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, state, stored, may_recall):
        """`state` [B, T, D] · `stored` [B, N, D] · `may_recall` [B, T, N] bool. Returns [B, T, D]."""
        width, count = state.shape[-1], len(self.scales)
        per_head = width // self.heads
        start = jnp.log(jnp.asarray(self.scales) / per_head**0.5)
        log_beta = self.param("log_beta", lambda key: start)

        query = Dense(width, dtype=self.dtype, name="query")(state)
        key_value = Dense(2 * width, dtype=self.dtype, name="key_value")(stored)
        query = rearrange(query, "b t (h d) -> b h t d", h=self.heads)
        key, value = rearrange(key_value, "b n (two h d) -> two b h n d", two=2, h=self.heads)

        similarity = jnp.einsum("bhtd,bhnd->bhtn", query, key).astype(jnp.float32)
        scaled = jnp.exp(log_beta)[None, None, :, None, None] * similarity[:, :, None]  # [B, H, S, T, N]
        per_scale = associate(scaled, may_recall[:, None, None])
        gate = jnp.ones((1, 1, 1, 1))
        if count > 1:
            gate = Dense(self.heads * count, dtype=self.dtype, name="gate")(state)
            gate = jax.nn.softmax(rearrange(gate, "b t (h s) -> b h s t", h=self.heads), axis=2)
            gate = gate.astype(jnp.float32)
            association = jnp.einsum("bhst,bhstn->bhtn", gate, per_scale)
        else:
            association = per_scale[:, :, 0]
        if self.is_mutable_collection("intermediates"):  # only on request (`recall.py`)
            self.sow("intermediates", "association", (gate[..., None] * per_scale).mean(1))  # [B, S, T, N]
        recalled = jnp.einsum("bhtn,bhnd->bhtd", association.astype(self.dtype), value)
        return Dense(width, dtype=self.dtype, name="output")(rearrange(recalled, "b h t d -> b t (h d)"))
