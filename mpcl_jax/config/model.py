"""Settings of the model, one field per design choice of docs/method.md, and of its objective."""

import dataclasses

from mpcl_jax.config.fields import (
    SWITCH,
    above,
    below_one,
    between,
    each,
    one_of,
    or_auto,
    part,
    setting,
)


@dataclasses.dataclass(frozen=True)
class FusionConfig:
    """Stage 1: multi-scale associative memory fusion."""

    # Inverse temperatures at the start, in units of 1/sqrt(width of a head); one entry = a single scale.
    scales: tuple[float, ...] = setting((0.25, 1.0, 4.0), each(above(0.0, 1e6), least=1))
    # Heads of every retrieval; the model's width is a multiple of it.
    heads: int = setting(4, between(1, 1024))
    # Tokens may recall those of their own modality group; both off = tokens are only concatenated.
    within_group: bool = setting(True, SWITCH)
    # Tokens may recall those of the other group.
    across_groups: bool = setting(True, SWITCH)
    # Width of the token MLP in units of the model's width.
    mlp_ratio: float = setting(2.0, above(0.0, 64.0))


@dataclasses.dataclass(frozen=True)
class MemoryConfig:
    """Stage 2a: emotion-specific prototype memory banks."""

    # Off: no banks, no retrieval; emotion tokens come from the fused groups alone.
    enabled: bool = setting(True, SWITCH)
    # K, prototypes per emotion and group. 1 = one centre per emotion.
    slots: int = setting(4, between(1, 1024))
    # Softmax temperature of the similarity of a query to a prototype; small = only the nearest one counts.
    temperature: float = setting(0.1, between(1e-4, 1e3))
    # Temperature at which a sample is shared out among the slots of an emotion when they are updated. Slots
    # stay identical where it is larger than the spread of their queries (measured on the simulated default:
    # mean cosine of two slots of an emotion .98 at 0.1, .67 at 0.03, .50 at 0.01).
    assign_temperature: float = setting(0.02, between(1e-4, 1e3))
    # Fraction of a prototype that one batch with full evidence keeps. 1 = never moves.
    momentum: float = setting(0.99, between(0.0, 1.0))
    # "momentum": moved by evidence, no gradient. "gradient": trained like any parameter.
    update: str = setting("momentum", one_of("momentum", "gradient"))
    # "above_floor": the part of the label above its own minimum. "raw": the label itself.
    evidence: str = setting("above_floor", one_of("above_floor", "raw"))
    # A sample moves the prototypes of emotion c in proportion to its evidence for c to this power. At 1 slots part
    # by the other emotions of a sample, at 2 by what the emotion itself looks like (docs/method.md, 2a).
    evidence_power: float = setting(2.0, between(0.5, 16.0))
    # One assignment for both banks, so that slot (c, k) means the same event on both sides.
    paired: bool = setting(True, SWITCH)
    # "evidence": a slot is the running mean of its evidence until that is as long as the momentum's memory.
    # "noise": momentum from the first step on, starting from random unit vectors.
    start: str = setting("evidence", one_of("evidence", "noise"))
    # Fraction of its usage that a slot keeps over a batch. At .99 a slot that gets nothing is found dead after 390
    # batches, at .9 after 37, and more of the planted prototypes were found, at the same KL (docs/method_study.md).
    usage_momentum: float = setting(0.99, between(0.0, 1.0))
    # A slot used less than this share of what its emotion's slots get on average is re-seeded. 0 = never.
    reseed_below: float = setting(0.02, below_one())
    # A slot speaks as loud as the share of its emotion's evidence that it holds. Off: all alike, empty ones too.
    mixture_weights: bool = setting(True, SWITCH)
    # Ask the banks for the query of an absent side. Off: an absent side says nothing.
    recall: bool = setting(True, SWITCH)


@dataclasses.dataclass(frozen=True)
class CooccurrenceConfig:
    """Stage 2c: memory retrieval of co-occurrence."""

    # Off: no emotion calls up another.
    enabled: bool = setting(True, SWITCH)
    # Inverse temperature of the retrieval at the start; learned.
    beta: float = setting(8.0, above(0.0, 1e6))
    # Use the remembered co-occurrence as a prior of the retrieval.
    prior: bool = setting(True, SWITCH)


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """Stage 3: hierarchical compression and the distribution."""

    # "valence": emotions -> valence groups -> one. "flat": emotions -> one. "mean": no learned compression.
    hierarchy: str = setting("valence", one_of("valence", "flat", "mean"))
    # Add a linear map of the wide group features to the logits, zero at the start.
    direct: bool = setting(True, SWITCH)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of the model; one field per design choice of docs/method.md."""

    # D, width of every token and prototype.
    width: int = setting(64, between(4, 16_384))
    # N_m, tokens that the encoder makes of each modality.
    tokens: int = setting(4, between(1, 1024))
    # Dropout on tokens and inside the head; "auto" = by the number of training windows (train/sizes.py).
    dropout: float = setting(0.2, or_auto(below_one()))
    # Dropout on the features themselves, before the encoders; the strongest brake where people are few.
    input_dropout: float = setting(0.0, below_one())
    fusion: FusionConfig = part(FusionConfig)
    memory: MemoryConfig = part(MemoryConfig)
    cooccurrence: CooccurrenceConfig = part(CooccurrenceConfig)
    head: HeadConfig = part(HeadConfig)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the named terms; 0 removes a term exactly. The distribution term has weight 1."""

    # Both sides relate a sample to the prototypes alike (stage 2b).
    relation_distillation: float = setting(0.1, between(0.0, 1000.0))
    # A query lies nearest to the prototypes of the emotions that were reported.
    prototype: float = setting(0.3, between(0.0, 1000.0))
    # An emotion calls up those that were reported with it.
    cooccurrence: float = setting(1.0, between(0.0, 1000.0))
    # Batches over which the three weights above rise from 0 to what they are; 0 = whole from the first one. Where few
    # people make few batches, the terms cost what they bring where there are many (docs/method_study.md).
    aux_warmup_steps: int = setting(200, between(0, 10**9))
