"""Stage 1: multi-scale associative memory fusion of the modalities into one query per modality group."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from mpcl_jax.config.model import FusionConfig
from mpcl_jax.model.associative_memory import MultiScaleRetrieval
from mpcl_jax.model.layers import Dense, Dropout, gelu_again
from mpcl_jax.types import GROUPS


class Fused(NamedTuple):
    """The fused features of each modality group of the data set; axis G in the order of `GROUPS`."""

    wide: jnp.ndarray  # [B, G, 2D] f_g, zeros where the group is absent
    feature: jnp.ndarray  # [B, G, D] z_g, zeros where the group is absent
    query: jnp.ndarray  # [B, G, D] unit rows in the space of the prototypes
    present: jnp.ndarray  # [B, G] bool


def unit(x, axis: int = -1):
    """`x` scaled to Euclidean length 1 along `axis`; a zero vector stays zero, with a finite gradient."""
    square = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jnp.where(square > 0, 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


class RetrievalBlock(nn.Module):
    """`x + retrieve(LN x, LN x)`, then `x + MLP(LN x)`."""

    settings: FusionConfig
    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, state, may_recall, *, train: bool):
        """`state` [B, T, D] · `may_recall` [B, T, T] bool, which state may recall which. Returns [B, T, D]."""
        width = state.shape[-1]
        stored = nn.LayerNorm(dtype=self.dtype, name="norm")(state)
        recalled = MultiScaleRetrieval(
            self.settings.heads, self.settings.scales, dtype=self.dtype, name="retrieval"
        )(stored, may_recall)
        state = state + Dropout(self.dropout)(recalled, train=train)
        hidden = nn.LayerNorm(dtype=self.dtype, name="mlp_norm")(state)
        hidden = Dense(int(self.settings.mlp_ratio * width), dtype=self.dtype, name="mlp_in")(hidden)
        hidden = Dense(width, dtype=self.dtype, name="mlp_out")(gelu_again(hidden))
        return state + Dropout(self.dropout)(hidden, train=train)


class MultiScaleFusion(nn.Module):
    """One retrieval among the tokens of all modalities, then one feature and one query per group.

    Every token is a state and a stored pattern; the switches decide which tokens it may recall: those of its own
    group, of the other group, or both. One block for all directions learns as well as one block per direction
    (simulated, KL 0.0528 against 0.0527) in two thirds of the time. The feature of a group keeps all its tokens:
    pooling them by one learned query is a bottleneck (measured, docs/method.md).
    """

    settings: FusionConfig
    width: int  # D
    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens, present, *, train: bool) -> Fused:
        """`tokens` {group: [B, T_g, D]} · `present` {group: [B, T_g] bool}, without empty groups."""
        allowed = self._allowed({g: x.shape[1] for g, x in tokens.items()})
        if allowed.any():
            together = jnp.concatenate(list(tokens.values()), axis=1)
            there = jnp.concatenate(list(present.values()), axis=1)
            together = RetrievalBlock(self.settings, self.dropout, dtype=self.dtype, name="block")(
                together, there[:, None, :] & allowed[None], train=train
            )
            ends = np.cumsum([x.shape[1] for x in tokens.values()])[:-1]
            tokens = dict(zip(tokens, jnp.split(together, ends, axis=1), strict=True))
        return self._summarise(tokens, present)

    def _allowed(self, counts: dict[str, int]) -> np.ndarray:
        """Which token may recall which, [T, T] bool; T runs over the tokens of all groups."""
        group = np.repeat(np.arange(len(counts)), list(counts.values()))
        same = group[:, None] == group[None, :]
        return (same & self.settings.within_group) | (~same & self.settings.across_groups)

    def _summarise(self, tokens, present) -> Fused:
        wide, feature, query, there = [], [], [], []
        for group in (group for group in GROUPS if group in tokens):
            group_there = present[group].any(axis=1)
            kept = jnp.where(present[group][..., None], tokens[group], 0.0)
            flat = rearrange(kept, "b t d -> b (t d)")
            f = Dense(2 * self.width, dtype=self.dtype, name=f"wide_{group}")(flat)
            f = jnp.where(group_there[:, None], nn.gelu(f), 0.0)
            z = Dense(self.width, use_bias=False, dtype=self.dtype, name=f"feature_{group}")(f)
            normed = nn.LayerNorm(dtype=self.dtype, name=f"query_norm_{group}")(z)
            q = Dense(self.width, use_bias=False, dtype=self.dtype, name=f"query_{group}")(normed)
            wide.append(f)
            feature.append(z)
            query.append(unit(q.astype(jnp.float32)))
            there.append(group_there)
        return Fused(*(jnp.stack(x, axis=1) for x in (wide, feature, query, there)))
