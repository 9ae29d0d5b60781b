"""Data augmentation of a training batch: mixup and modality dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax.config.schema import TrainConfig
from mpcl_jax.types import GROUPS, Batch, groups_in


def mix_samples(key, batch: Batch, alpha: float) -> Batch:
    """Mixup (Zhang et al. 2018): each sample becomes a convex combination with another one of the batch.

    `λ x + (1 − λ) x'` and `λ y + (1 − λ) y'` with `λ ~ Beta(alpha, alpha)`, replaced by 1 − λ where
    λ < ½. The mixture of two distributions is a distribution. Both samples must have the same modalities and weight;
    otherwise the sample stays as it is. `alpha` 0 changes nothing.
    """
    if alpha == 0:
        return batch
    partner_key, share_key = jax.random.split(key)
    size = batch.weight.shape[0]
    partner = jax.random.permutation(partner_key, size)
    share = mixing_shares(share_key, alpha, size)
    alike = jnp.stack([x == x[partner] for x in (*batch.present.values(), batch.weight)]).all(axis=0)
    share = jnp.where(alike, share, 1.0)

    def mixed(x):
        own = share.reshape(-1, *[1] * (x.ndim - 1))
        # Not share · x + (1 − share) · x': a sample that stays keeps every bit, whatever its partner holds.
        return jnp.where(own == 1.0, x, own * x + (1.0 - own) * x[partner])

    return batch._replace(signals={m: mixed(x) for m, x in batch.signals.items()}, labels=mixed(batch.labels))


def mixing_shares(key, alpha: float, size: int):
    """`max(λ, 1 − λ)` with λ ~ Beta(alpha, alpha), [size] in [½, 1], one of its 1024 middle quantiles.

    A table of quantiles, because drawing from a Beta distribution by rejection is a program of its own in every step.
    """
    middles = (np.arange(1024) + 0.5) / 1024
    quantiles = jnp.asarray(scipy.special.betaincinv(alpha, alpha, 0.5 + middles / 2), jnp.float32)
    return quantiles[jax.random.bits(key, (size,), jnp.uint32) % 1024]


def drop_modalities(key, batch: Batch, groups: dict[str, str], settings: TrainConfig) -> Batch:
    """Modality dropout: removes single modalities and whole groups from samples, as if they were not recorded.

    Each present modality is dropped with probability `modality_dropout`; then, with probability `group_dropout`, one
    of the two groups, each with probability ½; a data set with one group keeps it. A sample that would lose
    everything keeps all its modalities.
    """
    if settings.modality_dropout == 0 and settings.group_dropout == 0:
        return batch
    modality_key, drop_key, which_key = jax.random.split(key, 3)
    size = batch.weight.shape[0]
    kept = jax.random.bernoulli(modality_key, 1.0 - settings.modality_dropout, (len(groups), size))
    drop_group = settings.group_dropout if len(groups_in(groups)) == 2 else 0.0
    drop = jax.random.bernoulli(drop_key, drop_group, (size,))
    which = jax.random.randint(which_key, (size,), 0, len(GROUPS))
    dropped = {m: drop & (which == GROUPS.index(group)) for m, group in groups.items()}
    present = {m: batch.present[m] & kept[i] & ~dropped[m] for i, m in enumerate(groups)}
    something = jnp.stack(list(present.values())).any(axis=0)
    return batch._replace(present={m: jnp.where(something, x, batch.present[m]) for m, x in present.items()})
