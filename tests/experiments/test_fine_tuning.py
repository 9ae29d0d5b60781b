"""Fine-tuning on written trials, and its comparison with the memory, on a linear model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from styled_subjects import write_styled

from experiments.shared.fine_tune import fine_tune
from experiments.tables import fine_tuning
from mpcl_jax.model.recall_kernel import RecallKernel, views_of
from mpcl_jax.train.sequences import HeldOut, kl_of_subjects, predict_in_sequence, sequences_of


def log_probs(params, x):
    """A linear model with a bias, [W, 2] -> [W, 3]."""
    return jax.nn.log_softmax(x @ params["matrix"] + params["bias"])


PARAMS = {"matrix": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}


@pytest.fixture(scope="module")
def held_out():
    """Eight subjects of three trials with two windows each; every subject has a style of reporting."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(48, 2)).astype(np.float32)
    style = np.repeat(draw.dirichlet(np.ones(3), 8), 6, axis=0)
    labels = 0.9 * style + 0.1 * np.repeat(draw.dirichlet(np.ones(3), 24), 2, axis=0)
    predicted = np.asarray(log_probs(PARAMS, x))
    ids = np.arange(48)
    subject, trial = (np.array([f"{name}{i // size}" for i in ids]) for name, size in (("S", 6), ("t", 2)))
    return HeldOut(views_of({"x": x[:, None]}, predicted), predicted, labels, subject, trial), x


def base_of(held_out, x):
    return fine_tuning.Base(held_out, log_probs, PARAMS, lambda rows: x[rows])


def test_steps_lower_the_kl_of_the_written_windows_and_read_no_other_report(held_out):
    (_, _, labels, *_), x = held_out
    weight = np.r_[0.5, 0.5, np.zeros(4)].astype(np.float32)
    tuned, found = fine_tune(log_probs, PARAMS, x[:6], labels[:6], weight, 0.003, steps=5)
    assert found.shape == (6, 6, 3) and np.allclose(found[0], log_probs(PARAMS, x[:6]))
    assert np.allclose(found[-1], log_probs(tuned, x[:6]), atol=1e-6)
    kl = -(labels[:2] * np.asarray(found)[:, :2]).sum((1, 2))
    assert (np.diff(kl) < 0).all() and not np.asarray(PARAMS["bias"]).any()
    changed = np.concatenate([labels[:2], labels[10:14]])
    assert (fine_tune(log_probs, PARAMS, x[:6], changed, weight, 0.003, steps=5)[1] == found).all()


def test_the_memory_after_all_but_the_last_trial_is_that_of_the_sequential_protocol(held_out):
    held_out, _ = held_out
    kernel = RecallKernel(0.5, {"features": 0.7}, {"features": 1.0}, 0.1)
    sequences = sequences_of(held_out, ("features",))
    last = sequences._replace(weight=sequences.weight * [[[0.0], [0.0], [1.0]]])
    expected = kl_of_subjects(predict_in_sequence(kernel, sequences), last)
    assert np.allclose(fine_tuning.memory_kl(held_out, kernel, 2, 2), expected)
    # With less written, the same last trial is predicted; without a memory, as it was.
    zero_shot = kl_of_subjects(last.log_probs, last)
    assert np.allclose(fine_tuning.memory_kl(held_out, None, 0, 2), zero_shot)
    assert (np.abs(fine_tuning.memory_kl(held_out, kernel, 1, 2) - expected) > 1e-6).all()


def test_every_adaptation_is_measured_on_the_same_later_trials(held_out):
    held_out, x = held_out
    found = fine_tuning.measure([base_of(held_out, x)] * 2, [1, 2], length=9)
    adaptations = "mean residual", "recall", "fine-tuned"
    assert set(found) == {("none", 0), *((a, n) for a in adaptations for n in (1, 2))}
    assert {kl.shape for kl in found.values()} == {(8,)}
    for adaptation in ("mean residual", "fine-tuned"):
        assert found[adaptation, 2].mean() < found["none", 0].mean()
    # Padding to 9 windows changes nothing.
    assert np.allclose(
        fine_tuning.tuned_kl(base_of(held_out, x), 2, 2, 9),
        fine_tuning.tuned_kl(base_of(held_out, x), 2, 2, 6),
        atol=1e-6,
    )


def test_data_and_settings_are_those_of_a_preset_or_of_the_folder_alone(tmp_path):
    folder = write_styled(tmp_path / "data", subjects=4)
    recordings, config = fine_tuning.data_and_settings(folder, "walking", 3)
    assert (config.train.select, config.train.epochs, config.model.input_dropout) == ("inner", 3, 0.4)
    assert len(np.unique(recordings.subject)) == 4
    _, config = fine_tuning.data_and_settings(folder, None, None)
    assert (config.train.select, config.train.epochs, config.model.width) == ("last", 20, 32)


def test_differences_are_to_recall_after_as_many_trials():
    kl = np.linspace(0.05, 0.06, 8)
    found = {("mlp", "none", 0): kl + 0.02, ("mlp", "recall", 1): kl, ("mlp", "fine-tuned", 1): kl + 0.01}
    none, recall, tuned = fine_tuning.report(found)
    assert none["minus_recall"] == recall["minus_recall"] == ""
    assert tuned["minus_recall"].startswith("+0.0100 [") and tuned["kl"] == "0.0650"
