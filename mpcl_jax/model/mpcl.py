"""MPCL: the stages in the order of the paper (arXiv 2602.20530). Start reading here."""

import chex
import flax.linen as nn
import jax.numpy as jnp

from mpcl_jax.config.model import ModelConfig
from mpcl_jax.model.cooccurrence import CooccurrenceRetrieval
from mpcl_jax.model.distribution_head import DistributionHead
from mpcl_jax.model.encoders import ModalityEncoder
from mpcl_jax.model.fusion import MultiScaleFusion, unit
from mpcl_jax.model.outputs import MPCLOutput, Prototypes
from mpcl_jax.model.prototypes import (
    PrototypeReading,
    init_prototypes,
    log_mixture_weights,
    recall_absent,
    similarities,
)
from mpcl_jax.types import Batch, DataSpec, groups_in


class MPCL(nn.Module):
    """Signals in, emotion distribution out; the collection `prototypes` is read and never written."""

    settings: ModelConfig
    groups: tuple[tuple[str, str], ...]  # (modality, group) in a fixed order
    valence: tuple[int, ...]  # valence group of each of the C emotions, 0 … V−1
    dtype: jnp.dtype = jnp.float32

    @property
    def modality_groups(self) -> tuple[str, ...]:
        """The modality groups of the data set, axis G of everything: one or two of `types.GROUPS`."""
        return groups_in(dict(self.groups))

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> MPCLOutput:
        """`batch.labels` and `batch.weight` are not used. `train` switches dropout, nothing else."""
        settings, emotions = self.settings, len(self.valence)
        chex.assert_rank(list(batch.signals.values()), 3)

        # Stage 1: modalities -> tokens -> one feature and one query per group.
        tokens, present = self._encode(batch, train)
        fused = MultiScaleFusion(
            settings.fusion, settings.width, settings.dropout, dtype=self.dtype, name="fusion"
        )(tokens, present, train=train)

        # Stage 2a: similarities of the queries to the prototypes of the banks.
        memory, query, similarity, logits = None, fused.query, None, None
        if settings.memory.enabled:
            memory = self._memory()
            mass = memory.mass if settings.memory.mixture_weights else jnp.ones_like(memory.mass)
            log_weight = log_mixture_weights(mass)
            temperature = settings.memory.temperature
            if settings.memory.recall and len(self.modality_groups) == 2:
                query = recall_absent(query, fused.present, memory.bank, log_weight, temperature)
            else:
                query = jnp.where(fused.present[..., None], query, 0.0)
            similarity = similarities(query, memory.bank, temperature)
            logits = similarity + log_weight[None]
        emotion_tokens = PrototypeReading(emotions, settings.dropout, dtype=self.dtype, name="reading")(
            fused.feature, logits, train=train
        )

        # Stage 2c: what each emotion retrieves. (Stage 2b, relation distillation, is a loss.)
        if settings.cooccurrence.enabled:
            emotion_tokens, retrieved = CooccurrenceRetrieval(
                settings.cooccurrence, dtype=self.dtype, name="cooccurrence"
            )(emotion_tokens, logits, memory.bank, log_weight, memory.cooccurrence)
        else:
            retrieved = jnp.full((fused.query.shape[0], emotions, emotions), 1.0 / emotions)

        # Stage 3: hierarchical compression and the distribution.
        log_probs = DistributionHead(
            settings.head, self.valence, settings.dropout, dtype=self.dtype, name="head"
        )(emotion_tokens, fused.wide, train=train)

        if similarity is None:
            similarity = logits = jnp.zeros((*query.shape[:2], emotions, settings.memory.slots))
        return MPCLOutput(log_probs, query, fused.present, similarity, logits, retrieved)

    def _encode(self, batch, train):
        """Tokens {group: [B, T_g, D]} and whether each is present {group: [B, T_g] bool}."""
        settings, tokens, present = self.settings, {}, {}
        for modality, group in self.groups:
            sizes = settings.width, settings.tokens, settings.dropout, settings.input_dropout
            encoder = ModalityEncoder(*sizes, dtype=self.dtype, name=f"encode_{modality}")
            there = batch.present[modality]
            tokens.setdefault(group, []).append(encoder(batch.signals[modality], there, train=train))
            present.setdefault(group, []).append(jnp.repeat(there[:, None], settings.tokens, axis=1))
        joined = ({g: jnp.concatenate(x, axis=1) for g, x in tree.items()} for tree in (tokens, present))
        return tuple(joined)

    def _memory(self) -> Prototypes:
        memory, width = self.settings.memory, self.settings.width

        def empty():
            key = self.make_rng("params")
            return init_prototypes(key, len(self.modality_groups), len(self.valence), memory.slots, width)

        start = self.variable("prototypes", "memory", empty).value
        if memory.update == "gradient":
            return start._replace(bank=unit(self.param("bank", lambda key: start.bank)))
        return start


def build(settings: ModelConfig, spec: DataSpec, precision: str = "float32") -> MPCL:
    """The model of a data set: valence groups are numbered in the order in which they first appear."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(spec.valence))}
    return MPCL(
        settings=settings,
        groups=tuple(spec.groups.items()),
        valence=tuple(numbers[name] for name in spec.valence),
        dtype=jnp.bfloat16 if precision == "bfloat16" else jnp.float32,
    )
