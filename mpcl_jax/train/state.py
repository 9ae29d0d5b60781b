"""The state of a training, from step to step, and its beginning."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mpcl_jax.config.schema import TrainConfig
from mpcl_jax.model.distribution_head import start_at_mean
from mpcl_jax.model.initialisation import draw_all
from mpcl_jax.model.mpcl import MPCL
from mpcl_jax.model.outputs import Prototypes
from mpcl_jax.types import Batch, DataSpec


class TrainState(NamedTuple):
    """Everything that one training step reads and replaces."""

    step: jnp.ndarray  # scalar int32, steps so far, skipped ones included
    params: Any  # trained by gradient
    opt_state: Any  # AdamW's moments and step count
    prototypes: Prototypes | None  # the memory; moved by evidence, never by gradient; None without a memory


class Best(NamedTuple):
    """The model of the epoch with the lowest validation KL so far."""

    validation_kl: jnp.ndarray  # scalar, +inf before the first epoch
    epoch: jnp.ndarray  # scalar int32, counted from 1
    params: Any
    prototypes: Prototypes | None


class Guard(NamedTuple):
    """The state of the protection from single bad steps."""

    skipped: jnp.ndarray  # [steps] int32, skipped steps in a row up to each step of the last epoch
    usual_loss: jnp.ndarray  # scalar, mean loss of the last epoch's steps; +inf before the first epoch


class Training(NamedTuple):
    """One fold's training: its state and, where the config selects by validation, the best model so far."""

    state: TrainState
    best: Best | None
    guard: Guard


def make_optimizer(settings: TrainConfig, steps: int) -> optax.GradientTransformation:
    """AdamW after gradient clipping; the rate warms up linearly, then falls along a cosine to 0 at `steps`.

    Weight decay acts on parameters with two axes (matrices, emotion embeddings, biases of the valence queries), not
    on other biases, norms or inverse temperatures.
    """
    warmup = int(settings.warmup * steps)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0 if warmup else settings.learning_rate, settings.learning_rate, warmup, max(steps, warmup + 1)
    )

    return optax.chain(
        # One long vector instead of a hundred small arrays: a third of the program's kernels, same numbers.
        optax.flatten(optax.chain(optax.clip_by_global_norm(settings.clip), optax.scale_by_adam())),
        optax.add_decayed_weights(
            settings.weight_decay, lambda params: jax.tree.map(lambda x: x.ndim >= 2, params)
        ),
        optax.scale_by_learning_rate(schedule),
    )


def initial_variables(key, *, model: MPCL, spec: DataSpec) -> dict:
    """Random parameters and an empty memory; a batch of zeros gives the shapes."""
    signals = {m: jnp.zeros((2, *shape)) for m, shape in spec.shapes.items()}
    present = {m: jnp.ones(2, bool) for m in spec.shapes}
    return draw_all(model.init({"params": key}, Batch(signals, present, None, None), train=False))


def create_training(key, label_mean, model: MPCL, spec, optimizer, select: str, steps: int) -> Training:
    """A fresh training, of `steps` an epoch, that starts at the mean label [C] of its training part.

    A pure function of `key` and `label_mean`, so it can be compiled, mapped over folds and abstracted.
    """
    made = initial_variables(key, model=model, spec=spec)
    params = start_at_mean(made["params"], label_mean)
    prototypes = made["prototypes"]["memory"] if "prototypes" in made else None
    state = TrainState(jnp.int32(0), params, optimizer.init(params), prototypes)
    guard = Guard(jnp.zeros(steps, jnp.int32), jnp.float32(jnp.inf))
    if select != "best":
        return Training(state, None, guard)
    # A copy: the state's own buffers are donated to the next step.
    copy = jax.tree.map(jnp.copy, (params, prototypes))
    return Training(state, Best(jnp.float32(jnp.inf), jnp.int32(0), *copy), guard)


def chosen_model(training: Training):
    """The parameters and prototypes that predictions are made with."""
    source = training.state if training.best is None else training.best
    return source.params, source.prototypes
