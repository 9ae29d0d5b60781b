"""Learns what a personal memory takes from other subjects (`model/other_subjects.py`), on training subjects."""

import numpy as np

from mpcl_jax.model.recall_kernel import OtherSubjects, RecallKernel, covariance
from mpcl_jax.train.sequences import Sequences, evenly, kl_of_subjects, predict_in_sequence

STRENGTHS = (1.5, 3.0, 6.0, 12.0)  # g, variance of the weights of the training subjects
SHARES = (0.5, 0.75)  # of the subject's own kernel; the rest of its covariance comes from other subjects
MOST_SUBJECTS = 16  # on which both numbers are chosen
MOST_OTHERS = 128  # training subjects whose responses are kept; the time of a recall grows with their number


def with_other_subjects(kernel: RecallKernel, sequences: Sequences) -> RecallKernel:
    """`kernel` with the responses of the S subjects of `sequences`; strength and share have the lowest KL on them.

    Each subject is predicted from the responses of the other ones. Of more than MOST_OTHERS subjects, so many,
    spread evenly, are kept.
    """
    sequences = sequences.take(evenly(len(sequences.weight), MOST_OTHERS))
    some = evenly(len(sequences.weight), MOST_SUBJECTS)
    part, others = sequences.take(some), _others_of(kernel, sequences)
    found = [_combined(kernel, others, g, share) for share in SHARES for g in STRENGTHS]
    kl = [kl_of_subjects(predict_in_sequence(x, part, some), part).mean() for x in found]
    return found[int(np.argmin(kl))]


def _others_of(kernel: RecallKernel, sequences: Sequences) -> OtherSubjects:
    """Coefficients `(K_s + I)⁻¹ r_s` of each subject s at its trials."""
    residual, real, coefficient = sequences.residual(kernel.blend), sequences.real, []
    for s, own in enumerate(real):
        of_trials = {view: x[s][np.ix_(own, own)] for view, x in sequences.squared.items()}
        among = covariance(kernel, of_trials) + np.eye(own.sum())
        coefficient.append(np.linalg.solve(among, residual[s, own]))
    views = {view: x[real] for view, x in sequences.places.items()}
    return OtherSubjects(np.nonzero(real)[0], views, np.concatenate(coefficient))


def _combined(kernel: RecallKernel, others: OtherSubjects, g: float, share: float) -> RecallKernel:
    """The functions are those of the whole `kernel`, of which `share` is left in the new one."""
    scale = np.sqrt(g / (others.subject[-1] + 1)) / share
    gain = {view: share * x for view, x in kernel.gain.items()}
    others = others._replace(coefficient=scale * others.coefficient)
    return kernel._replace(level=share * kernel.level, gain=gain, others=others)
