"""Settings of the model, one per design choice of the method, and of its objective."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt
from pydantic.dataclasses import dataclass

from mpcl_jax.config.fields import STRICT, Fraction, Positive, Share, Weight

Temperature = Annotated[StrictFloat, Field(ge=1e-4, le=1e3)]


@dataclass(frozen=True, config=STRICT)
class FusionConfig:
    """Stage 1: multi-scale associative memory fusion."""

    scales: tuple[Positive, ...] = Field((0.25, 1.0, 4.0), min_length=1)
    """Initial inverse temperatures, in units of 1/sqrt(width of a head); one entry = a single scale."""
    heads: StrictInt = Field(4, ge=1, le=1024)
    """Number of heads of every retrieval; the width of the model must be a multiple of it."""
    within_group: StrictBool = True
    """Tokens retrieve from tokens of their own group; if across_groups is off too, tokens are only concatenated."""
    across_groups: StrictBool = True
    """Tokens retrieve from tokens of the other modality group."""
    mlp_ratio: StrictFloat = Field(2.0, gt=0, le=64)
    """Width of the token MLP in units of the width of the model."""


@dataclass(frozen=True, config=STRICT)
class MemoryConfig:
    """Stage 2a: emotion-specific prototype memory banks."""

    enabled: StrictBool = True
    """Off: no memory banks and no retrieval; emotion tokens are made of the fused groups alone."""
    slots: StrictInt = Field(4, ge=1, le=1024)
    """K, prototypes per emotion and modality group; 1 = one centre per emotion."""
    temperature: Temperature = 0.1
    """Softmax temperature of the similarity of a query to the prototypes; if small, only the nearest one counts."""
    # Prototypes stay identical if it is larger than the spread of their queries (measured on the simulated default:
    # mean cosine of two prototypes of an emotion 0.98 at 0.1, 0.67 at 0.03, 0.50 at 0.01).
    assign_temperature: Temperature = 0.02
    """Softmax temperature of the assignment of a sample to the prototypes of an emotion in their update."""
    momentum: Fraction = 0.99
    """Fraction of a prototype that is kept over one batch with full evidence; 1 = prototypes never move."""
    update: Literal["momentum", "gradient"] = "momentum"
    """ "momentum": prototypes are moved by evidence, without a gradient. "gradient": trained like any parameter."""
    evidence: Literal["above_floor", "raw"] = "above_floor"
    """ "above_floor": the part of the label above its own minimum. "raw": the label itself."""
    # At 1, prototypes separate by the other emotions of a sample; at 2, by the signals of the emotion itself.
    evidence_power: StrictFloat = Field(2.0, ge=0.5, le=16)
    """A sample moves the prototypes of an emotion in proportion to its evidence for the emotion, to this power."""
    paired: StrictBool = True
    """One assignment for both banks, so that prototype (c, k) stands for the same events in both groups."""
    start: Literal["evidence", "noise"] = "evidence"
    """ "evidence": prototypes start as the running mean of their evidence. "noise": as random unit vectors."""
    # At 0.99 a prototype without evidence is found unused after 390 batches, at 0.9 after 37, and more of the planted
    # prototypes were found, at the same KL (method study).
    usage_momentum: Fraction = 0.99
    """Fraction of the usage statistic of a prototype that is kept over a batch."""
    reseed_below: Share = 0.02
    """A prototype whose usage is below this share of the average of its emotion is re-seeded; 0 = never."""
    mixture_weights: StrictBool = True
    """Add the log mixture weight (share of assigned evidence) to the logit of a prototype; off: equal weights."""
    # Off: it had no significant effect on any data set (docs/method.md, Switches).
    recall: StrictBool = False
    """Estimate the query of an absent modality group from the banks; off: an absent group adds nothing."""


@dataclass(frozen=True, config=STRICT)
class CooccurrenceConfig:
    """Stage 2c: memory retrieval of co-occurrence."""

    enabled: StrictBool = True
    """Off: no retrieval between emotions."""
    beta: Positive = 8.0
    """Initial inverse temperature of the retrieval; learned."""
    prior: StrictBool = True
    """Use the stored co-occurrence as a prior of the retrieval."""


@dataclass(frozen=True, config=STRICT)
class HeadConfig:
    """Stage 3: hierarchical compression and the distribution."""

    hierarchy: Literal["valence", "flat", "mean"] = "valence"
    """ "valence": emotions -> valence groups -> one. "flat": emotions -> one. "mean": no learned compression."""
    direct: StrictBool = True
    """Add a linear map of the fused group features to the logits, zero at the start."""


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Sizes and switches of the model, one per design choice of the method."""

    width: Annotated[StrictInt, Field(ge=4, le=16_384)] | Literal["auto"] = 64
    """D, width of every token and prototype; "auto" = by the number of training windows."""
    tokens: StrictInt = Field(4, ge=1, le=1024)
    """N_m, tokens that the encoder makes of each modality."""
    dropout: Share | Literal["auto"] = 0.2
    """Dropout on tokens and inside the head; "auto" = by the number of training windows."""
    input_dropout: Share | Literal["auto"] = 0.0
    """Dropout on the features, before the encoders; the strongest regularisation for few subjects; "auto" = by the
    number of training windows."""
    fusion: FusionConfig = FusionConfig()
    memory: MemoryConfig = MemoryConfig()
    cooccurrence: CooccurrenceConfig = CooccurrenceConfig()
    head: HeadConfig = HeadConfig()


@dataclass(frozen=True, config=STRICT)
class LossConfig:
    """Weights of the loss terms; 0 removes a term exactly. The distribution term has weight 1."""

    # 0: it had no significant effect on any data set (docs/method.md, Switches). 0.1 is a usual weight.
    relation_distillation: Weight = 0.0
    """Weight of relation distillation: both groups relate a sample to the prototypes in the same way (stage 2b)."""
    prototype: Weight = 0.3
    """Weight of the prototype loss: a query is nearest to the prototypes of the reported emotions."""
    cooccurrence: Weight = 1.0
    """Weight of the co-occurrence loss: an emotion retrieves the emotions that were reported with it."""
    aux_warmup_steps: StrictInt = Field(200, ge=0, le=10**9)
    """Warm-up of the auxiliary losses: steps over which the three weights above rise from 0; 0 = no warm-up."""
