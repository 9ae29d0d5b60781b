"""Stage 2b: prototype relation distillation, which aligns the two modality groups in the space of prototypes."""

import jax
import jax.numpy as jnp
from einops import rearrange


def log_relations(logits):
    """`log r_g = log_softmax_(c,k)(s'_g)`: the relation of each sample to all C·K prototypes of one bank.

    `logits` [B, G, C, K] `s' = s + log π`. Returns [B, G, C·K]; entries of the two groups correspond: slots are
    paired.
    """
    return jax.nn.log_softmax(rearrange(logits, "b g c k -> b g (c k)"), axis=-1)


def relation_distillation(logits, present):
    """`½ [KL(sg r_p ‖ r_b) + KL(sg r_b ‖ r_p)]` per sample, 0 where a group is missing.

    Each group is student and teacher in turn; no gradient reaches a teacher. `logits` [B, 2, C, K] ·
    `present` [B, 2] bool. Returns [B].
    """
    log_r = log_relations(logits)
    teacher = jax.lax.stop_gradient(log_r)
    divergence = jnp.sum(jnp.exp(teacher) * (teacher - log_r[:, ::-1]), axis=-1)  # [B, G]
    return jnp.where(present.all(axis=1), 0.5 * divergence.sum(axis=1), 0.0)
