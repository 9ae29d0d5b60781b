"""Few-shot adaptation to one subject from a few labelled trials, without a gradient step.

The banks are common to all subjects; a personal memory is added to them. It stores each labelled calibration trial as
the query of the trained model and the *residual* log y - log p of the report. Retrieval by the query of a new window
gives its expected residual. The fewer trials, the smaller the correction; without any it is zero.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from mpcl_jax.metrics import SMALLEST_SHARE

KAPPA = 1.0  # κ, shrinkage: the number of trials at which half of the correction is applied


class PersonalMemory(NamedTuple):
    """n labelled trials of one subject."""

    query: np.ndarray  # [n, G·D] unit rows
    residual: np.ndarray  # [n, C] log y − log p, mean over the windows of the trial; rows sum to 0


def write_trials(trial, query, log_probs, labels) -> PersonalMemory:
    """A memory of the trials that windows belong to, one entry a trial, in the order in which they come.

    `trial` [B] ids · `query` [B, G, D] unit rows, zeros where a modality group is absent · `log_probs` [B, C] as
    predicted · `labels` [B, C] as reported, rows sum to 1.
    """
    residual = np.log(np.maximum(labels, SMALLEST_SHARE)) - log_probs
    residual = residual - residual.mean(axis=1, keepdims=True)
    trial, flat = np.asarray(trial), np.asarray(query).reshape(len(query), -1)
    windows = [trial == one for one in dict.fromkeys(trial.tolist())]
    return PersonalMemory(
        query=_unit(np.stack([flat[here].mean(axis=0) for here in windows])),
        residual=np.stack([residual[here].mean(axis=0) for here in windows]),
    )


def adapt(log_probs, query, memory: PersonalMemory, beta: float, kappa: float = KAPPA) -> np.ndarray:
    """`log_softmax( log p + n/(n + κ) · Σ_i softmax_i(β q·q_i) residual_i )`, [B, C].

    `log_probs` [B, C] and `query` [B, G, D] of other windows of the subject · `beta` >= 0, inverse temperature; 0 is
    the mean residual of the subject, 1/τ the sharpness of the prototype banks · `kappa` > 0, the shrinkage.
    """
    written = len(memory.query)
    state = _unit(np.asarray(query).reshape(len(query), -1))
    association = softmax(beta * state @ memory.query.T, axis=1)
    return log_softmax(log_probs + written / (written + kappa) * association @ memory.residual, axis=1)


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
