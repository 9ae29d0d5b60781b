"""What the model reads from the banks: similarities, a recalled modality group, one token per emotion."""

import numpy as np
import pytest
from tiny_model import memory, parameters_of, quick_jit, same_bits, unit_rows

from mpcl_jax.model.prototypes import (
    PrototypeReading,
    emotion_logits,
    log_mixture_weights,
    recall_absent,
    similarities,
)

pytestmark = pytest.mark.usefixtures("strict_shapes")

BANK = np.float32([[[(1.0, 0.0), (0.0, 1.0)]] * 2, [[(0.6, 0.8), (1.0, 0.0)]] * 2])  # G 2, C 2, K 2, D 2
QUERY = np.float32([[(1.0, 0.0), (0.0, 1.0)]])

recalled = quick_jit(recall_absent)


def queries(size):
    return unit_rows(np.random.default_rng(5).normal(size=(size, 2, 8)))


def test_similarities_are_cosines_over_the_temperature():
    found = similarities(QUERY, BANK, 0.1)
    np.testing.assert_allclose(found[0, :, 0], [[10.0, 0.0], [8.0, 0.0]], atol=1e-5)


# Shares (¾, ¼) of 3 + 1 samples; without evidence: one half each; one slot: all of it.
def test_mixture_weights_are_shares_of_the_evidence():
    found = log_mixture_weights(np.float32([[3.0, 1.0], [0.0, 0.0], [5.0, 5.0]]))
    np.testing.assert_allclose(np.exp(found), [[0.75, 0.25], [0.5, 0.5], [0.5, 0.5]], atol=3e-4)
    assert not np.asarray(log_mixture_weights(np.float32([[0.0], [7.0]]))).any()


# A full slot at s = −3 beside three empty ones at s = 0. Equal weights: log(e^−3 + 3) = 1.12, and 1.39 where the
# full one is at 0 too, so the distance hardly counts. Weighted: −3 and 0, up to the 1e-3 samples of an empty slot.
def test_unused_prototypes_do_not_dominate_the_log_sum_exp():
    share = log_mixture_weights(np.float32([20.0, 0.0, 0.0, 0.0]))
    for far in (-3.0, 0.0):
        np.testing.assert_allclose(emotion_logits(np.float32([far, 0.0, 0.0, 0.0]) + share), far, atol=4e-3)


# Two emotions, one slot. q_p = (1, 0) has similarities (ln 3, 0) at τ = 1 / ln 3, so relation (¾, ¼), which
# reads ¾ (0, 1) + ¼ (1, 0) = (¼, ¾) from the behavioural bank: length .790569 -> (.316228, .948683).
def test_golden_recall():
    bank = np.float32([[[(1.0, 0.0)], [(0.0, 1.0)]], [[(0.0, 1.0)], [(1.0, 0.0)]]])
    query = np.float32([[(1.0, 0.0), (0.3, 0.3)]] * 3)
    present = np.array([[True, False], [True, True], [False, False]])
    found = np.asarray(recalled(query, present, bank, np.zeros((2, 2, 1), np.float32), 1 / np.log(3.0)))
    np.testing.assert_allclose(found[0], [(1.0, 0.0), (0.316228, 0.948683)], atol=1e-5)
    assert same_bits(found[1], query[1])
    assert not found[2].any()


def reading_inputs():
    rng = np.random.default_rng(2)
    query = queries(3)
    feature = rng.normal(size=(3, 2, 8)).astype(np.float32)
    return feature, np.asarray(similarities(query, memory().bank, 0.5))


def test_reading_follows_its_formula():
    feature, similarity = reading_inputs()
    module = PrototypeReading(emotions=4, dropout=0.0)
    params = parameters_of(module, feature, similarity, train=False)
    near = np.log(np.exp(similarity).sum(-1)).transpose(0, 2, 1)
    h = (
        feature.reshape(3, 1, 16) @ params["from_feature"]["kernel"]
        + params["from_feature"]["bias"][None, None]
    )
    h = h + near @ params["from_strength"]["kernel"]
    h = np.asarray(h) + params["emotion"][None]
    normed = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
    expected = normed * params["norm"]["scale"][None, None] + params["norm"]["bias"][None, None]
    apply = quick_jit(lambda *inputs: module.apply({"params": params}, *inputs, train=False))
    found = apply(feature, similarity)
    np.testing.assert_allclose(found, expected, atol=1e-4)
