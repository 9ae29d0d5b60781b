"""Baselines without signals: golden values, and the train mean where subject, stimulus or duration is unknown."""

import numpy as np
import pytest

from mpcl_jax.baselines import duration_only, means
from mpcl_jax.baselines.selection import Part, RowInfo, Task

# Two subjects; the first reports (.2, .8) and (.4, .6), the second (.9, .1) and (.5, .5). Mean (.5, .5).
LABELS = np.array([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])
TRAIN = Part(np.zeros((4, 1), np.float32), LABELS, np.array(["A", "A", "B", "B"]))
IDS = RowInfo(np.array(["A", "A", "B", "B"]), np.array(["x", "y", "x", ""]), np.full(4, 3.0))


def row(subject, stimulus="", windows=3.0):
    return RowInfo(np.array([subject]), np.array([stimulus]), np.array([windows]))


def shares(predict, train, train_info, test_info, tries=6):
    """What a baseline predicts for rows of which only `test_info` is known."""
    x = np.zeros((len(test_info.subject), 1), np.float32)
    return predict(Task(train, x, train_info, test_info, ()), 0, tries).shares


def test_uniform_and_train_mean():
    assert (shares(means.predict_uniform, TRAIN, IDS, row("A")) == 0.5).all()
    # (.2 + .4 + .9 + .5) / 4 = .5
    assert np.allclose(shares(means.predict_train_mean, TRAIN, IDS, row("A")), [[0.5, 0.5]])


@pytest.mark.parametrize(("subject", "share"), [("A", 0.3), ("B", 0.7), ("C", 0.5)])
def test_subject_mean_is_that_of_the_same_subject_or_of_all(subject, share):
    # A: (.2 + .4) / 2 = .3. B: (.9 + .5) / 2 = .7. C has no training row.
    assert np.allclose(shares(means.predict_subject_mean, TRAIN, IDS, row(subject)), [[share, 1 - share]])


@pytest.mark.parametrize(("stimulus", "share"), [("x", 0.55), ("y", 0.4), ("z", 0.5), ("", 0.5)])
def test_stimulus_mean_is_that_of_the_same_stimulus_or_of_all(stimulus, share):
    # x: (.2 + .9) / 2 = .55. y was seen by A alone. "" is no stimulus, although a training row has it too.
    found = shares(means.predict_stimulus_mean, TRAIN, IDS, row("C", stimulus))
    assert np.allclose(found, [[share, 1 - share]])


def by_length(windows, labels, subjects=4):
    windows = np.asarray(windows, float)
    group = np.array([f"S{i % subjects}" for i in range(len(windows))])
    known = RowInfo(group, np.full(len(windows), ""), windows)
    return Part(np.zeros((len(windows), 1), np.float32), np.asarray(labels), group), known


def test_labels_that_depend_on_the_duration_are_learned():
    # Long trials report (.8, .2), short ones (.2, .8), for all subjects: exact at the two lengths.
    windows = np.tile([4, 4, 9, 9], 30)
    labels = np.where(windows[:, None] > 5, [[0.8, 0.2]], [[0.2, 0.8]])
    train, known = by_length(windows, labels, subjects=7)
    test = RowInfo(np.array(["N", "N"]), np.array(["", ""]), np.array([9.0, 4.0]))
    predicted = shares(duration_only.predict, train, known, test)
    assert np.allclose(predicted, [[0.8, 0.2], [0.2, 0.8]], atol=1e-3)


def test_equal_and_unknown_durations_give_the_train_mean():
    train, known = by_length([5, 5, 5, 5], LABELS)
    assert np.allclose(shares(duration_only.predict, train, known, row("N", windows=5.0)), 0.5)
    train, known = by_length([np.nan] * 4, LABELS)
    assert np.allclose(shares(duration_only.predict, train, known, row("N", windows=5.0)), 0.5)
    train, known = by_length([2, 2, 6, 6], LABELS)
    test = RowInfo(np.array(["N", "N"]), np.array(["", ""]), np.array([np.nan, 6.0]))
    predicted = shares(duration_only.predict, train, known, test, tries=1)
    assert np.allclose(predicted[0], 0.5)
    assert predicted[1, 0] > 0.5
