"""What is known before any signal is looked at: golden values, and the train mean where nothing is known."""

import numpy as np
import pytest

from mpcl_jax.baselines import means
from mpcl_jax.baselines.selection import Known, Part

# Two people; the first reports (.2, .8) and (.4, .6), the second (.9, .1) and (.5, .5). Mean (.5, .5).
LABELS = np.array([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])
TRAIN = Part(np.zeros((4, 1), np.float32), LABELS, np.array(["A", "A", "B", "B"]))
IDS = Known(np.array(["A", "A", "B", "B"]), np.array(["x", "y", "x", ""]), np.full(4, 3.0))


def args(subject, stimulus="", windows=3.0):
    return Known(np.array([subject]), np.array([stimulus]), np.array([windows]))


def test_uniform_and_train_mean():
    assert (means.predict_uniform(TRAIN, TRAIN.x) == 0.5).all()
    # (.2 + .4 + .9 + .5) / 4 = .5
    assert np.allclose(means.predict_train_mean(TRAIN, TRAIN.x[:2]), [[0.5, 0.5]] * 2)


@pytest.mark.parametrize(("who", "share"), [("A", 0.3), ("B", 0.7), ("C", 0.5)])
def test_subject_mean_is_that_of_the_same_person_or_of_all(who, share):
    # A: (.2 + .4) / 2 = .3. B: (.9 + .5) / 2 = .7. C has no training row.
    assert np.allclose(means.predict_subject_mean(TRAIN, IDS, args(who)), [[share, 1 - share]])


@pytest.mark.parametrize(("what", "share"), [("x", 0.55), ("y", 0.4), ("z", 0.5), ("", 0.5)])
def test_stimulus_mean_is_that_of_the_same_stimulus_or_of_all(what, share):
    # x: (.2 + .9) / 2 = .55. y was seen by A alone. "" is no stimulus, although a training row has it too.
    assert np.allclose(means.predict_stimulus_mean(TRAIN, IDS, args("C", what)), [[share, 1 - share]])


def by_length(windows, labels, people=4):
    windows = np.asarray(windows, float)
    group = np.array([f"S{i % people}" for i in range(len(windows))])
    known = Known(group, np.full(len(windows), ""), windows)
    return Part(np.zeros((len(windows), 1), np.float32), np.asarray(labels), group), known


def test_duration_tells_what_is_tied_to_it():
    # Long trials report (.8, .2), short ones (.2, .8), for everybody: exact at the two lengths.
    windows = np.tile([4, 4, 9, 9], 30)
    labels = np.where(windows[:, None] > 5, [[0.8, 0.2]], [[0.2, 0.8]])
    train, known = by_length(windows, labels, people=7)
    test = Known(np.array(["N", "N"]), np.array(["", ""]), np.array([9.0, 4.0]))
    predicted = means.predict_duration_only(train, known, test, trials=6)
    assert np.allclose(predicted, [[0.8, 0.2], [0.2, 0.8]], atol=1e-3)


def test_duration_begins_with_ridge_and_alternates_with_neighbours():
    # One group, so the first candidate: ridge, alpha 100. Lengths ∓1 after scaling, shares ∓.3 about .5; four rows:
    # slope 4 · .3 / (4 + 100) = 1.2 / 104.
    train, known = by_length([2, 2, 6, 6], [[0.2, 0.8]] * 2 + [[0.8, 0.2]] * 2, people=1)
    predicted = means.predict_duration_only(train, known, args("N", windows=6.0), trials=6)
    assert np.allclose(predicted, [[0.5 + 1.2 / 104, 0.5 - 1.2 / 104]])
    kinds = [method.__name__ for method, _ in means.DURATION_CANDIDATES]
    assert kinds == ["ridge", "knn"] * 3


def test_equal_and_unknown_durations_say_nothing():
    train, known = by_length([5, 5, 5, 5], LABELS)
    assert np.allclose(means.predict_duration_only(train, known, args("N", windows=5.0), trials=6), 0.5)
    train, known = by_length([np.nan] * 4, LABELS)
    assert np.allclose(means.predict_duration_only(train, known, args("N", windows=5.0), trials=6), 0.5)
    train, known = by_length([2, 2, 6, 6], LABELS)
    test = Known(np.array(["N", "N"]), np.array(["", ""]), np.array([np.nan, 6.0]))
    predicted = means.predict_duration_only(train, known, test, trials=1)
    assert np.allclose(predicted[0], 0.5)
    assert predicted[1, 0] > 0.5
