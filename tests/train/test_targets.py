"""The targets of training: means over training rows of shared stimuli only; what the training step gets of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpcl_jax.config.data import SimulateConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.estimator.regressor import MPCLRegressor
from mpcl_jax.train.targets import averaged, mean_reports, stimulus_numbers
from mpcl_jax.types import Recordings, take

EMPTY = Recordings(**dict.fromkeys(Recordings._fields))
# Stimulus "a" is shared by three subjects, "b" by two of them, "c" belongs to one; one row has none.
RECORDINGS = EMPTY._replace(
    subject=np.array(["1", "2", "3", "1", "2", "3", "3"]),
    stimulus=np.array(["a", "a", "a", "b", "b", "c", ""]),
    labels=np.array([[1, 0], [0.5, 0.5], [0, 1], [1, 0], [0, 1], [1, 0], [0, 1]], np.float32),
)


def test_only_stimuli_of_several_subjects_have_a_number():
    numbers, shared = stimulus_numbers(RECORDINGS)
    assert shared == 2 and numbers.tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_means_are_those_of_training_rows_of_several_subjects():
    means = mean_reports(RECORDINGS, np.array([0, 1, 3, 5, 6]))
    # (1 + 0.5) / 2 of rows 0 and 1; row 2 is no training row. "b" has one training subject left.
    np.testing.assert_array_equal(means, [[0.75, 0.25], [np.nan] * 2, [np.nan] * 2])


def test_a_report_without_a_mean_stays_as_it_is():
    labels, means = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([[0.5, 0.5], [jnp.nan] * 2])
    np.testing.assert_allclose(averaged(labels, means, 0.5), [[0.75, 0.25], [1.0, 0.0]])


@pytest.fixture(scope="module")
def recordings():
    found, _ = simulate(SimulateConfig(subjects=5))
    return take(found, np.arange(0, len(found.labels), 8))


def test_a_fit_sees_the_mean_reports_instead_of_the_reports(recordings):
    small = {"model.tokens": 1, "model.memory.slots": 1, "model.fusion.scales": (1.0,)}
    model = MPCLRegressor(epochs=2, width=8, early_stopping=False, personal_memory=False)
    fit = model.set_params(settings={**small, "train.stimulus_averaging": 0.75}).fit(recordings)
    numbers, _ = stimulus_numbers(recordings)
    means = mean_reports(recordings, np.arange(len(numbers)))[numbers]
    assert np.isfinite(means).all(1).any()
    of_means = np.where(np.isnan(means), recordings.labels, 0.25 * recordings.labels + 0.75 * means)
    expected = model.set_params(settings=small).fit(recordings._replace(labels=of_means.astype(np.float32)))
    for a, b in zip(jax.tree.leaves(fit._fits), jax.tree.leaves(expected._fits), strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, atol=2e-4)
