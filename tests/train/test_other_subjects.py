"""The memory that takes from other subjects which residuals go together."""

import numpy as np
import pytest
from scipy.special import log_softmax

from mpcl_jax.model.other_subjects import (
    arrays_of_others,
    kernel_of,
    numbers_of,
    responses,
    shared_with_others,
)
from mpcl_jax.model.personal_memory import adapt, write_trials
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, RecallKernel
from mpcl_jax.train.memory_fit import WITH_OTHERS, learn, learned_and_kl
from mpcl_jax.train.other_subjects_fit import with_other_subjects
from mpcl_jax.train.sequences import (
    HeldOut,
    kl_of_subjects,
    predict_in_order,
    predict_in_sequence,
    sequences_of,
)

VIEWS = (FEATURES, LOG_PROBS)
KERNEL = RecallKernel(0.2, dict.fromkeys(VIEWS, 0.5), dict.fromkeys(VIEWS, 1.5), 0.2)


def planted(strength, subjects=20, trials=10, emotions=4, seed=0):
    """Whoever reports more of emotion 0 in trials of kind A reports more of emotion 2 in those of kind B."""
    rng = np.random.default_rng(seed)
    count = subjects * trials
    kind = rng.integers(2, size=count)
    mine = strength * np.repeat(rng.normal(size=subjects), trials)
    moved = np.zeros((count, emotions))
    moved[np.arange(count), 2 * kind] = mine
    scores = rng.normal(size=(count, emotions))
    labels = np.exp(log_softmax(scores + moved + 0.3 * rng.normal(size=(count, emotions)), 1))
    place = np.stack([4.0 * kind, rng.normal(size=count)], 1)
    log_probs = log_softmax(scores, 1)
    subject = np.array([f"S{i // trials:02d}" for i in range(count)])
    return HeldOut(
        {FEATURES: place, LOG_PROBS: scores}, log_probs, labels, subject, np.arange(count).astype(str)
    )


def kl_with_others(kernel, sequences, without=None):
    return kl_of_subjects(predict_in_sequence(kernel, sequences, without), sequences)


def test_in_order_is_the_gaussian_process_with_both_covariances():
    """Brute force over all n · C residuals: K ⊗ 1 + F Fᵀ + 1, conditioned on the earlier trials."""
    rng = np.random.default_rng(0)
    n, subjects, emotions = 5, 3, 4
    root, found = rng.normal(size=(n, n)), rng.normal(size=(n, subjects, emotions))
    among, residual = root @ root.T, rng.normal(size=(n, emotions))
    flat = found.transpose(0, 2, 1).reshape(n * emotions, subjects)
    whole = np.kron(among, np.eye(emotions)) + flat @ flat.T
    wanted = np.zeros((n, emotions))
    for t in range(1, n):
        old, new = np.arange(t * emotions), np.arange(t * emotions, (t + 1) * emotions)
        solved = np.linalg.solve(whole[np.ix_(old, old)] + np.eye(len(old)), residual[:t].ravel())
        wanted[t] = whole[np.ix_(new, old)] @ solved
    np.testing.assert_allclose(predict_in_order(among, found, residual), wanted, atol=1e-12)


def test_adapting_step_by_step_gives_the_predictions_that_it_was_learned_with():
    kernel = with_other_subjects(KERNEL, sequences_of(planted(1.0), VIEWS))
    tested = planted(1.0, subjects=2, seed=1)
    memory, kl = None, []
    for row in np.flatnonzero(tested.subject == "S00")[:, None]:
        views, log_probs = {v: x[row] for v, x in tested.views.items()}, tested.log_probs[row]
        after = log_probs if memory is None else adapt(memory, kernel, views, log_probs)[0]
        kl.append((tested.labels[row] * (np.log(tested.labels[row]) - after)).sum())
        memory = write_trials(memory, kernel, tested.trial[row], views, log_probs, tested.labels[row])
    np.testing.assert_allclose(np.mean(kl), kl_with_others(kernel, sequences_of(tested, VIEWS))[0], rtol=1e-9)


def test_what_goes_together_in_others_is_used_and_only_then():
    together, exchangeable = planted(1.0), planted(0.0)
    kernel = learn(together).kernel
    assert kernel.others is not None
    own = learned_and_kl(together, VIEWS)[0].kernel
    tested = sequences_of(planted(1.0, seed=1), VIEWS)
    plain = kl_of_subjects(predict_in_sequence(own, tested), tested).mean()
    assert kl_with_others(kernel, tested).mean() < 0.95 * plain
    assert learned_and_kl(exchangeable, WITH_OTHERS)[0].kernel is None


def test_a_subject_is_not_predicted_from_its_own_responses_while_numbers_are_chosen():
    sequences = sequences_of(planted(1.0, subjects=6), VIEWS)
    kernel = with_other_subjects(KERNEL, sequences)
    others = kernel.others._replace(coefficient=kernel.others.coefficient.copy())
    others.coefficient[others.subject == 2] = 7.0  # the responses of subject 2 become nonsense
    spoiled = kernel._replace(others=others)
    first, second = (kl_with_others(k, sequences, without=np.arange(6)) for k in (kernel, spoiled))
    assert first[2] == second[2]
    assert (first != second).sum() == 5


WIDTHS = {FEATURES: 2, LOG_PROBS: 4}


def test_kernel_survives_the_names_of_its_arrays():
    kernel = with_other_subjects(KERNEL, sequences_of(planted(1.0, subjects=5), VIEWS))
    again = kernel_of(numbers_of(kernel), arrays_of_others(kernel.others), WIDTHS)
    views = planted(1.0, subjects=1, seed=3).views
    np.testing.assert_array_equal(responses(again, views), responses(kernel, views))


@pytest.mark.parametrize(
    "name, damage",
    [
        ("coefficient", lambda x: x * np.nan),
        ("coefficient", lambda x: x[:, :3]),
        ("coefficient", lambda x: x[:-1]),
        ("views/features", lambda x: x[:, :1]),
        ("subject", lambda x: x[::-1]),
        ("subject", lambda x: x[:0]),
    ],
)
def test_damaged_arrays_of_other_subjects_are_named(name, damage):
    kernel = with_other_subjects(KERNEL, sequences_of(planted(1.0, subjects=5), VIEWS))
    arrays = arrays_of_others(kernel.others)
    arrays[f"others/{name}"] = damage(arrays[f"others/{name}"])
    with pytest.raises(ValueError, match="others/"):
        kernel_of(numbers_of(kernel), arrays, WIDTHS)
    with pytest.raises(KeyError):
        kernel_of(numbers_of(kernel), {}, WIDTHS)


def test_with_many_written_trials_the_latest_decide_what_is_shared(monkeypatch):
    monkeypatch.setattr("mpcl_jax.model.other_subjects.MOST_DECIDING", 3)
    monkeypatch.setattr("mpcl_jax.model.recall_kernel.MOST_RECALLED", 4)
    kernel = with_other_subjects(KERNEL, sequences_of(planted(1.0, subjects=5), VIEWS))
    tested = planted(1.0, subjects=1, seed=4)
    written = write_trials(None, kernel, tested.trial, tested.views, tested.log_probs, tested.labels)
    changed = written._replace(residual=written.residual.copy())
    changed.residual[0] += 1.0
    found = [shared_with_others(kernel, x.views, x.residual)[0] for x in (written, changed)]
    np.testing.assert_array_equal(*found)
    # Every window is adapted by its own 4 most similar trials, whatever else is predicted with it.
    together, weight = adapt(written, kernel, tested.views, tested.log_probs)
    assert ((weight != 0).sum(1) == 4).all()
    for row in range(3):
        alone = adapt(
            written, kernel, {v: x[[row]] for v, x in tested.views.items()}, tested.log_probs[[row]]
        )
        np.testing.assert_allclose(alone[0][0], together[row], atol=1e-12)


def test_the_number_of_other_subjects_is_bounded(monkeypatch):
    monkeypatch.setattr("mpcl_jax.train.other_subjects_fit.MOST_OTHERS", 4)
    kernel = with_other_subjects(KERNEL, sequences_of(planted(1.0, subjects=9), VIEWS))
    assert np.unique(kernel.others.subject).tolist() == [0, 1, 2, 3]
    assert len(kernel.others.coefficient) == 4 * 10
