"""Every term by hand, at its edges, and exactly gone where its weight is 0."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import all_finite, quick_jit

from mpcl_jax.config.model import LossConfig
from mpcl_jax.model.losses import (
    auxiliary_share,
    cooccurrence_loss,
    kl_divergence,
    loss_terms,
    prototype_loss,
    total_loss,
)
from mpcl_jax.model.outputs import MPCLOutput
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


def test_the_kind_of_evidence_reaches_both_terms_that_use_it():
    """Of the label (.4, .6) the evidence is (0, 1) above the floor, and (.4, .6) raw."""
    labels, both = np.float32([[0.4, 0.6]]), np.ones((1, 2), bool)
    maps = np.float32([[[0.25, 0.75], [0.5, 0.5]]])
    output = MPCLOutput(np.log(labels), None, both, None, PROTOTYPE_SIMILARITY, maps)
    batch = Batch({}, {}, labels, np.ones(1, np.float32))
    for kind, evidence in (("above_floor", np.float32([[0, 1]])), ("raw", labels)):
        terms = loss_terms(output, batch, LossConfig(), kind)
        expected = term_of(PROTOTYPE_SIMILARITY, evidence, both)[0]
        np.testing.assert_allclose(terms["prototype"], expected, rtol=1e-5)
        expected = retrieval_loss(maps, evidence)[0]
        np.testing.assert_allclose(terms["cooccurrence"], expected, rtol=1e-5)


def test_the_auxiliary_losses_warm_up():
    """Full after four batches: 1/4, 2/4, 3/4, 4/4 and 1 from there on; the distribution's own term has no share."""
    weights = LossConfig(0.5, 0.25, 2.0, aux_warmup_steps=4)
    shares = [float(auxiliary_share(weights, np.int32(step))) for step in range(6)]
    assert shares == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert auxiliary_share(dataclasses.replace(weights, aux_warmup_steps=0), np.int32(0)) == 1.0
    # 1 + ¼ (¼ · 2 + 2 · 3) = 2.625.
    assert total_loss({"distribution": 1.0, "prototype": 2.0, "cooccurrence": 3.0}, weights, 0.25) == 2.625
