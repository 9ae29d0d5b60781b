"""Stage 2c: memory retrieval of co-occurrence: which emotions each emotion retrieves in this sample."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from mpcl_jax.config.model import CooccurrenceConfig
from mpcl_jax.model.fusion import unit
from mpcl_jax.model.layers import Dense
from mpcl_jax.model.prototypes import emotion_logits

RARE = 1e-3  # a pair that was never reported stays possible, at about one in a thousand


class CooccurrenceRetrieval(nn.Module):
    """Emotion tokens recall all prototypes of both banks, guided by the remembered co-occurrence.

    `A = softmax(β_c · unit(W h) bankᵀ + log π + a · log prior)`, a = 1 at the start; summed over groups and
    slots it is the co-occurrence map M. The emotions are weighted by their logits,
    `near = softmax_c(mean_g logsumexp_k s'_g)`; what they retrieve together, `m = nearᵀ M`, enriches each token:
    `h_c ← LN(h_c + w_m · log m_c)`.
    """

    settings: CooccurrenceConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens, logits, bank, log_weight, cooccurrence):
        """`tokens` [B, C, D] · `logits` [B, G, C, K] · `bank` [G, C, K, D] unit rows · `log_weight` [G, C, K] ·
        `cooccurrence` [C, C].

        Returns the enriched tokens [B, C, D] and the map [B, C, C], whose rows sum to 1.
        """
        width, groups, slots = tokens.shape[-1], bank.shape[0], bank.shape[2]
        stored = rearrange(bank, "g c k d -> (g c k) d")
        state = Dense(width, use_bias=False, dtype=self.dtype, name="state")(tokens)
        log_beta = self.param("log_beta", lambda key: jnp.log(jnp.float32(self.settings.beta)))
        scores = jnp.exp(log_beta) * jnp.einsum("bcd,nd->bcn", unit(state.astype(jnp.float32)), stored)
        scores += rearrange(log_weight, "g c k -> (g c k)")[None, None]
        if self.settings.prior:
            strength = self.param("prior_strength", nn.initializers.ones, ())
            conditional = cooccurrence / jnp.maximum(cooccurrence.sum(axis=1, keepdims=True), 1e-12)
            prior = strength * jnp.log(conditional + RARE)  # [C, C']
            scores += jnp.tile(jnp.repeat(prior, slots, axis=1), (1, groups))[None]
        association = jax.nn.softmax(scores, axis=-1)
        per_emotion = rearrange(association, "b c (g e k) -> b c g e k", g=groups, k=slots)
        self.sow("intermediates", "association", per_emotion)  # kept only on request (`recall.py`)
        retrieved = per_emotion.sum(axis=(2, 4))  # [B, C, C]
        near = jax.nn.softmax(emotion_logits(logits).mean(axis=1), axis=-1)
        together = jnp.log(jnp.einsum("bc,bce->be", near, retrieved) + RARE)
        added = Dense(width, use_bias=False, dtype=self.dtype, name="called")(together[..., None])
        return nn.LayerNorm(dtype=self.dtype, name="norm")(tokens + added), retrieved
