"""Stage 2a: emotion-specific prototype memory banks.

The banks are data, not parameters: the model only reads them, and the train step replaces them by
`update_prototypes` after the gradient. Axis G is physiological, behavioural (`types.GROUPS`), without a group
that the data set does not have. Slot (c, k) of both banks is *paired*: its two prototypes come from the same
samples. So the relations to the two banks are comparable, and one modality group can be recalled from the other.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from mpcl_jax.config.model import MemoryConfig
from mpcl_jax.labels import evidence_of
from mpcl_jax.model.fusion import unit
from mpcl_jax.model.layers import Dense, Dropout
from mpcl_jax.model.outputs import Prototypes

EMPTY = 1e-3  # samples of evidence that a slot without any counts as
HIGHEST = jax.lax.Precision.HIGHEST  # sums that accumulate over a whole training never run in TF32 or bf16


def init_prototypes(key, groups: int, emotions: int, slots: int, width: int) -> Prototypes:
    """Random unit rows without any evidence, and a uniform co-occurrence."""
    shape = (groups, emotions, slots)
    return Prototypes(
        bank=unit(jax.random.normal(key, (*shape, width))),
        mass=jnp.zeros(shape),
        usage=jnp.zeros((emotions, slots)),
        cooccurrence=jnp.full((emotions, emotions), 1.0 / emotions**2, jnp.float32),
    )


def similarities(query, bank, temperature: float):
    """`s_g = q_g · bank_g / τ`. `query` [B, G, D] · `bank` [G, C, K, D]. Returns [B, G, C, K]."""
    return jnp.einsum("bgd,gckd->bgck", query, bank, precision=HIGHEST) / temperature


def log_mixture_weights(mass):
    """`log π_ck`, the log mixture weight: π is the share of the evidence of an emotion that its slot k holds.

    The row of a slot without evidence is noise, and a query is always close to one of several such rows: with equal
    weights, unused prototypes dominate the log-sum-exp (docs/method_study.md).
    `mass` [G, C, K]. Returns [G, C, K] <= 0; log(1/K) where an emotion has no evidence yet, 0 where K = 1.
    """
    held = mass + EMPTY
    return jnp.log(held / held.sum(axis=-1, keepdims=True))


def assign(similarity, present, *, paired: bool):
    """Soft assignment of each sample to the K slots of each emotion, `softmax_k`.

    `similarity` [B, G, C, K] · `present` [B, G] bool. Paired: one assignment from the mean similarity over the
    present groups, the same for both banks. Returns [B, G, C, K], summing to 1 over K.
    """
    if paired:
        there = present[:, :, None, None].astype(similarity.dtype)
        common = (similarity * there).sum(1, keepdims=True) / jnp.maximum(there.sum(1, keepdims=True), 1.0)
        similarity = jnp.broadcast_to(common, similarity.shape)
    return jax.nn.softmax(similarity, axis=-1)


def update_prototypes(
    prototypes: Prototypes, query, labels, weight, present, settings: MemoryConfig
) -> Prototypes:
    """Moves each prototype towards the queries it explains, by one batch.

    `bank ← unit(μ' bank + (1 − μ') mean)` with `mean = Σ_i a_i q_i / Σ_i a_i`, the assignment
    `a_ck = weight · e_c^power · softmax_k`, and `μ' = μ^min(mass, 1)`: a slot without evidence keeps its row bit
    for bit. A power above 1 gives clear samples more weight: otherwise slots split by the other emotions of a sample.
    With `start = "evidence"` also `μ' <= n / (n + mass)`, n the mass collected so far: the running mean
    of all evidence until it is as long as the window of the momentum, and the first evidence replaces noise.
    Momentum 1 moves nothing, whatever the start. Evidence that cancels out (or comes from queries that are
    zero) has no direction: the row stays.

    `query` [B, G, D] unit rows, no gradient is needed · `labels` [B, C] · `weight` [B], 0 for padding ·
    `present` [B, G] bool: an absent group is no evidence. All sums run over the whole batch, so the result is
    the same on one device and on many.
    """
    if settings.momentum == 1:
        return prototypes
    query = jax.lax.stop_gradient(query)
    evidence = weight[:, None] * evidence_of(labels, settings.evidence)  # [B, C]
    similarity = similarities(query, prototypes.bank, settings.temperature)
    sharper = similarity * (settings.temperature / settings.assign_temperature)
    clear = (evidence**settings.evidence_power)[:, None, :, None]
    assigned = assign(sharper, present, paired=settings.paired) * clear
    seen = assigned * present[:, :, None, None]  # [B, G, C, K]
    mass = seen.sum(0)
    keep = settings.momentum ** jnp.minimum(mass, 1.0)
    if settings.start == "evidence":
        keep = jnp.minimum(keep, prototypes.mass / jnp.maximum(prototypes.mass + mass, 1e-12))
    total = jnp.einsum("bgck,bgd->gckd", seen, query, precision=HIGHEST)
    mean = total / jnp.maximum(mass, 1e-12)[..., None]
    moved = unit(keep[..., None] * prototypes.bank + (1.0 - keep[..., None]) * mean)
    moves = (mass > 0)[..., None] & (moved != 0).any(axis=-1, keepdims=True)
    bank = jnp.where(moves, moved, prototypes.bank)

    usage, cooccurrence = _count(prototypes, evidence, assigned.mean(1).sum(0), weight, settings)
    updated = Prototypes(bank, prototypes.mass + mass, usage, cooccurrence)
    return _reseed(updated, query, evidence, similarity, present, settings)


def _count(prototypes, evidence, assigned, weight, settings):
    """Moving averages of slot usage [C, K] and, with the banks' momentum, of emotion co-occurrence [C, C]."""
    samples = weight.sum()
    # The first evidence replaces the uniform start, as it does in the banks; without samples all stays.
    first = (prototypes.mass.sum() == 0) & (samples > 0)
    keep_usage, keep = (
        jnp.where(first, 0.0, jnp.where(samples > 0, momentum, 1.0))
        for momentum in (settings.usage_momentum, settings.momentum)
    )
    usage = keep_usage * prototypes.usage + (1.0 - keep_usage) * assigned / jnp.maximum(samples, 1.0)
    # A weight is 0 or 1, so both factors may carry it.
    pairs = jnp.einsum("bc,bd->cd", evidence, evidence, precision=HIGHEST)
    pairs_total = pairs.sum()
    keep = jnp.where(pairs_total > 0, keep, 1.0)
    cooccurrence = keep * prototypes.cooccurrence + (1.0 - keep) * pairs / jnp.maximum(pairs_total, 1e-12)
    return usage, cooccurrence


def _reseed(prototypes, query, evidence, similarity, present, settings) -> Prototypes:
    """Gives the least used slot of an emotion, if it is dead, the sample that this emotion explains worst.

    Banks trained by gradient cannot be re-seeded here: the train step replaces them by the parameters.
    """
    if settings.reseed_below == 0 or settings.slots == 1 or settings.update == "gradient":
        return prototypes
    average = prototypes.usage.mean(axis=1)  # [C]
    weakest = prototypes.usage.argmin(axis=1)  # [C]
    dead = prototypes.usage.min(axis=1) < settings.reseed_below * average
    cosine = (similarity * settings.temperature).mean(1).max(-1)  # [B, C], of the best slot
    complete = present.all(axis=1)[:, None]
    badly_explained = jnp.where(complete, evidence * (1.0 - cosine), 0.0)
    sample = badly_explained.argmax(axis=0)  # [C]
    chosen = dead & (badly_explained.max(axis=0) > 0)
    here = chosen[:, None] & (jnp.arange(settings.slots)[None] == weakest[:, None])  # [C, K]
    seeds = jnp.moveaxis(query[sample], 0, 1)[:, :, None, :]  # [G, C, 1, D]
    worth = evidence[sample, jnp.arange(len(sample))][:, None]  # [C, 1]
    return prototypes._replace(
        bank=jnp.where(here[None, ..., None], seeds, prototypes.bank),
        mass=jnp.where(here[None], worth[None], prototypes.mass),
        usage=jnp.where(here, average[:, None], prototypes.usage),
    )


def emotion_logits(logits):
    """`logsumexp_k(s'_g)`: one logit per emotion from those of its prototypes. [B, G, C, K] to [B, G, C]."""
    return jax.nn.logsumexp(logits, axis=-1)


def recall_absent(query, present, bank, log_weight, temperature: float):
    """Fills in the query of an absent group of two: the relation of the other group reads the bank of the absent one.

    `q_absent = unit(Σ_ck r_ck bank_absent,ck)` with `r = softmax_(c,k)(s'_other)`, possible because slots are
    paired. `query` [B, G, D] · `present` [B, G] bool · `bank` [G, C, K, D] · `log_weight` [G, C, K]. Returns
    [B, G, D]; present queries are unchanged.
    """
    logits = similarities(query, bank, temperature) + log_weight[None]
    relation = rearrange(logits, "b g c k -> b g (c k)")
    relation = jax.nn.softmax(relation, axis=-1)[:, ::-1]  # of the other group
    recalled = unit(jnp.einsum("bgn,gnd->bgd", relation, rearrange(bank, "g c k d -> g (c k) d")))
    there = present[..., None]
    return jnp.where(there, query, jnp.where(there[:, ::-1], recalled, 0.0))


class PrototypeReading(nn.Module):
    """One token per emotion: the logits of its prototypes, added to the fused features.

    `h_c = LN( Σ_g [ W_q z_g + w_r · logsumexp_k(s'_g) ] + embedding_c )`

    Each modality group gives one number per emotion, the log-sum-exp. A mixture of the prototypes themselves (D
    numbers) only gave the head more to overfit (measured, docs/method.md, 2a).
    """

    emotions: int
    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, feature, logits, *, train: bool):
        """`feature` [B, G, D] · `logits` [B, G, C, K] `s' = s + log π`, or None. Returns [B, C, D].

        Without a memory (`logits` None) the tokens hold the fused features and the emotion embeddings.
        """
        width = feature.shape[-1]
        embedding = self.param("emotion", nn.initializers.normal(1.0), (self.emotions, width))
        flat = rearrange(feature, "b g d -> b (g d)")
        common = Dense(width, dtype=self.dtype, name="from_feature")(flat)
        tokens = common[:, None] + embedding.astype(self.dtype)[None]
        if logits is not None:
            strength = rearrange(emotion_logits(logits), "b g c -> b c g")
            tokens += Dense(width, use_bias=False, dtype=self.dtype, name="from_strength")(strength)
        tokens = nn.LayerNorm(dtype=self.dtype, name="norm")(tokens)
        return Dropout(self.dropout)(tokens, train=train)
