"""One training step: what moves, what does not, and that randomness comes from the key alone."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_model import (
    CONFIG,
    ONE_SIDED,
    SPEC,
    all_finite,
    changed,
    memory,
    quick_jit,
    same_bits,
    tiny,
    tiny_batch,
    tiny_state,
    unit_rows,
)

from mpcl_jax.model.losses import kl_divergence, loss_terms
from mpcl_jax.model.outputs import variables
from mpcl_jax.model.prototypes import update_prototypes
from mpcl_jax.train import step
from mpcl_jax.train.state import TrainState
from mpcl_jax.train.step import make_train_step

pytestmark = pytest.mark.usefixtures("strict_shapes")

KEY = jax.random.key(3, impl="rbg")  # the generator of a run: train/run.py

# Together these use every switch of docs/method.md; the first is the full model.
CHANGES = {
    "full": {},
    "learned banks": {
        "model": {
            "dropout": 0.0,
            "fusion": {"scales": (1.0,), "across_groups": False},
            "memory": {"update": "gradient", "slots": 1, "paired": False, "evidence": "raw", "recall": False},
            "cooccurrence": {"prior": False},
            "head": {"hierarchy": "flat"},
        },
        "loss": {"prototype": 0.0},
    },
    "no retrieval": {  # and no randomness: the step can be calculated from outside
        "model": {
            "dropout": 0.0,
            "fusion": {"within_group": False},
            "memory": {"start": "noise", "momentum": 0.5},
            "cooccurrence": {"enabled": False},
            "head": {"hierarchy": "mean", "direct": False},
        },
        "loss": {"relation_distillation": 0.0},
        "train": {"modality_dropout": 0.0, "group_dropout": 0.0},
    },
    "no memory": {
        "model": {
            "input_dropout": 0.3,
            "fusion": {"within_group": False, "across_groups": False},
            "memory": {"enabled": False},
            "cooccurrence": {"enabled": False},
        }
    },
    "one group": {
        "model": {"fusion": {"within_group": False}, "memory": {"mixture_weights": False}},
        "loss": {"aux_warmup_steps": 3},
        "train": {"modality_dropout": 0.0, "group_dropout": 0.0},
    },
}
VARIANTS = {name: changed(CONFIG, **parts) for name, parts in CHANGES.items()}


class Variant(NamedTuple):
    model: Any
    step: Any  # compiled train step
    state: TrainState  # before any step
    batch: Any
    after: TrainState  # after one step with KEY
    report: dict


@functools.cache
def variant(name):
    config, spec = VARIANTS[name], ONE_SIDED if name == "one group" else SPEC
    model, values = tiny(config.model, spec)
    state, optimizer = tiny_state(config, values)
    compiled = quick_jit(make_train_step(model, optimizer, config))

    def step(state, batch, key, most=np.inf):
        return compiled(state, batch, key, np.float32(most))  # one program, also for the test of the limit

    batch = tiny_batch(size=6, spec=spec)._replace(weight=np.float32([1, 1, 1, 1, 1, 0]))
    after, report = step(state, batch, KEY)
    return Variant(model, step, state, batch, *jax.tree.map(np.asarray, (after, report)))


def gradient_of(after, params):
    """Adam's first moment after the first step, .1 · gradient, as {path: flat array}."""
    ((_, moment),) = optax.tree.get_all_with_path(after.opt_state, "mu")
    leaves = jax.tree_util.tree_leaves_with_path(params)
    borders = np.cumsum([x.size for _, x in leaves])
    assert borders[-1] == moment.size
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return dict(zip(paths, np.split(moment, borders[:-1]), strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_takes_a_step_in_which_every_parameter_moves(name):
    found = variant(name)
    assert all_finite((found.after, found.report)) and found.report["gradient_norm"] > 0
    counts = [int(count) for _, count in optax.tree.get_all_with_path(found.after.opt_state, "count")]
    assert int(found.after.step) == 1 and counts and set(counts) == {1}
    assert jax.tree.map(np.shape, found.state) == jax.tree.map(np.shape, found.after)
    gradient = gradient_of(found.after, found.state.params)
    # Only the memory reads the queries.
    unread = {x for x in gradient if name == "no memory" and x.startswith("fusion/query")}
    assert {path for path, x in gradient.items() if not x.any()} == unread
    before, after = jax.tree.leaves(found.state.params), jax.tree.leaves(found.after.params)
    still = {path for path, a, b in zip(gradient, before, after, strict=True) if (a == b).all()}
    assert still <= unread


@pytest.mark.parametrize(
    "name, terms",
    [
        ("full", {"relation_distillation": 0.1, "prototype": 0.3, "cooccurrence": 1.0}),
        ("learned banks", {"relation_distillation": 0.1, "cooccurrence": 1.0}),
        ("no retrieval", {"prototype": 0.3}),
        ("one group", {"prototype": 0.3, "cooccurrence": 1.0}),
        ("no memory", {}),
    ],
)
def test_the_report_names_the_terms_that_make_the_loss(name, terms):
    report = variant(name).report
    assert set(report) == {"loss", "distribution", "gradient_norm", "skipped", *terms}
    total = report["distribution"] + sum(weight * report[term] for term, weight in terms.items())
    np.testing.assert_allclose(report["loss"], total, rtol=1e-5)


def test_randomness_comes_from_the_key_alone():
    found = variant("full")
    assert same_bits(found.after, found.step(found.state, found.batch, KEY)[0])
    other = jax.tree.map(np.asarray, found.step(found.state, found.batch, jax.random.key(4, impl="rbg"))[0])
    assert not same_bits(found.after.params, other.params)
    assert not same_bits(found.after.prototypes, other.prototypes)


# The memory.


def test_the_memory_moves_by_the_queries_of_this_step_and_the_banks_of_the_last():
    found = variant("no retrieval")
    batch, old = found.batch, found.state.prototypes

    @quick_jit
    def outside(params):
        output = found.model.apply(variables(params, old), batch, train=False)
        settings = VARIANTS["no retrieval"].model.memory
        kl = batch.weight * kl_divergence(batch.labels, output.log_probs)
        updated = update_prototypes(old, output.query, batch.labels, batch.weight, output.present, settings)
        return updated, kl.sum() / batch.weight.sum()

    expected, kl = outside(found.state.params)
    np.testing.assert_allclose(found.report["distribution"], kl, rtol=1e-5)
    assert not same_bits(found.after.prototypes.bank, old.bank)
    for moved, wanted in zip(found.after.prototypes, expected, strict=True):
        np.testing.assert_allclose(moved, wanted, atol=1e-5)


def test_momentum_banks_are_no_parameters_and_learned_banks_are():
    assert "bank" not in variant("full").state.params
    found = variant("learned banks")
    assert gradient_of(found.after, found.state.params)["bank"].any()
    assert not same_bits(found.after.prototypes.bank, found.state.prototypes.bank)
    np.testing.assert_allclose(found.after.prototypes.bank, unit_rows(found.after.params["bank"]), atol=1e-6)
    assert (found.after.prototypes.mass > found.state.prototypes.mass).any()


def test_the_memory_holds_no_pair_that_no_subject_reported():
    """Half of the samples report emotion 0 alone, half 2 alone; mixup makes training samples of both."""
    config = changed(VARIANTS["no retrieval"], train={"mixup": 0.4})
    model, values = tiny(config.model)
    empty = memory()._replace(mass=np.zeros((2, 4, 2), np.float32))
    state, optimizer = tiny_state(config, values | {"prototypes": {"memory": empty}})
    step = quick_jit(make_train_step(model, optimizer, config))
    batch = tiny_batch(size=6)._replace(labels=np.eye(4, dtype=np.float32)[[0, 2, 0, 2, 0, 2]])
    for number in range(3):
        state, _ = step(state, batch, jax.random.fold_in(KEY, number))
    pairs = np.asarray(state.prototypes.cooccurrence)
    assert pairs[0, 2] == pairs[2, 0] == 0 and np.diag(pairs)[[0, 2]].sum() == pytest.approx(1)
    assert not np.asarray(state.prototypes.mass)[:, [1, 3]].any()


def test_a_batch_of_padding_leaves_the_memory_alone():
    found = variant("full")
    padding = found.batch._replace(weight=np.zeros(6, np.float32))
    after, report = jax.tree.map(np.asarray, found.step(found.state, padding, KEY))
    assert same_bits(after.prototypes, found.state.prototypes)
    assert all_finite(after) and report["loss"] == 0 and report["gradient_norm"] == 0


# The guard.


def spoilt(found, where, bad):
    """State and batch of a variant with one number that is not finite."""
    state, batch = found.state, found.batch
    if where == "input":
        signals = {m: np.array(x) for m, x in batch.signals.items()}
        signals["eda"][2, 0, 1] = bad
        return state, batch._replace(signals=signals)
    if where == "label":
        labels = np.array(batch.labels)
        labels[4, 1] = bad
        return state, batch._replace(labels=labels)
    if where == "prototype":
        bank = np.array(state.prototypes.bank)
        bank[1, 2, 0, 3] = bad
        return state._replace(prototypes=state.prototypes._replace(bank=bank)), batch
    return state._replace(params=jax.tree.map(lambda x: np.full_like(x, bad), state.params)), batch


@pytest.mark.parametrize(
    "where, bad", [("input", np.inf), ("label", np.nan), ("prototype", -np.inf), ("parameter", np.nan)]
)
def test_a_number_that_is_not_finite_skips_the_step_and_changes_no_bit(where, bad):
    found = variant("full")
    state, batch = spoilt(found, where, bad)
    after, report = jax.tree.map(np.asarray, found.step(state, batch, KEY))
    assert report["skipped"] == 1 and found.report["skipped"] == 0
    for part in ("params", "opt_state", "prototypes"):
        assert same_bits(getattr(after, part), getattr(state, part)), part
    assert int(after.step) == int(state.step) + 1
    # The next good batch is a step like any other.
    if where in ("input", "label"):
        assert same_bits(
            found.step(after, found.batch, KEY)[0]._replace(step=1), found.after._replace(step=1)
        )


def without_retrieval(**loss):
    """The state after a step of the variant "no retrieval" with other losses, and its report."""
    config, found = changed(VARIANTS["no retrieval"], loss=loss), variant("no retrieval")
    values = {"params": found.state.params, "prototypes": {"memory": found.state.prototypes}}
    state, optimizer = tiny_state(config, values)
    taken = quick_jit(make_train_step(found.model, optimizer, config))(state, found.batch, KEY)
    return jax.tree.map(np.asarray, taken)


def test_a_gradient_that_is_not_finite_skips_the_step(monkeypatch):
    """The loss grows by 0 · √0: a value of 0, a gradient of 0 · ∞."""

    def sharp(output, *rest):
        terms = loss_terms(output, *rest)
        nothing = 0 * jnp.sqrt(0 * output.log_probs.sum())
        return terms | {"distribution": terms["distribution"] + nothing}

    monkeypatch.setattr(step, "loss_terms", sharp)
    after, report = without_retrieval()
    assert np.isfinite(report["loss"]) and not np.isfinite(report["gradient_norm"])
    assert report["skipped"] == 1
    assert same_bits(after._replace(step=0), variant("no retrieval").state._replace(step=0))


def test_a_loss_above_the_limit_skips_the_step():
    found = variant("no retrieval")
    loss = found.report["loss"]

    def limited(most):
        return jax.tree.map(np.asarray, found.step(found.state, found.batch, KEY, most))

    above, report = limited(0.99 * loss)
    assert report["skipped"] == 1 and same_bits(above.params, found.state.params)
    below, report = limited(1.01 * loss)
    assert report["skipped"] == 0 and not same_bits(below.params, found.state.params)


def test_the_warm_up_acts_on_the_gradient_not_on_the_log():
    """The first of two batches counts them half: the gradient of halved weights, the loss of full ones."""
    full = variant("no retrieval")  # its only auxiliary loss has the weight 0.3
    (rising, logged), (halved, _) = without_retrieval(aux_warmup_steps=2), without_retrieval(prototype=0.15)
    np.testing.assert_allclose(logged["loss"], full.report["loss"], rtol=1e-6)
    expected, unlike = (gradient_of(x, full.state.params) for x in (halved, full.after))
    for path, gradient in gradient_of(rising, full.state.params).items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-4, atol=1e-7, err_msg=path)
    assert any(np.abs(expected[path] - unlike[path]).max() > 1e-4 for path in expected)


# What must not matter.


def test_padding_and_absent_content_change_no_bit_of_the_next_state():
    found = variant("full")
    present = {m: np.array(x) for m, x in found.batch.present.items()}
    present["face"][0] = False
    present["eda"][1] = False
    batch = found.batch._replace(present=present)
    signals = {m: np.array(x) for m, x in batch.signals.items()}
    signals["face"][0], signals["eda"][1] = np.nan, 1e30
    for m in signals:
        signals[m][5] += 1.0  # the sample of weight 0
    labels = np.array(batch.labels)
    labels[5] = [0.0, 0.0, 0.5, 0.5]
    other = batch._replace(signals=signals, labels=labels)
    made = found.step(found.state, batch, KEY)
    assert same_bits(made, found.step(found.state, other, KEY)) and made[1]["skipped"] == 0
