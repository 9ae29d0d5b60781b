"""The whole model: what is absent changes nothing, samples stay apart, every switch builds, nothing writes."""

import functools
from typing import NamedTuple

import jax
import numpy as np
import pytest
from tiny_model import (
    MODEL,
    ONE_SIDED,
    SPEC,
    all_finite,
    changed,
    memory,
    quick_jit,
    same_bits,
    tiny,
    tiny_batch,
    unit_rows,
)

from mpcl_jax.model import mpcl
from mpcl_jax.model.outputs import MPCLOutput
from mpcl_jax.model.recall import read_recall
from mpcl_jax.train.state import initial_variables

pytestmark = pytest.mark.usefixtures("strict_shapes")


class Runs(NamedTuple):
    calm: MPCLOutput  # train=False
    trained: MPCLOutput  # train=True, dropout key 0
    collection: dict  # `prototypes` after a pass that was allowed to write it


@functools.cache
def model_and_run():
    model, values = tiny()

    def run(values, batch):
        calm, written = model.apply(values, batch, train=False, mutable=["prototypes"])
        trained = model.apply(values, batch, train=True, rngs={"dropout": jax.random.key(0, impl="rbg")})
        return Runs(calm, trained, written)

    return values, quick_jit(run)


def partly():
    """Sample 0 is complete, 1 lacks eda, 2 its whole behavioural group, 3 its whole physiological group."""
    present = {
        "eda": np.array([True, False, True, False]),
        "bvp": np.array([True, True, True, False]),
        "face": np.array([True, True, False, True]),
    }
    return tiny_batch()._replace(present=present)


def with_content(batch, sample, modality, content):
    signals = {m: np.array(x) for m, x in batch.signals.items()}
    signals[modality][sample] = content
    return batch._replace(signals=signals)


def test_shapes_and_values_of_the_output():
    values, run = model_and_run()
    for output in run(values, partly())[:2]:
        shapes = [x.shape for x in output]
        assert shapes == [(4, 4), (4, 2, 8), (4, 2), (4, 2, 4, 2), (4, 2, 4, 2), (4, 4, 4)]
        assert [str(x.dtype) for x in output] == ["float32", "float32", "bool", *["float32"] * 3]
        assert all_finite(output)
        np.testing.assert_allclose(np.exp(output.log_probs).sum(-1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(np.asarray(output.cooccurrence_map).sum(-1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(output.query, axis=-1), 1.0, rtol=1e-5)
        wanted = [[True, True], [True, True], [True, False], [False, True]]
        assert np.asarray(output.present).tolist() == wanted
        bank, mass = values["prototypes"]["memory"][:2]
        cosine = np.einsum("bgd,gckd->bgck", np.asarray(output.query), bank)
        np.testing.assert_allclose(output.similarity, cosine / MODEL.memory.temperature, atol=1e-4)
        share = mass / mass.sum(-1, keepdims=True)
        np.testing.assert_allclose(output.logits, output.similarity + np.log(share)[None], atol=2e-3)


@pytest.mark.parametrize("sample, absent", [(2, 1), (3, 0)])
def test_the_query_of_an_absent_group_is_recalled_through_the_other(sample, absent):
    """unit(Σ r bank_absent), r the softmax over all slots of the logits of the present group."""
    values, run = model_and_run()
    calm = run(values, partly()).calm
    strength = np.exp(np.asarray(calm.logits, np.float64)[sample, 1 - absent])
    relation = strength / strength.sum()
    bank = values["prototypes"]["memory"].bank[absent]
    wanted = unit_rows(np.einsum("ck,ckd->d", relation, bank))
    np.testing.assert_allclose(calm.query[sample, absent], wanted, atol=1e-4)


def test_without_recall_an_absent_group_has_similarity_zero_and_without_weights_slots_are_alike():
    """Its query is zero, and so are its similarities: equally far from the prototypes of every emotion.

    Without mixture weights, here off too, all slots count alike.
    """
    model, values = tiny(changed(MODEL, memory={"recall": False, "mixture_weights": False}))
    values = with_norm_bias(values)
    output = quick_jit(lambda v, b: model.apply(v, b, train=False))(values, partly())
    for sample, absent in [(2, 1), (3, 0)]:
        assert not np.asarray(output.query)[sample, absent].any()
        assert not np.asarray(output.similarity)[sample, absent].any()
        assert np.asarray(output.query)[sample, 1 - absent].any()
    np.testing.assert_allclose(output.logits, output.similarity + np.log(0.5), rtol=1e-5)


def with_norm_bias(values):
    """`values` as after some training: the query of zeros is not zero, because the norm before it has a bias."""

    def add(path, leaf):
        keys = [str(getattr(key, "key", "")) for key in path]
        return leaf + 1.0 if keys[-1] == "bias" and "query_norm" in keys[-2] else leaf

    return jax.tree_util.tree_map_with_path(add, values)


@pytest.mark.parametrize("sample, modality", [(0, "eda"), (1, "face")])
def test_the_content_of_a_present_modality_changes_its_own_sample_only(sample, modality):
    values, run = model_and_run()
    others = [i for i in range(4) if i != sample]
    before, after = run(values, partly()), run(values, with_content(partly(), sample, modality, 2.0))
    for one, two in ((before.calm, after.calm), (before.trained, after.trained)):
        one, two = jax.tree.map(np.asarray, one), jax.tree.map(np.asarray, two)
        assert (one.log_probs[sample] != two.log_probs[sample]).any()
        assert (one.cooccurrence_map[sample] != two.cooccurrence_map[sample]).any()
        assert same_bits(jax.tree.map(lambda x: x[others], one), jax.tree.map(lambda x: x[others], two))


def test_labels_and_weights_are_not_used():
    values, run = model_and_run()
    other = partly()._replace(labels=np.eye(4, dtype=np.float32), weight=np.zeros(4, np.float32))
    assert same_bits(run(values, partly()), run(values, other))


def test_a_pass_reads_the_memory_and_writes_nothing():
    values, run = model_and_run()
    assert same_bits(run(values, partly()).collection, {"prototypes": values["prototypes"]})
    other = {**values, "prototypes": {"memory": memory(seed=2)}}
    before, after = run(values, partly()).calm, run(other, partly()).calm
    assert not same_bits(before.log_probs, after.log_probs)
    together = memory()._replace(cooccurrence=memory(seed=2).cooccurrence)
    after = run({**values, "prototypes": {"memory": together}}, partly()).calm
    assert not same_bits(before.cooccurrence_map, after.cooccurrence_map)


# Every switch of docs/method.md that changes the model, and the parameters that it takes away or brings.
BANKS = {"reading/from_strength"}
SWITCHES = {
    "one scale": ({"fusion": {"scales": (1.0,)}}, set(), set()),
    "fusion off": ({"fusion": {"within_group": False, "across_groups": False}}, {"fusion/block"}, set()),
    "within groups only": ({"fusion": {"across_groups": False}}, set(), set()),
    "across groups only": ({"fusion": {"within_group": False}}, set(), set()),
    "learned banks": ({"memory": {"update": "gradient"}}, set(), {"bank"}),
    "one slot": ({"memory": {"slots": 1}}, set(), set()),
    "no memory": (
        {"memory": {"enabled": False}, "cooccurrence": {"enabled": False}},
        BANKS | {"cooccurrence"},
        set(),
    ),
    "no co-occurrence retrieval": ({"cooccurrence": {"enabled": False}}, {"cooccurrence"}, set()),
    "no prior": ({"cooccurrence": {"prior": False}}, {"cooccurrence/prior_strength"}, set()),
    "no valence level": ({"head": {"hierarchy": "flat"}}, {"head/by_valence"}, set()),
    "no hierarchy": ({"head": {"hierarchy": "mean"}}, {"head/by_valence", "head/globally"}, set()),
    "no direct path": ({"head": {"direct": False}}, {"head/direct"}, set()),
}


def names(params):
    """Two levels of names: `fusion/block`."""
    deep = {f"{part}/{name}" for part, inner in params.items() if isinstance(inner, dict) for name in inner}
    return deep | set(params)


@functools.cache
def default_params():
    return tiny()[1]["params"]


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_builds(switch):
    changes, gone, new = SWITCHES[switch]
    settings = changed(MODEL, **changes)
    model, values = tiny(settings)
    found = names(values["params"])
    default = names(default_params())
    gone = {x for x in default if any(x == y or x.startswith(y + "/") for y in gone)}
    assert (default - found, found - default) == (gone, new)
    assert ("prototypes" in values) == settings.memory.enabled
    output = jax.eval_shape(lambda v, b: model.apply(v, b, train=False), values, partly())
    assert output.log_probs.shape == (4, 4) and output.logits.shape == (4, 2, 4, settings.memory.slots)


def test_a_data_set_of_one_group_has_parameters_and_a_bank_of_one_group():
    model = mpcl.build(MODEL, ONE_SIDED)
    made = jax.eval_shape(lambda: initial_variables(jax.random.key(0), model=model, spec=ONE_SIDED))
    assert model.modality_groups == ("physiological",)
    assert mpcl.build(MODEL, SPEC._replace(valence=("low", "high", "low", "other"))).valence == (0, 1, 0, 2)
    assert [x.shape for x in made["prototypes"]["memory"][:2]] == [(1, 4, 2, 8), (1, 4, 2)]

    model, values = tiny(spec=ONE_SIDED)
    assert not any("behavioural" in x or "face" in x for x in names(values["params"]))

    def run(values, batch):
        output, seen = model.apply(values, batch, train=False, mutable=["intermediates"])
        return output, read_recall(seen["intermediates"], output.log_probs, model)

    output, recall = quick_jit(run)(values, tiny_batch(spec=ONE_SIDED))
    assert output.similarity.shape == output.logits.shape == recall.recalled.shape == (4, 1, 4, 2)
    np.testing.assert_allclose(np.asarray(recall.recalled).sum((1, 2, 3)), 1.0, rtol=1e-5)
