"""What the model reads from the banks: similarities, a recalled side, one token per emotion."""

import jax
import numpy as np
import pytest
from tiny_model import memory, parameters_of, quick_jit, same_bits, unit_rows

from mpcl_jax.model.prototypes import PrototypeReading, recall_absent, similarities

pytestmark = pytest.mark.usefixtures("strict_shapes")

BANK = np.float32([[[(1.0, 0.0), (0.0, 1.0)]] * 2, [[(0.6, 0.8), (1.0, 0.0)]] * 2])  # G 2, C 2, K 2, D 2
QUERY = np.float32([[(1.0, 0.0), (0.0, 1.0)]])

recalled = quick_jit(recall_absent)


def queries(size):
    return unit_rows(np.random.default_rng(5).normal(size=(size, 2, 8)))


def test_similarities_are_cosines_over_the_temperature():
    found = similarities(QUERY, BANK, 0.1)
    np.testing.assert_allclose(found[0, :, 0], [[10.0, 0.0], [8.0, 0.0]], atol=1e-5)


# Two emotions, one slot. q_p = (1, 0) has similarities (ln 3, 0) at τ = 1 / ln 3, so relation (¾, ¼), which
# reads ¾ (0, 1) + ¼ (1, 0) = (¼, ¾) from the behavioural bank: length .790569 -> (.316228, .948683).
def test_golden_recall():
    bank = np.float32([[[(1.0, 0.0)], [(0.0, 1.0)]], [[(0.0, 1.0)], [(1.0, 0.0)]]])
    query = np.float32([[(1.0, 0.0), (0.3, 0.3)]] * 3)
    present = np.array([[True, False], [True, True], [False, False]])
    found = np.asarray(recalled(query, present, bank, 1 / np.log(3.0)))
    np.testing.assert_allclose(found[0], [(1.0, 0.0), (0.316228, 0.948683)], atol=1e-5)
    assert same_bits(found[1], query[1])
    assert not found[2].any()


def test_recall_works_in_both_directions():
    bank = np.asarray(memory().bank)
    query = queries(1)
    found = recalled(query, np.array([[False, True]]), bank, 0.1)
    turned = recalled(query[:, ::-1], np.array([[True, False]]), bank[::-1], 0.1)
    np.testing.assert_allclose(found[:, ::-1], turned, atol=1e-6)
    assert same_bits(found[0, 1], query[0, 1])


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


def test_reading_without_a_memory_has_no_bank_parameters():
    feature, _ = reading_inputs()
    params = parameters_of(PrototypeReading(emotions=4, dropout=0.0), feature, None, train=False)
    assert set(params) == {"emotion", "from_feature", "norm"}


def test_reading_drops_out_only_in_training():
    inputs = reading_inputs()
    module = PrototypeReading(emotions=4, dropout=0.5)
    variables = {"params": parameters_of(module, *inputs, train=False)}

    @quick_jit
    def both(key):
        rngs = {"dropout": key}
        trained = module.apply(variables, *inputs, train=True, rngs=rngs)
        return trained, module.apply(variables, *inputs, train=False, rngs=rngs)

    trained, calm = both(jax.random.key(0))
    assert (np.asarray(trained) == 0).any() and (np.asarray(calm) != 0).all()
