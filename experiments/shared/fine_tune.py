"""Fine-tuning of a trained model on the reported trials of one subject, an opponent of the personal memory.

The product adapts without a gradient step; nothing of the package uses this module.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

LogProbs = Callable[[Any, Any], jax.Array]  # (parameters, inputs of W windows) -> log-probabilities [W, C]


@functools.partial(jax.jit, static_argnames=("log_probs", "steps"))
def fine_tune(log_probs: LogProbs, params, inputs, labels, weight, learning_rate, *, steps: int):
    """Parameters after `steps` steps, and the log-probabilities of all windows before each step and at the end.

    A step is one of Adam, without dropout, on the KL of the written windows, those with a `weight` [W] above 0;
    the weights sum to 1. `labels` [W, C] of other windows have no effect. Returns parameters like `params`, and an
    array [steps + 1, W, C] whose first row is the model as it was trained. The arguments are not changed.
    """
    optimiser = optax.adam(learning_rate)

    def loss(params):
        return -(weight[:, None] * labels * log_probs(params, inputs)).sum()

    def step(carry, _):
        params, state = carry
        before = log_probs(params, inputs)
        updates, state = optimiser.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), before

    (tuned, _), before = jax.lax.scan(step, (params, optimiser.init(params)), length=steps)
    return tuned, jnp.concatenate([before, log_probs(tuned, inputs)[None]])
