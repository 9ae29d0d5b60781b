"""The targets of training: a report, mixed with the mean report of the same stimulus.

One report is a noisy sample of what a stimulus evokes. The mean over the subjects of the training part has less
noise, so it teaches better what signals can predict of a subject that is not known yet:

    target = (1 - a) * report + a * mean report of the stimulus, a = config.train.stimulus_averaging

Only training rows make these means. Predictions never read a stimulus. This is ours, not the paper's.
"""

import jax.numpy as jnp
import numpy as np

from mpcl_jax.types import Recordings

NO_MEANS = np.zeros((0, 0), np.float32)  # where `stimulus_averaging` is 0


def stimulus_numbers(recordings: Recordings) -> tuple[np.ndarray, int]:
    """The number of the stimulus of each row [N] int32, and S, how many stimuli two or more subjects share.

    Rows without such a stimulus have the number S.
    """
    names, stimulus = np.unique(recordings.stimulus, return_inverse=True)
    shared = (_subjects_of(recordings.subject, stimulus, len(names)) > 1) & (names != "")
    numbers = np.where(shared, np.cumsum(shared) - 1, shared.sum())
    return numbers[stimulus].astype(np.int32), int(shared.sum())


def mean_reports(recordings: Recordings, rows: np.ndarray) -> np.ndarray:
    """The mean report of each stimulus over the training `rows`, [S + 1, C] float32.

    NaN where fewer than two subjects of `rows` have the stimulus, and in the last line, which is no stimulus.
    """
    numbers, count = stimulus_numbers(recordings)
    numbers, labels = numbers[rows], recordings.labels[rows].astype(np.float64)
    subjects = _subjects_of(recordings.subject[rows], numbers, count + 1)
    means = np.full((count + 1, labels.shape[1]), np.nan, np.float32)
    for number in np.flatnonzero(subjects[:count] > 1):
        means[number] = labels[numbers == number].mean(0)
    return means


def _subjects_of(subject: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
    """How many subjects have rows of each of `count` numbers, [count]."""
    pairs = np.unique(np.stack([numbers, np.unique(subject, return_inverse=True)[1]]), axis=1)
    return np.bincount(pairs[0], minlength=count)


def averaged(labels, means, share: float):
    """The targets [B, C] of `labels` [B, C]; `means` [B, C] of their stimuli, NaN where there is none."""
    return jnp.where(jnp.isnan(means), labels, (1.0 - share) * labels + share * means)
