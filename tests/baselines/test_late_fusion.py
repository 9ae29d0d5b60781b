"""Late fusion: the mixture, its weights, and absent modalities."""

import numpy as np

from mpcl_jax.baselines.late_fusion import mixing_weights, mixture, predict
from mpcl_jax.baselines.selection import Block, Part, Task

OTHERWISE = np.array([0.5, 0.5])
TWO = np.array([[[0.8, 0.2]], [[0.2, 0.8]]])  # two modalities, one row
HERE = np.ones((2, 1), bool)


def test_a_mixture_is_a_weighted_mean_of_what_is_present():
    # .75 · .8 + .25 · .2 = .65
    weight = np.array([0.75, 0.25])
    assert np.allclose(mixture(TWO, HERE, weight, OTHERWISE), [[0.65, 0.35]])
    first, neither = np.array([[True], [False]]), np.zeros((2, 1), bool)
    assert np.allclose(mixture(TWO, first, weight, OTHERWISE), [[0.8, 0.2]])
    assert np.allclose(mixture(TWO, neither, weight, OTHERWISE), [[0.5, 0.5]])


def test_weights_are_those_of_the_mixture_that_made_the_labels():
    # (.65, .35) = .75 · (.8, .2) + .25 · (.2, .8), a mixture with KL 0.
    assert np.allclose(mixing_weights(TWO, HERE, np.array([[0.65, 0.35]])), [0.75, 0.25], atol=1e-3)
    # A label beyond both: all weight on the nearer one.
    assert np.allclose(mixing_weights(TWO, HERE, np.array([[0.95, 0.05]])), [1, 0], atol=1e-3)


def signal_and_noise(rows=300, seed=0):
    """Column 0 carries the labels, column 1 is noise; column 2 marks where column 1 was measured."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 3)).astype(np.float32)
    x[:, 2] = np.arange(rows) % 4 > 0
    x[:, 1] *= x[:, 2]
    share = 0.5 + 0.15 * np.clip(x[:, 0], -3, 3)
    return Part(x, np.stack([share, 1 - share], 1), np.array([f"S{i % 6}" for i in range(rows)]))


BLOCKS = (Block("good", "physiological", (0,), None), Block("bad", "behavioural", (1,), 2))


def fused(train, x, blocks, *, tries):
    return predict(Task(train, x, None, None, blocks), 0, tries).shares


def test_stacking_gives_no_weight_to_noise():
    train, test = signal_and_noise(), signal_and_noise(seed=1)
    both = fused(train, test.x, BLOCKS, tries=6)
    averaged = fused(train, test.x, BLOCKS, tries=1)
    error, error_averaged = (np.abs(p - test.labels)[:, 0] for p in (both, averaged))
    measured = test.x[:, 2] > 0
    assert error[measured].mean() < 0.3 * error_averaged[measured].mean()
    # Where the bad one is missing, the average is the good one alone, with its penalty of 100.
    assert error_averaged[~measured].mean() < 0.6 * error_averaged[measured].mean()


def test_rows_without_the_modality_do_not_fit_it():
    train, test = signal_and_noise(), signal_and_noise(seed=1)
    spoiled = train.labels.copy()
    spoiled[train.x[:, 2] == 0] = [0.01, 0.99]
    only_bad = (BLOCKS[1],)
    measured = test.x[:, 2] > 0
    clean = fused(train, test.x, only_bad, tries=1)
    other = fused(train._replace(labels=spoiled), test.x, only_bad, tries=1)
    assert np.allclose(clean[measured], other[measured])
    # Where it is missing too, the mean label of all training rows is left.
    assert np.allclose(clean[~measured], train.labels.mean(0))
