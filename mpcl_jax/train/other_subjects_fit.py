"""Learns what a personal memory takes from other subjects (`model/other_subjects.py`), on training subjects."""

import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax.model.other_subjects import centred, responses
from mpcl_jax.model.recall_kernel import OtherSubjects, RecallKernel, corrected, covariance
from mpcl_jax.train.sequences import Sequences, kl_of_subjects

STRENGTHS = (1.5, 3.0, 6.0, 12.0)  # g, variance of the weights of the training subjects
SHARES = (0.5, 0.75)  # of the subject's own kernel; the rest of its covariance comes from other subjects
MOST_SUBJECTS = 16  # on which both numbers are chosen


def with_other_subjects(kernel: RecallKernel, sequences: Sequences) -> RecallKernel:
    """`kernel` with the responses of the S subjects of `sequences`; strength and share have the lowest KL on them.

    Each subject is predicted from the responses of the other ones.
    """
    some = np.unique(np.linspace(0, len(sequences.weight) - 1, MOST_SUBJECTS).astype(int))
    each = [(g, share) for share in SHARES for g in STRENGTHS]
    found = [_combined(kernel, sequences, g, share) for g, share in each]
    kl = [kl_with_others(x, sequences.take(some), without=some).mean() for x in found]
    return found[int(np.argmin(kl))]


def kl_with_others(
    kernel: RecallKernel, sequences: Sequences, without: np.ndarray | None = None
) -> np.ndarray:
    """KL [S] of each subject, every trial predicted after the earlier ones; `kernel.others` of other subjects.

    `without`: [S] the number of each subject among `kernel.others`; its own responses take no part.
    """
    residual = sequences.residual(kernel.blend)
    kl = np.empty(len(residual))
    for s, real in enumerate(sequences.real):
        places = {view: x[s, real] for view, x in sequences.places.items()}
        found = responses(kernel, kernel.others, places)
        found = centred(found if without is None else np.delete(found, without[s], axis=1))
        among = np.broadcast_to(
            covariance(kernel, {v: x[s][np.ix_(real, real)] for v, x in sequences.squared.items()}),
            (len(found), len(found)),
        )
        correction = np.zeros(residual.shape[1:])
        correction[real] = predict_in_order(among, found, residual[s, real])
        own = sequences.take(np.array([s]))
        kl[s] = kl_of_subjects(corrected(own.log_probs, correction[None, :, None]), own)[0]
    return kl


def predict_in_order(among: np.ndarray, found: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """The residuals [n, C] of a subject's trials, each predicted from the earlier ones; 0 for the first.

    `among` [n, n]: the covariance of the trials · `found` [n, S, C]: centred responses of other subjects.
    """
    n, subjects, emotions = found.shape
    factor = np.linalg.cholesky(among + np.eye(n))
    below = np.tril(factor, -1)
    own = scipy.linalg.solve_triangular(factor, residual, lower=True)
    others = scipy.linalg.solve_triangular(factor, found.reshape(n, -1), lower=True).reshape(found.shape)
    # Sums over the earlier trials: those before trial t are found at t - 1.
    precision = np.eye(subjects) + np.cumsum(np.einsum("nsc,nuc->nsu", others, others), axis=0)[:-1]
    toward = np.cumsum(np.einsum("nsc,nc->ns", others, own), axis=0)[:-1]
    beta = np.zeros((n, subjects))
    beta[1:] = np.linalg.solve(precision, toward[..., None])[..., 0]
    left = found - (below @ others.reshape(n, -1)).reshape(n, subjects, emotions)
    return below @ own + np.einsum("nsc,ns->nc", left, beta)


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
