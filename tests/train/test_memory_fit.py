"""The kernel of the personal memory is learned where subjects have a style of their own, and off elsewhere."""

import numpy as np
import pytest
from scipy.special import log_softmax

from mpcl_jax.model.personal_memory import adapt, write_trials
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, QUERY, TIME, RecallKernel
from mpcl_jax.train import memory_fit
from mpcl_jax.train.memory_fit import learn
from mpcl_jax.train.sequences import HeldOut, kl_of_subjects, predict_in_sequence, sequences_of

VIEWS = (FEATURES, LOG_PROBS)


def planted(style=0.0, similar=0.0, subjects=16, trials=8, windows=2, seed=0):
    """Reports around p, moved by `style` of the subject and by `similar` where the first feature is positive."""
    rng, c = np.random.default_rng(seed), 4
    count = subjects * trials
    place = rng.normal(size=(count, 3))
    mine = np.repeat(rng.normal(size=(subjects, 2, c)), trials, axis=0)
    scores = rng.normal(size=(count, c))
    moved = style * mine[:, 0] + similar * np.sign(place[:, [0]]) * mine[:, 1]
    labels = np.exp(log_softmax(scores + moved + 0.3 * rng.normal(size=(count, c)), 1))
    each = np.repeat(np.arange(count), windows)
    log_probs = log_softmax(scores + 0.01 * rng.normal(size=(count, c)), 1)[each]
    views = {FEATURES: place[each] + 0.1 * rng.normal(size=(len(each), 3)), LOG_PROBS: log_probs}
    subject = np.array([f"S{i // trials}" for i in each])
    return HeldOut(views, log_probs, labels[each], subject, each.astype(str))


def kl_of(kernel, held_out):
    sequences = sequences_of(held_out, VIEWS)
    before = kl_of_subjects(sequences.log_probs, sequences)
    after = before if kernel is None else kl_of_subjects(predict_in_sequence(kernel, sequences), sequences)
    return before.mean(), after.mean()


def test_a_planted_style_is_learned_and_recall_beats_the_mean():
    of_mean, of_all = (learn(planted(0.5, 0.5), views).kernel for views in ((), VIEWS))
    before, mean = kl_of(of_mean, planted(0.5, 0.5, seed=1))
    _, recalled = kl_of(of_all, planted(0.5, 0.5, seed=1))
    assert recalled < 0.95 * mean < 0.95 * 0.85 * before


@pytest.mark.parametrize("seed", range(5))
def test_exchangeable_subjects_are_not_harmed(seed):
    learned = learn(planted(seed=seed), VIEWS)
    before, after = kl_of(learned.kernel, planted(seed=seed + 100))
    assert after <= 1.005 * before
    assert (learned.kernel is None) == learned.reason.startswith("off")


def test_a_sequence_is_written_step_by_step_and_never_uses_later_reports():
    held_out = planted(1.0, 1.0, subjects=2, trials=5)
    kernel = RecallKernel(0.3, {FEATURES: 1.0, TIME: 0.5}, {FEATURES: 1.0, TIME: 2.0}, 0.1)
    found = predict_in_sequence(kernel, sequences_of(held_out, (FEATURES, TIME)))
    np.testing.assert_array_equal(found[:, 0], sequences_of(held_out, VIEWS).log_probs[:, 0])  # n = 0
    rows = np.flatnonzero(held_out.subject == "S1")
    memory = None
    for number, trial in enumerate(dict.fromkeys(held_out.trial[rows].tolist())):
        own = rows[held_out.trial[rows] == trial]
        views, log_probs = {v: x[own] for v, x in held_out.views.items()}, held_out.log_probs[own]
        if memory is not None:
            together = {v: np.broadcast_to(x.mean(0), x.shape) for v, x in views.items()}
            after = adapt(memory, kernel, together, log_probs)[0]
            np.testing.assert_allclose(after, found[1, number], atol=1e-9)
        memory = write_trials(memory, kernel, held_out.trial[own], views, log_probs, held_out.labels[own])
    changed = held_out._replace(labels=held_out.labels.copy())
    changed.labels[rows[6:]] = [0.7, 0.1, 0.1, 0.1]  # reports from the fourth trial on
    after = predict_in_sequence(kernel, sequences_of(changed, (FEATURES, TIME)))
    np.testing.assert_array_equal(after[1, :4], found[1, :4])
    assert np.abs(after[1, 4] - found[1, 4]).max() > 1e-3


def test_reported_zeros_stay_finite_and_help():
    held_out, test = (planted(2.0, 0.0, seed=s) for s in (0, 1))
    held_out, test = (
        x._replace(labels=(zero := np.where(x.labels < 0.1, 0, x.labels)) / zero.sum(1, keepdims=True))
        for x in (held_out, test)
    )
    before, after = kl_of(learn(held_out, VIEWS).kernel, test)
    assert np.isfinite(after) and after < before


def test_too_few_subjects_or_trials_switch_the_memory_off():
    assert "wanted 4" in learn(planted(2.0, subjects=3), VIEWS).reason
    assert "wanted 4" in learn(planted(2.0, trials=1), VIEWS).reason
    assert "groups and trials" in learn(None).reason
    assert memory_fit.VIEWS == (FEATURES, LOG_PROBS, QUERY)
