"""What a few labelled trials of a new person tell about that person's other trials, without a gradient step.

The banks are everybody's. Beside them stands a memory of one person: each labelled trial is *written* as the query
that the trained model made of it, with the *surprise* that its report was. Retrieval by the query says which
surprises a new window should expect. The less was written, the less it counts: nothing written changes nothing.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from mpcl_jax.metrics import SMALLEST_SHARE

KAPPA = 1.0  # κ, trials that what was learned from everybody counts as much as


class PersonalMemory(NamedTuple):
    """n labelled trials of one person."""

    query: np.ndarray  # [n, G·D] unit rows
    residual: np.ndarray  # [n, C] log y − log p, mean over its windows; rows sum to 0


def write_trials(trial, query, log_probs, labels) -> PersonalMemory:
    """A memory of the trials that windows belong to, one entry a trial, in the order in which they come.

    `trial` [B] ids · `query` [B, G, D] unit rows, zeros where a side is absent · `log_probs` [B, C] as predicted ·
    `labels` [B, C] as reported, rows sum to 1.
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
    """`log_softmax( log p + n/(n + κ) · Σ_i softmax_i(β q·q_i) surprise_i )`, [B, C].

    `log_probs` [B, C] and `query` [B, G, D] of other windows of the person · `beta` >= 0, inverse temperature; 0 is
    the mean surprise of the person, 1/τ the sharpness of the prototype banks · `trust` κ > 0.
    """
    written = len(memory.query)
    state = _unit(np.asarray(query).reshape(len(query), -1))
    association = softmax(beta * state @ memory.query.T, axis=1)
    return log_softmax(log_probs + written / (written + kappa) * association @ memory.residual, axis=1)


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
