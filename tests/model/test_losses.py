"""Every term by hand, at its edges, and exactly gone where its weight is 0."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import MODEL, all_finite, changed, quick_jit, same_bits

from mpcl_jax.config.model import LossConfig
from mpcl_jax.model.losses import (
    active_weights,
    auxiliary_share,
    cooccurrence_loss,
    kl_divergence,
    loss_terms,
    prototype_loss,
    total_loss,
)
from mpcl_jax.model.mpcl import MPCLOutput
from mpcl_jax.types import Batch

pytestmark = pytest.mark.usefixtures("strict_shapes")

LN2 = np.log(2.0)

kl = quick_jit(kl_divergence)
kl_slope = quick_jit(jax.grad(lambda log_probs, labels: jnp.sum(kl_divergence(labels, log_probs))))
term_of = quick_jit(prototype_loss)
retrieval_loss = quick_jit(cooccurrence_loss)


# ½ ln(½ / ¼) + ½ ln(½ / ¾) = ½ ln 4/3; a one-hot label: the cross-entropy, also beside an impossible emotion.
@pytest.mark.parametrize(
    "labels, probs, expected",
    [((0.5, 0.5), (0.25, 0.75), 0.5 * np.log(4 / 3)), ((0, 1), (0.75, 0.25), 2 * LN2), ((0, 1), (0, 1), 0)],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_golden_kl_and_its_gradient(labels, probs, expected):
    labels, log_probs = np.float32([labels]), np.log(np.float32([probs]))
    np.testing.assert_allclose(kl(labels, log_probs), [expected], rtol=1e-5)
    np.testing.assert_allclose(kl_slope(log_probs, labels), -labels, rtol=1e-6)


# Two emotions, two slots. Physiological: emotion 0 has strengths 1 and 1, emotion 1 has 1 and 3: near (2, 4) / 6.
# Behavioural: (3 + 1, 2 + 2) / 8 = (½, ½). Evidence (¼, ¾):
#   ¼ ln 3 + ¾ ln 3/2  +  ln 2.
PROTOTYPE_SIMILARITY = np.log(np.float32([[[(1, 1), (1, 3)], [(3, 1), (2, 2)]]]))
EVIDENCE = np.float32([[0.25, 0.75]])
PHYSIOLOGICAL = 0.25 * np.log(3.0) + 0.75 * np.log(1.5)


@pytest.mark.parametrize(
    "present, expected",
    [
        ((True, True), PHYSIOLOGICAL + LN2),
        ((True, False), PHYSIOLOGICAL),
        ((False, True), LN2),
        ((False, False), 0.0),
    ],
)
def test_golden_prototype_loss(present, expected):
    found = term_of(PROTOTYPE_SIMILARITY, EVIDENCE, np.array([present]))
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


# e = (¼, ¾). M_0 = e: 0. M_1 = (½, ½): KL(e ‖ M_1) = ¼ ln ½ + ¾ ln 3/2. Weighted by e_1 = ¾.
def test_golden_cooccurrence_loss():
    found = retrieval_loss(np.float32([[[0.25, 0.75], [0.5, 0.5]]]), EVIDENCE)
    np.testing.assert_allclose(found, [0.75 * (0.25 * np.log(0.5) + 0.75 * np.log(1.5))], rtol=1e-5)


def test_cooccurrence_loss_at_its_edges():
    nothing = np.zeros((1, 2), np.float32)
    assert not np.asarray(retrieval_loss(np.full((1, 2, 2), 0.5, np.float32), nothing)).any()
    hard = np.float32([[[1.0, 0.0], [1.0, 0.0]]])  # emotion 1 cannot be retrieved at all

    loss = quick_jit(jax.value_and_grad(lambda found: jnp.sum(cooccurrence_loss(found, EVIDENCE))))
    assert all_finite(loss(hard))
    assert loss(hard)[0] > 10


def case(size=4):
    """An output and a batch; the second sample lacks a modality group, the last one is padding, the third is flat."""
    rng = np.random.default_rng(0)
    labels = rng.random((size, 4)) + 0.05
    labels[2] = 1.0
    maps = rng.random((size, 4, 4)) + 0.05
    log_probs = rng.normal(size=(size, 4))
    output = MPCLOutput(
        log_probs=log_probs - np.log(np.exp(log_probs).sum(1, keepdims=True)),
        query=rng.normal(size=(size, 2, 8)),
        present=np.array([[True, True], [True, False], [True, True], [True, True]]),
        similarity=np.zeros((size, 2, 4, 2)),  # no loss reads it
        logits=rng.normal(size=(size, 2, 4, 2)),
        cooccurrence_map=maps / maps.sum(-1, keepdims=True),
    )
    output = output._replace(
        **{name: np.float32(x) for name, x in output._asdict().items() if name != "present"}
    )
    labels = np.float32(labels / labels.sum(1, keepdims=True))
    return output, Batch({}, {}, labels, np.float32([1, 1, 1, 0]))


NAMES = ("relation_distillation", "prototype", "cooccurrence")


def total_of(output, batch, weights, kind="above_floor", share=1.0):
    """The total and its terms."""
    terms = loss_terms(output, batch, weights, kind)
    return total_loss(terms, weights, share), terms


@functools.cache
def total(weights, kind="above_floor"):
    return quick_jit(lambda output, batch: total_of(output, batch, weights, kind))


@functools.cache
def loss_of(weights):
    output, batch = case()

    def loss(*parts):
        return total_of(trainable(output, *parts), batch, weights)[0]

    return quick_jit(jax.value_and_grad(loss, argnums=(0, 2)))


def trainable(output, similarity, log_probs, maps):
    return output._replace(logits=similarity, log_probs=log_probs, cooccurrence_map=maps)


@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_removes_a_term_exactly(name):
    """From the report, and from the gradient: what only this term depends on gets exactly none."""
    output, batch = case()
    only = LossConfig(**{other: float(other == name) for other in NAMES})
    without = LossConfig(**{other: float(other != name) for other in NAMES})
    assert name not in total(without)(output, batch)[1]
    assert set(total(only)(output, batch)[1]) == {"distribution", name}

    parts = output.logits, output.log_probs, output.cooccurrence_map
    slope, maps = loss_of(only)(*parts)[1]
    assert np.asarray(maps).any() == (name == "cooccurrence")
    assert np.asarray(slope).any() == (name != "cooccurrence")
    nothing = loss_of(LossConfig(0.0, 0.0, 0.0))(*parts)[1]
    assert not np.asarray(nothing[0]).any() and not np.asarray(nothing[1]).any()


def test_the_kind_of_evidence_reaches_both_terms_that_use_it():
    output, batch = case()
    above = total(LossConfig())(output, batch)[1]
    raw = total(LossConfig(), "raw")(output, batch)[1]
    for name in ("prototype", "cooccurrence"):
        assert abs(float(above[name] - raw[name])) > 1e-3
    assert float(above["relation_distillation"]) == float(raw["relation_distillation"])
    expected = jnp.mean(retrieval_loss(output.cooccurrence_map, batch.labels)[:3])
    np.testing.assert_allclose(raw["cooccurrence"], expected, rtol=1e-5)


def test_the_auxiliary_losses_warm_up():
    """Full after four batches: 1/4, 2/4, 3/4, 4/4 and 1 from there on; the distribution's own term has no share."""
    weights = LossConfig(0.5, 0.25, 2.0, aux_warmup_steps=4)
    shares = [float(auxiliary_share(weights, np.int32(step))) for step in range(6)]
    assert shares == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert auxiliary_share(dataclasses.replace(weights, aux_warmup_steps=0), np.int32(0)) == 1.0

    output, batch = case()
    whole, terms = total(weights)(output, batch)
    part, same = quick_jit(lambda *x: total_of(*x, weights, share=0.25))(output, batch)
    assert same_bits(terms, same)
    of_samples = kl(batch.labels, output.log_probs)
    np.testing.assert_allclose(terms["distribution"], np.mean(of_samples[:3]), rtol=1e-6)
    expected = terms["distribution"] + 0.25 * (whole - terms["distribution"])
    np.testing.assert_allclose(part, expected, rtol=1e-6)


def test_a_loss_of_something_absent_is_no_loss():
    weights = LossConfig(0.5, 0.3, 1.0)
    assert active_weights(weights, MODEL, 2) == weights
    no_retrieval = changed(MODEL, cooccurrence={"enabled": False})
    assert active_weights(weights, no_retrieval, 2) == LossConfig(0.5, 0.3, 0.0)
    no_memory = changed(no_retrieval, memory={"enabled": False})
    assert active_weights(weights, no_memory, 2) == LossConfig(0.0, 0.0, 0.0)
    assert active_weights(weights, MODEL, 1) == LossConfig(0.0, 0.3, 1.0)
