"""Stage 1: multi-scale associative memory fusion of the modalities into one query per modality group."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange

from mpcl_jax.batch import GROUPS
from mpcl_jax.model.associative_memory import MultiScaleRetrieval
from mpcl_jax.settings import FusionConfig


class Fused(NamedTuple):
    """What fusion knows of each modality group; axis G in the order of `GROUPS`."""

    wide: jnp.ndarray  # [B, G, 2D] f_g, zeros where the group is absent
    feature: jnp.ndarray  # [B, G, D] z_g, zeros where the group is absent
    query: jnp.ndarray  # [B, G, D] unit rows in the space of the prototypes
    present: jnp.ndarray  # [B, G] bool


def unit(x, axis: int = -1):
    """`x` scaled to Euclidean length 1 along `axis`; a zero vector stays zero, with a finite gradient."""
    square = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jnp.where(square > 0, 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


class RetrievalBlock(nn.Module):
    """`x + retrieve(LN x, LN y)`, then `x + MLP(LN x)`."""

    settings: FusionConfig
    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, state, stored, stored_present, *, train: bool):
        """`state` [B, T, D] · `stored` [B, N, D] · `stored_present` [B, N] bool. Returns [B, T, D]."""
        width = state.shape[-1]
        recalled = MultiScaleRetrieval(
            self.settings.heads, self.settings.scales, dtype=self.dtype, name="retrieval"
        )(
            nn.LayerNorm(dtype=self.dtype, name="state_norm")(state),
            nn.LayerNorm(dtype=self.dtype, name="stored_norm")(stored),
            stored_present,
        )
        state = state + nn.Dropout(self.dropout, deterministic=not train)(recalled)
        hidden = nn.LayerNorm(dtype=self.dtype, name="mlp_norm")(state)
        hidden = nn.Dense(int(self.settings.mlp_ratio * width), dtype=self.dtype, name="mlp_in")(hidden)
        hidden = nn.Dense(width, dtype=self.dtype, name="mlp_out")(nn.gelu(hidden))
        return state + nn.Dropout(self.dropout, deterministic=not train)(hidden)


class MultiScaleFusion(nn.Module):
    """Within each group first, then each group from the other, then one feature and one query per group.

    All tokens of a group are kept in its feature: pooling them by one learned query is a bottleneck
    (measured, docs/method.md). A group without any token in the data set is absent in every sample.
    """

    settings: FusionConfig
    width: int  # D
    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens, present, *, train: bool) -> Fused:
        """`tokens` {group: [B, T_g, D]} · `present` {group: [B, T_g] bool}, without empty groups."""
        if self.settings.within_group:
            tokens = {g: self._block(f"within_{g}")(x, x, present[g], train=train) for g, x in tokens.items()}
        if self.settings.across_groups and len(tokens) == 2:
            other = dict(zip(GROUPS, reversed(GROUPS), strict=True))
            tokens = {
                g: self._block(f"{g}_from_{other[g]}")(x, tokens[other[g]], present[other[g]], train=train)
                for g, x in tokens.items()
            }
        return self._summarise(tokens, present)

    def _block(self, name):
        return RetrievalBlock(self.settings, self.dropout, dtype=self.dtype, name=name)

    def _summarise(self, tokens, present) -> Fused:
        batch = next(iter(tokens.values())).shape[0]
        wide, feature, query, there = [], [], [], []
        for group in GROUPS:
            if group not in tokens:
                wide.append(jnp.zeros((batch, 2 * self.width)))
                feature.append(jnp.zeros((batch, self.width)))
                query.append(jnp.zeros((batch, self.width)))
                there.append(jnp.zeros(batch, bool))
                continue
            group_there = present[group].any(axis=1)
            kept = jnp.where(present[group][..., None], tokens[group], 0.0)
            f = nn.Dense(2 * self.width, dtype=self.dtype, name=f"wide_{group}")(
                rearrange(kept, "b t d -> b (t d)")
            )
            f = jnp.where(group_there[:, None], nn.gelu(f), 0.0)
            z = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name=f"feature_{group}")(f)
            q = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name=f"query_{group}")(
                nn.LayerNorm(dtype=self.dtype, name=f"query_norm_{group}")(z)
            )
            wide.append(f)
            feature.append(z)
            query.append(unit(q.astype(jnp.float32)))
            there.append(group_there)
        return Fused(*(jnp.stack(x, axis=1) for x in (wide, feature, query, there)))
