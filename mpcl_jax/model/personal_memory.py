"""Few-shot adaptation to one subject from a few reported trials, in closed form, without a gradient step.

The banks are common to all subjects; a personal memory is added to them. It stores the views of each written window
and the residual between report and prediction. A new window recalls the mean residuals of similar trials
(`recall_kernel.py`). Without any trial the prediction stays as it is.
"""

from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax.model.other_subjects import shared_with_others, without_shared
from mpcl_jax.model.recall_kernel import (
    TIME,
    RecallKernel,
    corrected,
    covariance,
    distances,
    recall_weights,
    residual_of,
)


class PersonalMemory(NamedTuple):
    """W written windows of one subject, in the order in which they were written; they belong to n trials."""

    trial: np.ndarray  # [W] ids
    views: dict[str, np.ndarray]  # view -> [W, F]
    residual: np.ndarray  # [W, C], rows sum to 0

    @property
    def trials(self) -> tuple[str, ...]:
        """The n ids, in the order in which the trials were begun."""
        return tuple(dict.fromkeys(self.trial.tolist()))


def write_trials(
    memory: PersonalMemory | None,
    kernel: RecallKernel,
    trial,
    views: dict[str, np.ndarray],
    log_probs,
    labels,
) -> PersonalMemory:
    """`memory` (None: an empty one) and N more windows; a trial that it holds already gains windows.

    `trial` [N] ids · `views` as in `recall_kernel.views_of` · `log_probs` [N, C] as predicted · `labels` [N, C] as
    reported, rows sum to 1.
    """
    kept = {v: views[v] for v in kernel.gain if v != TIME}
    new = PersonalMemory(np.asarray(trial, str), kept, residual_of(log_probs, labels, kernel.blend))
    if memory is None:
        return new
    joined = {v: np.concatenate([memory.views[v], x]) for v, x in kept.items()}
    ends = (np.concatenate([getattr(memory, name), getattr(new, name)]) for name in ("trial", "residual"))
    return PersonalMemory(next(ends), joined, next(ends))


def adapt(
    memory: PersonalMemory, kernel: RecallKernel, views: dict[str, np.ndarray], log_probs
) -> tuple[np.ndarray, np.ndarray]:
    """Corrected log-probabilities [N, C] of N windows, and the weight of each written trial in them, [N, n].

    With `kernel.others`, the weights are those of what the responses of training subjects leave of the residuals.
    """
    trials, member = memory.trials, _members(memory)
    written = {v: member @ x for v, x in memory.views.items()}
    if TIME in kernel.gain:  # the present comes after the last written trial
        written[TIME] = np.arange(len(trials), dtype=np.float64)[:, None]
        views = views | {TIME: np.full((len(log_probs), 1), float(len(trials)))}
    weight = recall_weights(kernel, written, views, len(trials))
    weight = np.broadcast_to(weight, (len(log_probs), len(trials)))
    residual = member @ memory.residual
    if kernel.others is None:
        return corrected(log_probs, weight @ residual), weight
    shared, left = shared_with_others(kernel, written, residual)
    shift = covariance(kernel, distances(views, kernel.others.views)) @ shared
    if len(left) == len(residual):
        return corrected(log_probs, shift + weight @ left), weight
    used = np.flatnonzero(weight.any(axis=0))
    left = without_shared(kernel, {v: x[used] for v, x in written.items()}, residual[used], shared)
    return corrected(log_probs, shift + weight[:, used] @ left), weight


def _members(memory: PersonalMemory) -> "scipy.sparse.csr_array":
    """[n, W] the share of each window in its trial; rows sum to 1."""
    places = {trial: place for place, trial in enumerate(memory.trials)}
    place = np.array([places[trial] for trial in memory.trial.tolist()])
    share = 1 / np.bincount(place)[place]
    return scipy.sparse.csr_array((share, (place, np.arange(len(place)))))
