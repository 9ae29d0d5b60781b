"""The sequential protocol: inner folds predict the training subjects, and a memory is learned on them alone."""

import numpy as np
import pytest
from scipy.special import log_softmax

import mpcl_jax as mpcl
from mpcl_jax.config.data import ProtocolConfig
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation.sequential import PROTOCOL, after_earlier_trials, predict_base
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS


@pytest.fixture(scope="module")
def styled():
    """Twelve subjects with five trials of two windows and a style of their own."""
    rng, subjects, trials = np.random.default_rng(0), 12, 5
    subject = np.repeat(np.arange(subjects), trials * 2)
    trial = np.repeat(np.arange(subjects * trials), 2)
    scores = rng.normal(size=(subjects, 3))[subject] + 0.2 * rng.normal(size=(subjects * trials, 3))[trial]
    signals = {"eda": rng.normal(size=(len(trial), 2))}
    ids = {"subject": subject.astype(str), "trial": trial.astype(str)}
    return mpcl.from_arrays(signals, np.exp(log_softmax(scores, 1)), **ids)


def test_no_subject_is_predicted_by_a_model_that_saw_it(styled):
    """The train mean of an inner fold is the mean of the labels of the subjects that the fold does not hold out."""
    fold = make_split(styled, ProtocolConfig(kind=PROTOCOL, folds=3)).folds[0]
    base = predict_base(styled, fold, "train_mean", None, 0, 1)
    np.testing.assert_array_equal(base.training.subject, styled.subject[fold.train])
    np.testing.assert_array_equal(base.tested.trial, styled.trial[fold.test])
    np.testing.assert_allclose(np.exp(base.tested.log_probs[0]), styled.labels[fold.train].mean(0), rtol=1e-6)
    shares, subject = np.exp(base.training.log_probs), base.training.subject
    for held in np.unique(shares.round(9), axis=0):
        own = np.isclose(shares, held).all(1)
        others = ~np.isin(subject, subject[own])
        assert len(np.unique(subject[own])) == 2  # eight training subjects in four inner folds
        np.testing.assert_allclose(held, base.training.labels[others].mean(0), rtol=1e-6)


def test_the_memory_helps_later_trials_and_uses_no_later_report(styled):
    fold = make_split(styled, ProtocolConfig(kind=PROTOCOL, folds=3)).folds[0]
    base = predict_base(styled, fold, "ridge", None, 0, 1)
    assert set(base.tested.views) == {FEATURES, LOG_PROBS}
    before, nothing = after_earlier_trials(base, None)
    after, learned = after_earlier_trials(base, (FEATURES,))
    assert nothing is None and learned.kernel is not None and after.mean() < 0.6 * before.mean()
    turned = base._replace(tested=base.tested._replace(labels=base.tested.labels[::-1]))
    assert (
        after_earlier_trials(turned, (FEATURES,))[1] == learned
    )  # no report of a tested subject is learned from
