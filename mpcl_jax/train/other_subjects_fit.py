"""Learns what a personal memory takes from other subjects (`model/other_subjects.py`), on training subjects."""

import numpy as np

from mpcl_jax.model.recall_kernel import OtherSubjects, RecallKernel, covariance
from mpcl_jax.train.sequences import Sequences, kl_of_subjects, predict_in_sequence

STRENGTHS = (1.5, 3.0, 6.0, 12.0)  # g, variance of the weights of the training subjects
SHARES = (0.5, 0.75)  # of the subject's own kernel; the rest of its covariance comes from other subjects
MOST_SUBJECTS = 16  # on which both numbers are chosen
MOST_OTHERS = 128  # training subjects whose responses are kept; the time of a recall grows with their number


def with_other_subjects(kernel: RecallKernel, sequences: Sequences) -> RecallKernel:
    """`kernel` with the responses of the S subjects of `sequences`; strength and share have the lowest KL on them.

    Each subject is predicted from the responses of the other ones. Of more than MOST_OTHERS subjects, so many,
    spread evenly, are kept.
    """
    sequences = sequences.take(_evenly(len(sequences.weight), MOST_OTHERS))
    some = _evenly(len(sequences.weight), MOST_SUBJECTS)
    each = [(g, share) for share in SHARES for g in STRENGTHS]
    found = [_combined(kernel, sequences, g, share) for g, share in each]
    part = sequences.take(some)
    kl = [kl_of_subjects(predict_in_sequence(x, part, some), part).mean() for x in found]
    return found[int(np.argmin(kl))]


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many of `count` numbers, spread evenly."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))


def _combined(kernel: RecallKernel, sequences: Sequences, g: float, share: float) -> RecallKernel:
    residual, real = sequences.residual(kernel.blend), sequences.real
    subjects, coefficient = len(real), []
    for s, own in enumerate(real):
        of_trials = {view: x[s][np.ix_(own, own)] for view, x in sequences.squared.items()}
        among = covariance(kernel, of_trials) + np.eye(own.sum())
        coefficient.append(np.linalg.solve(among, residual[s, own]))
    views = {view: x[real] for view, x in sequences.places.items()}
    # The functions are those of the whole kernel, of which `share` is left in the new one.
    scale = np.sqrt(g / subjects) / share
    others = OtherSubjects(np.nonzero(real)[0], views, scale * np.concatenate(coefficient))
    gain = {view: share * x for view, x in kernel.gain.items()}
    return kernel._replace(level=share * kernel.level, gain=gain, others=others)
