"""bfloat16 is for matrix products only: what is kept, summed over a training, or compared stays float32."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from tiny_model import CONFIG, MODEL, SPEC, memory, quick_jit, tiny, tiny_batch, tiny_state, unit_rows

from mpcl_jax.model.prototypes import update_prototypes
from mpcl_jax.train.step import make_train_step

STEPS = 20


@pytest.fixture(scope="module")
def trained():
    """{precision: (state and losses after some steps on one batch)}, from the same start and with the same keys."""
    found = {}
    for precision in ("float32", "bfloat16"):
        train = dataclasses.replace(CONFIG.train, precision=precision)
        config = dataclasses.replace(CONFIG, train=train)
        model, values = tiny(precision=precision)
        state, optimizer = tiny_state(config, values)
        step, losses = quick_jit(make_train_step(model, optimizer, config)), []
        for i in range(STEPS):
            state, report = step(state, tiny_batch(8), jax.random.fold_in(jax.random.key(0), i))
            losses.append(report)
        found[precision] = (state, losses)
    return found


def test_the_state_of_a_training_is_float32(trained):
    state, losses = trained["bfloat16"]
    kept = jax.tree.leaves((state.params, state.opt_state, state.prototypes, losses))
    assert {str(x.dtype) for x in kept} <= {"float32", "int32"}
    alike = jax.tree.map(lambda a, b: a.dtype == b.dtype, state, trained["float32"][0])
    assert all(jax.tree.leaves(alike))


def test_the_training_is_that_of_float32_within_bfloat16s_three_digits(trained):
    """Eight bits of mantissa: a relative rounding of .004 per number."""
    full, short = ([float(x["loss"]) for x in trained[p][1]] for p in ("float32", "bfloat16"))
    np.testing.assert_allclose(short, full, rtol=0.02)
    assert full != short
    assert full[-1] < 0.95 * full[0]  # it has learned something to compare
    banks = [trained[p][0].prototypes.bank for p in ("float32", "bfloat16")]
    assert jnp.sum(banks[0] * banks[1], axis=-1).min() > 0.99  # cosine of each prototype


def test_sums_of_the_memory_have_the_highest_precision():
    """Else a GPU adds them in TF32 and a TPU in bfloat16, batch after batch."""
    rng = np.random.default_rng(0)
    query = jnp.asarray(unit_rows(rng.normal(size=(6, 2, MODEL.width))), jnp.float32)
    batch, kept = tiny_batch(6), memory(len(SPEC.emotions), MODEL.memory.slots, MODEL.width)
    jaxpr = jax.make_jaxpr(
        lambda *x: update_prototypes(kept, *x, jnp.ones((6, 2), bool), settings=MODEL.memory)
    )(query, batch.labels, batch.weight)
    products = [e for e in _equations(jaxpr.jaxpr) if e.primitive.name == "dot_general"]
    assert len(products) >= 3  # similarity, sum of queries, co-occurrence
    highest = jax.lax.Precision.HIGHEST
    assert {e.params["precision"] for e in products} == {(highest, highest)}


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)
