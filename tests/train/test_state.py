"""How a training begins, and the three rules of its optimiser: decay, rate, clipping."""

import jax
import numpy as np
import optax
import pytest
from tiny_model import MODEL, SPEC, changed, quick_jit, same_bits, tiny, tiny_batch

from mpcl_jax.config.schema import TrainConfig
from mpcl_jax.model.outputs import variables
from mpcl_jax.train.state import chosen_model, create_training, make_optimizer

pytestmark = pytest.mark.usefixtures("strict_shapes")

SETTINGS = TrainConfig()
PARAMS = {"kernel": np.float32([[2.0, -2.0]]), "bias": np.float32([2.0]), "log_beta": np.float32(2.0)}


def moved(settings, gradients, steps=10):
    """The parameters after each of `gradients`, trees like PARAMS."""
    optimizer = make_optimizer(settings, steps)

    @quick_jit
    def one(params, opt_state, gradient):
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    params, opt_state = PARAMS, optimizer.init(PARAMS)
    seen = []
    for gradient in gradients:
        params, opt_state = one(params, opt_state, gradient)
        seen.append(jax.tree.map(np.asarray, params))
    return seen


def everywhere(value):
    return jax.tree.map(lambda x: np.full_like(x, value), PARAMS)


# Without a gradient Adam proposes 0 and decay is alone: x ← x − rate · decay · x = 2 · (1 − .1 · .5) = 1.9.
def test_decay_touches_matrices_only():
    settings = TrainConfig(learning_rate=0.1, weight_decay=0.5, warmup=0.0)
    (after,) = moved(settings, [everywhere(0.0)])
    np.testing.assert_allclose(after["kernel"], [[1.9, -1.9]], rtol=1e-6)
    assert same_bits((after["bias"], after["log_beta"]), (PARAMS["bias"], PARAMS["log_beta"]))


# A constant gradient makes Adam propose exactly 1, so every step shows its rate: up to the peak .1 in 2 of 10
# steps, then .05 (1 + cos(π t / 8)).
def test_the_rate_warms_up_and_falls_to_zero():
    settings = TrainConfig(learning_rate=0.1, weight_decay=0.0, warmup=0.2, clip=100.0)
    seen = [2.0, *(x["bias"][0] for x in moved(settings, [everywhere(1.0)] * 11))]
    expected = [0.0, 0.05, *(0.05 * (1 + np.cos(np.pi * t / 8)) for t in range(9))]
    np.testing.assert_allclose(-np.diff(seen), expected, atol=1e-5)


# Gradients 1000 and 1, clipped to norm 1: both are .5 in each of the four entries, so Adam proposes 1 twice.
# Unclipped it would propose (.9 · .1 · 1000 + .1) / .19 over √((.999 · .001 · 10⁶ + .001) / .001999) = .67.
def test_the_global_norm_is_clipped():
    settings = TrainConfig(learning_rate=0.1, weight_decay=0.0, warmup=0.0, clip=1.0)
    _, after = moved(settings, [everywhere(1000.0), everywhere(1.0)], steps=10**6)
    np.testing.assert_allclose(after["bias"], 1.8, atol=1e-4)


# How a training begins.


def test_a_fresh_training_predicts_the_mean_label():
    off = {"memory": {"enabled": False}, "cooccurrence": {"enabled": False}}
    settings = changed(MODEL, **off, fusion={"within_group": False, "across_groups": False})
    model, values = tiny(settings)
    optimizer = make_optimizer(SETTINGS, 10)
    mean = np.float32([0.4, 0.3, 0.3, 0.0])  # the last emotion was never reported

    @quick_jit
    def create(key):
        training = create_training(key, mean, model, SPEC, optimizer, "best", 3)
        params, prototypes = chosen_model(training)
        return training, model.apply(variables(params, prototypes), tiny_batch(), train=False).log_probs

    training, log_probs = create(jax.random.key(0, impl="rbg"))
    np.testing.assert_allclose(np.exp(log_probs), np.tile(mean, (4, 1)), atol=2e-6)
    assert (np.exp(log_probs) > 0).all()  # and stays possible
    assert int(training.state.step) == 0
    assert np.isinf(training.best.validation_kl) and int(training.best.epoch) == 0
    assert same_bits(training.best.params, training.state.params)
