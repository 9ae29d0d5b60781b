"""One training step on one page: forward, losses, gradient, optimiser, memory, guard. Read this first.

Step t reads the banks that step t−1 left. All randomness comes from the key that the caller derives from the
seed and the step, so a resumed training equals one that was never stopped.
"""

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax

from mpcl_jax.config.schema import Config
from mpcl_jax.model.fusion import unit
from mpcl_jax.model.losses import active_weights, auxiliary_share, loss_terms, total_loss
from mpcl_jax.model.mpcl import MPCL
from mpcl_jax.model.outputs import variables
from mpcl_jax.model.prototypes import update_prototypes
from mpcl_jax.train.augment import drop_modalities, mix_samples
from mpcl_jax.train.state import TrainState
from mpcl_jax.types import Batch


def make_train_step(model: MPCL, optimizer, config: Config):
    """Returns `train_step(state, batch, key, most) -> (state, {name: scalar})`, a pure function.

    A step is skipped whose loss, gradient or new memory is not finite, or whose loss is above `most`: parameters,
    optimiser and memory keep every bit, and the report has `skipped` = 1. All sums run over the whole batch, so one
    bad sample on one device skips the step on all of them.
    """
    weights = active_weights(config.loss, config.model, len(model.modality_groups))
    memory = config.model.memory

    def loss_of(params, prototypes, batch, key, share):
        output = model.apply(variables(params, prototypes), batch, train=True, rngs={"dropout": key})
        terms = loss_terms(output, batch, weights, memory.evidence)
        return total_loss(terms, weights, share), (terms, output)

    def train_step(state: TrainState, batch: Batch, key, most=jnp.inf):
        mix_key, drop_key, dropout_key = jax.random.split(key, 3)
        reported = batch.labels
        batch = mix_samples(mix_key, batch, config.train.mixup)
        batch = drop_modalities(drop_key, batch, dict(model.groups), config.train)

        differentiate = jax.value_and_grad(loss_of, has_aux=True)
        share = auxiliary_share(weights, state.step)
        (_, (terms, output)), gradient = differentiate(
            state.params, state.prototypes, batch, dropout_key, share
        )
        # The guard and the log use the full weights, so that the losses of two epochs can be compared.
        total = total_loss(terms, weights)

        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)

        prototypes = state.prototypes
        if prototypes is not None:
            # The label of the sample itself, the larger part of a mixture: so the memory holds no pair of emotions
            # that no subject reported together.
            prototypes = update_prototypes(
                prototypes, output.query, reported, batch.weight, output.present, memory
            )
            if memory.update == "gradient":
                prototypes = prototypes._replace(bank=unit(params["bank"]))

        flat, _ = jax.flatten_util.ravel_pytree(gradient)
        norm = jnp.linalg.norm(flat)
        sound = _all_finite((total, norm, prototypes)) & (total <= most)
        moved, still = (params, opt_state, prototypes), (state.params, state.opt_state, state.prototypes)
        kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), moved, still)
        report = {"loss": total, **terms, "gradient_norm": norm, "skipped": 1.0 - sound}
        return TrainState(state.step + 1, *kept), report

    return train_step


def _all_finite(tree):
    """Whether every number of a few small arrays is finite."""
    return jnp.isfinite(sum(jnp.sum(jnp.abs(x)) for x in jax.tree.leaves(tree)))
