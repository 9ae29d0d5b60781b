"""One definition of evidence, for NumPy and JAX alike."""

import jax
import numpy as np
import pytest

from mpcl_jax.data import simulate
from mpcl_jax.evaluate import agreement
from mpcl_jax.labels import cooccurrence_of, evidence_of
from mpcl_jax.model import prototypes

# Shares that went through a division: flat up to rounding, clear by one ten-thousandth, clear.
LABELS = np.float32([[1 / 3 + 3e-8, 1 / 3, 1 / 3 - 3e-8], [0.3334, 0.3333, 0.3333], [0.5, 0.3, 0.2]])


def test_a_label_that_is_flat_up_to_rounding_is_no_evidence_whoever_asks():
    for module in (simulate, prototypes, agreement):
        assert module.evidence_of is evidence_of
    for labels in (LABELS, LABELS.astype(np.float64)):
        np.testing.assert_allclose(evidence_of(labels), [[0, 0, 0], [1, 0, 0], [0.75, 0.25, 0]], atol=1e-6)


def test_numpy_and_jax_agree_and_keep_their_type():
    of_jax = jax.jit(evidence_of)(LABELS)
    assert of_jax.dtype == evidence_of(LABELS).dtype == np.float32
    np.testing.assert_allclose(of_jax, evidence_of(LABELS), atol=1e-6)
    assert evidence_of(LABELS, "raw") is LABELS
    evidence = evidence_of(LABELS)
    np.testing.assert_allclose(jax.jit(cooccurrence_of)(evidence), cooccurrence_of(evidence), rtol=1e-5)


@pytest.mark.filterwarnings("error")
def test_no_evidence_has_no_cooccurrence():
    assert not cooccurrence_of(np.zeros((4, 3))).any()
