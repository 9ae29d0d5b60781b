"""The objective: `L = KL(y ‖ p) + ρ (λ_prd L_prd + λ_proto L_proto + λ_co L_co)`, each term named.

Every term is a pure function that returns one value per sample; `loss_terms` weighs samples, `total_loss` terms.
"""

import dataclasses

import jax
import jax.numpy as jnp

from mpcl_jax.config.model import LossConfig, ModelConfig
from mpcl_jax.labels import evidence_of
from mpcl_jax.model.outputs import MPCLOutput
from mpcl_jax.model.prototypes import emotion_logits
from mpcl_jax.model.relation_distillation import relation_distillation
from mpcl_jax.types import Batch


def active_weights(weights: LossConfig, model: ModelConfig, groups: int) -> LossConfig:
    """`weights` without the terms of what is absent: parts that are switched off, a second one of `groups`."""
    if not model.memory.enabled:
        return dataclasses.replace(weights, relation_distillation=0.0, prototype=0.0, cooccurrence=0.0)
    if groups == 1:  # distillation relates one group to the other
        weights = dataclasses.replace(weights, relation_distillation=0.0)
    return weights if model.cooccurrence.enabled else dataclasses.replace(weights, cooccurrence=0.0)


def auxiliary_share(weights: LossConfig, step):
    """`ρ = min(1, (step + 1) / aux_warmup_steps)`: the warm-up of the three auxiliary losses; `step` from 0 on.

    Returns a scalar in (0, 1]; the number 1 itself without a warm-up.
    """
    return jnp.minimum(1.0, (step + 1) / weights.aux_warmup_steps) if weights.aux_warmup_steps else 1.0


def kl_divergence(labels, log_probs):
    """`Σ_c y_c (log y_c − log p_c)` over the last axis; an entry y = 0 contributes 0, with a finite gradient.

    `labels` [..., C] rows sum to 1 · `log_probs` [..., C]. Returns [...].
    """
    safe = jnp.where(labels > 0, labels, 1.0)
    return jnp.sum(jnp.where(labels > 0, labels * (jnp.log(safe) - log_probs), 0.0), axis=-1)


def prototype_loss(logits, evidence, present):
    """`Σ_g − Σ_c e_c log softmax_c(logsumexp_k s'_g)`: a query lies nearest to the prototypes of its emotions.

    `logits` [B, G, C, K] · `evidence` [B, C] · `present` [B, G] bool: an absent group adds 0. Returns [B].
    """
    log_near = jax.nn.log_softmax(emotion_logits(logits), axis=-1)  # [B, G, C]
    return jnp.sum(jnp.where(present, -jnp.einsum("bc,bgc->bg", evidence, log_near), 0.0), axis=1)


def cooccurrence_loss(cooccurrence_map, evidence):
    """`Σ_c e_c KL(e ‖ M_c)`: an emotion that is present must retrieve those present with it.

    `cooccurrence_map` [B, C, C] rows sum to 1 · `evidence` [B, C] rows sum to 1, or to 0 for a flat label,
    whose loss is 0. Returns [B].
    """
    log_map = jnp.log(jnp.maximum(cooccurrence_map, 1e-12))
    return jnp.sum(evidence * kl_divergence(evidence[:, None], log_map), axis=-1)


def loss_terms(output: MPCLOutput, batch: Batch, weights: LossConfig, evidence_kind: str) -> dict:
    """Every term by name, without its weight: the mean over samples of weight 1. A term of weight 0 is left out."""
    samples = jnp.maximum(batch.weight.sum(), 1.0)

    def mean(per_sample):
        return jnp.sum(batch.weight * per_sample) / samples

    evidence = evidence_of(batch.labels, evidence_kind)
    terms = {"distribution": mean(kl_divergence(batch.labels, output.log_probs))}
    if weights.relation_distillation > 0:
        terms["relation_distillation"] = mean(relation_distillation(output.logits, output.present))
    if weights.prototype > 0:
        terms["prototype"] = mean(prototype_loss(output.logits, evidence, output.present))
    if weights.cooccurrence > 0:
        terms["cooccurrence"] = mean(cooccurrence_loss(output.cooccurrence_map, evidence))
    return terms


def total_loss(terms: dict, weights: LossConfig, share=1.0):
    """`L`, the weighted sum of `terms`; `share` [] is the `auxiliary_share` ρ of all but the distribution's."""
    auxiliary = [getattr(weights, name) * x for name, x in terms.items() if name != "distribution"]
    return terms["distribution"] + share * sum(auxiliary)
