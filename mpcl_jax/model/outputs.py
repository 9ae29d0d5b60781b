"""The arrays that the model reads and returns, without Flax: a saved model is opened in half the time.

The axes are those of `mpcl_jax/__init__.py`.
"""

from typing import NamedTuple

import jax.numpy as jnp


class Prototypes(NamedTuple):
    """The memory: the Flax collection `prototypes`, part of the train state and of every checkpoint."""

    bank: jnp.ndarray  # [G, C, K, D] unit rows
    mass: jnp.ndarray  # [G, C, K] >= 0, clear evidence (e^power) collected so far, in samples
    usage: jnp.ndarray  # [C, K] >= 0, recent clear evidence per sample that went to a slot
    cooccurrence: jnp.ndarray  # [C, C] symmetric, sums to 1, recent mean of e eᵀ


class MPCLOutput(NamedTuple):
    """Everything that losses, memory and results need of one forward pass; G = `MPCL.modality_groups`."""

    log_probs: jnp.ndarray  # [B, C] predicted log-probabilities
    query: jnp.ndarray  # [B, G, D] unit rows; where the group is absent recalled, or zeros
    present: jnp.ndarray  # [B, G] bool, the group has at least one modality in this sample
    similarity: jnp.ndarray  # [B, G, C, K] s_g = cosine / τ, to all prototypes; zeros without a memory
    logits: jnp.ndarray  # [B, G, C, K] s'_g = s_g + log π_g, weighted by the log mixture weights
    cooccurrence_map: jnp.ndarray  # [B, C, C] what each emotion retrieves, rows sum to 1; uniform if disabled


class Recall(NamedTuple):
    """Of each window; M modalities in the order of the model's groups."""

    association: (
        jnp.ndarray
    )  # [B, S, M, M'] share of scale and of M' in what M recalls; sums to 1 per M, or 0
    recalled: jnp.ndarray  # [B, G, C, K] share of each prototype in what emotions retrieve; sums to 1 or 0


def variables(params, prototypes: Prototypes | None) -> dict:
    """The Flax variables of a forward pass; without `mutable=` Flax refuses to write either of them."""
    if prototypes is None:
        return {"params": params}
    return {"params": params, "prototypes": {"memory": prototypes}}
