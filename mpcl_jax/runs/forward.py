"""The forward passes of a finished model as functions of its arrays. This module imports Flax."""

import jax.numpy as jnp

from mpcl_jax.config.schema import Config
from mpcl_jax.model.mpcl import build
from mpcl_jax.model.recall import read_recall
from mpcl_jax.types import Batch, DataSpec


def forward_passes(config: Config, spec: DataSpec):
    """`forward` and `details` of a `FinishedModel`, not compiled."""
    model = build(config.model, spec, config.train.precision)

    def batch_of(signals, present):
        rows = len(next(iter(present.values())))
        return Batch(signals, present, jnp.zeros((rows, len(spec.emotions))), jnp.ones(rows))

    def forward(state, signals, present):
        return model.apply(state, batch_of(signals, present), train=False).log_probs

    def details(state, signals, present):
        read = {"train": False, "mutable": ["intermediates"]}
        output, seen = model.apply(state, batch_of(signals, present), **read)
        return output, read_recall(seen.get("intermediates", {}), output.log_probs, model)

    return forward, details
