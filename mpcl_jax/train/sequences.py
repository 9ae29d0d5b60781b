"""The trials of subjects in their order, as they are written into a personal memory and predicted after it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpcl_jax.model.other_subjects import centred, responses
from mpcl_jax.model.recall_kernel import (
    TIME,
    RecallKernel,
    corrected,
    covariance,
    distances,
    residual_of,
)


class HeldOut(NamedTuple):
    """N windows in the order of the recordings, each predicted by a model that did not see its subject."""

    views: dict[str, np.ndarray]  # view -> [N, F]
    log_probs: np.ndarray  # [N, C]
    labels: np.ndarray  # [N, C], rows sum to 1
    subject: np.ndarray  # [N] str
    trial: np.ndarray  # [N] str


class Sequences(NamedTuple):
    """The trials of S subjects in their order, padded to n trials and w windows of each."""

    log_probs: np.ndarray  # [S, n, w, C]
    labels: np.ndarray  # [S, n, w, C]
    weight: np.ndarray  # [S, n, w] of each window in its trial; sums to 1, or to 0 for padding
    squared: dict[str, np.ndarray]  # view -> [S, n, n] squared distances between trials
    places: dict[str, np.ndarray]  # view -> [S, n, F] of trials

    @property
    def real(self) -> np.ndarray:
        """[S, n] bool, trials that are no padding."""
        return self.weight.any(-1)

    def take(self, subjects: np.ndarray) -> "Sequences":
        """Only some of the subjects."""
        of_views = ({v: x[subjects] for v, x in found.items()} for found in (self.squared, self.places))
        return Sequences(*(x[subjects] for x in self[:3]), *of_views)

    def residual(self, blend: float) -> np.ndarray:
        """[S, n, C] of each trial, mean over its windows."""
        return (residual_of(self.log_probs, self.labels, blend) * self.weight[..., None]).sum(axis=2)


def sequences_of(held_out: HeldOut, views: Sequence[str], most: int | None = None) -> Sequences:
    """The `held_out` windows by subject and trial; of each trial `most` windows, spread evenly.

    The place of a trial in a view is the mean over all of its windows.
    """
    each = trials_of(held_out.subject, held_out.trial)
    means = {
        v: [np.stack([held_out.views[v][r].mean(0) for r in rows]) for rows in each]
        for v in views
        if v != TIME
    }
    if TIME in views:
        means[TIME] = [np.arange(len(rows), dtype=np.float64)[:, None] for rows in each]
    if most is not None:
        each = [[r[evenly(len(r), most)] for r in rows] for rows in each]
    n, w = max(map(len, each)), max(len(r) for rows in each for r in rows)
    index, weight = np.zeros((len(each), n, w), int), np.zeros((len(each), n, w))
    places = {v: np.zeros((len(each), n, x[0].shape[1])) for v, x in means.items()}
    for s, rows in enumerate(each):
        for t, own in enumerate(rows):
            index[s, t, : len(own)], weight[s, t, : len(own)] = own, 1 / len(own)
        for v, x in means.items():
            places[v][s, : len(rows)] = x[s]
    log_probs, labels = (np.asarray(x, np.float64)[index] for x in (held_out.log_probs, held_out.labels))
    return Sequences(log_probs, labels, weight, distances(places, places), places)


def predict_in_sequence(
    kernel: RecallKernel, sequences: Sequences, without: np.ndarray | None = None
) -> np.ndarray:
    """Log-probabilities [S, n, w, C] of every window after the earlier trials of its subject were written.

    `without`: [S] the number of each subject among `kernel.others`; its own responses take no part.
    """
    residual, real = sequences.residual(kernel.blend), sequences.real
    both = real[:, :, None] & real[:, None, :]
    among = np.where(both, covariance(kernel, sequences.squared), 0.0)
    if kernel.others is None:
        # The first t rows of a Cholesky factor are the factor of the first t trials: one factor serves all of them.
        factor = np.linalg.cholesky(among + np.eye(both.shape[1]))
        recalled = np.tril(factor, -1) @ np.linalg.solve(factor, residual)
        return corrected(sequences.log_probs, recalled[:, :, None])
    recalled = np.zeros(residual.shape)
    for s, own in enumerate(real):
        places = {view: x[s, own] for view, x in sequences.places.items()}
        found = responses(kernel, places)
        found = centred(found if without is None else np.delete(found, without[s], axis=1))
        recalled[s, own] = predict_in_order(among[s][np.ix_(own, own)], found, residual[s, own])
    return corrected(sequences.log_probs, recalled[:, :, None])


def predict_in_order(among: np.ndarray, found: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """The residuals [n, C] of a subject's trials, each predicted from the earlier ones; 0 for the first.

    `among` [n, n]: the covariance of the trials · `found` [n, S, C]: centred responses of other subjects.
    """
    n, subjects, emotions = found.shape
    factor = np.linalg.cholesky(among + np.eye(n))
    below = np.tril(factor, -1)
    solved = np.linalg.solve(factor, np.concatenate([residual, found.reshape(n, -1)], axis=1))
    own, others = solved[:, :emotions], solved[:, emotions:].reshape(found.shape)
    # Sums over the earlier trials: those before trial t are found at t - 1.
    precision = np.eye(subjects) + np.cumsum(np.einsum("nsc,nuc->nsu", others, others), axis=0)[:-1]
    toward = np.cumsum(np.einsum("nsc,nc->ns", others, own), axis=0)[:-1]
    beta = np.zeros((n, subjects))
    beta[1:] = np.linalg.solve(precision, toward[..., None])[..., 0]
    left = found - (below @ others.reshape(n, -1)).reshape(n, subjects, emotions)
    return below @ own + np.einsum("nsc,ns->nc", left, beta)


def kl_of_subjects(log_probs: np.ndarray, sequences: Sequences) -> np.ndarray:
    """KL of each subject [S], mean over windows, then trials, of predictions [S, n, w, C]."""
    y = sequences.labels
    kl = (y * (np.log(np.where(y > 0, y, 1.0)) - log_probs)).sum(-1)
    return (kl * sequences.weight).sum((1, 2)) / sequences.real.sum(1)


def count_several(subject: np.ndarray, trial: np.ndarray) -> int:
    """The number of subjects that have two or more trials; ids [N] of windows."""
    return sum(len(trials) > 1 for trials in trials_of(subject, trial))


def trials_of(subject: np.ndarray, trial: np.ndarray) -> list[list[np.ndarray]]:
    """The rows of each trial of each subject, in the order in which they begin; ids [N] of windows."""
    return [[own[rows] for rows in _rows_of_each(trial[own])] for own in _rows_of_each(subject)]


def _rows_of_each(ids: np.ndarray) -> list[np.ndarray]:
    """The rows of each id, in the order in which the ids begin."""
    _, code = np.unique(ids, return_inverse=True)
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    return sorted(parts, key=lambda rows: rows[0]) if len(ids) else []


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many of `count` numbers, spread evenly."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))


def of_several_trials(held_out: HeldOut) -> HeldOut:
    """Only subjects with two or more trials."""
    several = np.zeros(len(held_out.subject), bool)
    for trials in trials_of(held_out.subject, held_out.trial):
        several[np.concatenate(trials)] = len(trials) > 1
    views = {v: x[several] for v, x in held_out.views.items()}
    return HeldOut(views, *(x[several] for x in held_out[1:]))
