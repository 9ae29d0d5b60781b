"""The associations behind a prediction: of tokens in the fusion, of prototypes in the retrieval of co-occurrence.

Layers put them into Flax's collection `intermediates`, which stays empty unless a caller requests it.
"""

import jax.numpy as jnp
import numpy as np
from einops import rearrange

from mpcl_jax.model.mpcl import MPCL
from mpcl_jax.model.outputs import Recall


def read_recall(intermediates: dict, log_probs, model: MPCL) -> Recall:
    """Sorts the `intermediates` of one forward pass by modality, emotion and slot.

    What an emotion retrieved is weighted by its predicted share `exp(log_probs)` [B, C].
    """
    size, settings, count = len(log_probs), model.settings, len(model.groups)
    association = jnp.zeros((size, len(settings.fusion.scales), count, count))
    if "fusion" in intermediates:
        of_token = intermediates["fusion"]["block"]["retrieval"]["association"][0]  # [B, S, T, T]
        of_modality = rearrange(of_token, "b s (m t) (n u) -> b s m n t u", m=count, n=count)
        # Tokens come group by group, in the order in which the groups first appear.
        order = [group for _, group in model.groups]
        place = np.argsort(np.argsort([order.index(group) for group in order], kind="stable"))
        association = of_modality.sum(-1).mean(-1)[:, :, place][:, :, :, place]
    recalled = jnp.zeros((size, len(model.modality_groups), len(model.valence), settings.memory.slots))
    if "cooccurrence" in intermediates:
        retrieved = intermediates["cooccurrence"]["association"][0]  # [B, C, G, C, K]
        recalled = jnp.einsum("bc,bcgek->bgek", jnp.exp(log_probs), retrieved)
    return Recall(association, recalled)
