"""One definition of evidence and co-occurrence, for NumPy and JAX alike."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpcl_jax.labels import cooccurrence_of, evidence_of

# Shares after a division: flat up to rounding, above the floor by one ten-thousandth, clearly above it.
LABELS = np.float32([[1 / 3 + 3e-8, 1 / 3, 1 / 3 - 3e-8], [0.3334, 0.3333, 0.3333], [0.5, 0.3, 0.2]])
RATINGS = arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(2, 8)), elements=st.integers(1, 5))


def test_evidence_and_cooccurrence_by_hand():
    # (.5, .3, .2) - .2 = (.3, .1, 0), sum .4.
    for labels in (LABELS, LABELS.astype(np.float64)):
        np.testing.assert_allclose(evidence_of(labels), [[0, 0, 0], [1, 0, 0], [0.75, 0.25, 0]], atol=1e-6)
    assert evidence_of(LABELS, "raw") is LABELS
    # Rows (1, 0) and (1/2, 1/2): e e^T = ((1, 0), (0, 0)) and 1/4 everywhere; the sum of all entries is 2.
    pairs = cooccurrence_of(np.array([[1, 0], [0.5, 0.5]]))
    np.testing.assert_allclose(pairs, np.array([[1.25, 0.25], [0.25, 0.25]]) / 2)


@given(RATINGS)
def test_evidence_of_ratings_does_not_depend_on_their_floor(ratings):
    evidence = evidence_of(ratings / ratings.sum(1, keepdims=True))
    above = ratings - ratings.min(1, keepdims=True)
    np.testing.assert_allclose(evidence * above.sum(1, keepdims=True), above, atol=1e-9)
    np.testing.assert_allclose(evidence.sum(1), above.any(1), atol=1e-9)
    pairs = cooccurrence_of(evidence)
    np.testing.assert_allclose(pairs, pairs.T)
    assert pairs.sum() == pytest.approx(float(above.any()))


def test_numpy_and_jax_agree_and_keep_their_type():
    of_jax = jax.jit(evidence_of)(LABELS)
    evidence = evidence_of(LABELS)
    assert of_jax.dtype == evidence.dtype == np.float32
    np.testing.assert_allclose(of_jax, evidence, atol=1e-6)
    np.testing.assert_allclose(jax.jit(cooccurrence_of)(evidence), cooccurrence_of(evidence), rtol=1e-5)


@pytest.mark.filterwarnings("error")
def test_no_evidence_has_no_cooccurrence():
    assert not cooccurrence_of(np.zeros((4, 3))).any()
