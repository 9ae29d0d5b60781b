"""Learns the kernel of the personal memory on training subjects, from predictions of models that did not see them.

Every trial of a subject is predicted after the earlier ones were written. The kernel has the lowest KL of these
predictions, mean over trials, then subjects. It is used only if it helps training subjects that its numbers were not
chosen on (`GROUPS` groups of whole subjects) by more than LEAST_GAIN standard errors over subjects; otherwise the
memory is off and predictions stay as they are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.optimize on first use, which is after the training

from mpcl_jax.model.recall_kernel import (
    FEATURES,
    LOG_PROBS,
    QUERY,
    TIME,
    RecallKernel,
    corrected,
    covariance,
    distances,
    residual_of,
)
from mpcl_jax.train.fit import Learned

VIEWS = (FEATURES, LOG_PROBS, QUERY)
FEWEST_SUBJECTS, GROUPS = 4, 4
LEAST_GAIN = 2.0  # standard errors over subjects by which the memory has to help
WANTED = f"wanted {FEWEST_SUBJECTS} training subjects with two or more trials each"
MOST_WINDOWS = 8  # of a trial that are predicted while the kernel is learned
STEPS = 40  # of L-BFGS
START = {"level": 0.3, "gain": 0.3, "width": 1.0, "blend": 0.1}
RANGE = {"level": (1e-3, 1e2), "gain": (1e-3, 1e2), "width": (0.1, 10.0), "blend": (0.01, 0.9)}
EQUAL = 1e-6  # a typical distance that is rounding
PENALTY = (
    1e-5  # nats for one unit of a logarithm; keeps numbers that the data do not determine at their start
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

    @property
    def real(self) -> np.ndarray:
        """[S, n] bool, trials that are no padding."""
        return self.weight.any(-1)

    def take(self, subjects: np.ndarray) -> "Sequences":
        """Only some of the subjects."""
        squared = {v: x[subjects] for v, x in self.squared.items()}
        return Sequences(*(x[subjects] for x in self[:3]), squared)


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
        each = [[r[np.unique(np.linspace(0, len(r) - 1, most).astype(int))] for r in rows] for rows in each]
    n, w = max(map(len, each)), max(len(r) for rows in each for r in rows)
    index, weight = np.zeros((len(each), n, w), int), np.zeros((len(each), n, w))
    places = {v: np.zeros((len(each), n, x[0].shape[1])) for v, x in means.items()}
    for s, rows in enumerate(each):
        for t, own in enumerate(rows):
            index[s, t, : len(own)], weight[s, t, : len(own)] = own, 1 / len(own)
        for v, x in means.items():
            places[v][s, : len(rows)] = x[s]
    log_probs, labels = (np.asarray(x, np.float64)[index] for x in (held_out.log_probs, held_out.labels))
    return Sequences(log_probs, labels, weight, distances(places, places))


def predict_in_sequence(kernel: RecallKernel, sequences: Sequences) -> np.ndarray:
    """Log-probabilities [S, n, w, C] of every window after the earlier trials of its subject were written."""
    residual = residual_of(sequences.log_probs, sequences.labels, kernel.blend)
    residual = (residual * sequences.weight[..., None]).sum(axis=2)
    both = sequences.real[:, :, None] & sequences.real[:, None, :]
    total = np.where(both, covariance(kernel, sequences.squared), 0.0) + np.eye(both.shape[1])
    # The first t rows of a Cholesky factor are the factor of the first t trials, so one factor serves all of them.
    factor = np.linalg.cholesky(total)
    recalled = np.tril(factor, -1) @ np.linalg.solve(factor, residual)
    return corrected(sequences.log_probs, recalled[:, :, None])


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


def learn(held_out: HeldOut | None, views: Sequence[str] = VIEWS) -> Learned:
    """The kernel over `views` (none: the mean residual), or None with the reason why the memory is off."""
    if held_out is None:
        return Learned(None, f"off: it is learned from groups and trials; {WANTED}")
    return learned_and_kl(held_out, views)[0]


def learned_and_kl(held_out: HeldOut, views: Sequence[str]) -> tuple[Learned, np.ndarray]:
    """As `learn`; also the KL [S] with the memory of each training subject that has several trials.

    The numbers of the kernel that predicts a subject are chosen on other subjects. [0] with too few subjects.
    """
    held_out = _of_several_trials(held_out)
    subjects = len(np.unique(held_out.subject))
    if subjects < FEWEST_SUBJECTS:
        reason = f"off: {subjects} training subjects have several trials; {WANTED}"
        return Learned(None, reason), np.zeros(0)
    views = [v for v in views if v == TIME or v in held_out.views]
    sequences = sequences_of(held_out, views, MOST_WINDOWS)
    scale = {v: _typical(sequences.squared[v], sequences.real) for v in views}
    zero_shot = kl_of_subjects(sequences.log_probs, sequences)
    kl, group = np.empty(subjects), np.arange(subjects) % GROUPS
    for k in range(GROUPS):
        kernel = _minimised(sequences.take(group != k), scale)
        rest = sequences.take(group == k)
        kl[group == k] = kl_of_subjects(predict_in_sequence(kernel, rest), rest)
    gain = zero_shot - kl
    means = float(zero_shot.mean()), float(kl.mean())
    numbers = "KL on training subjects {:.4f} without, {:.4f} with it".format(*means)
    if gain.mean() <= LEAST_GAIN * gain.std(ddof=1) / np.sqrt(subjects):
        return Learned(None, f"off: it does not help ({numbers})", *means, subjects), kl
    return Learned(_minimised(sequences, scale), f"on: {numbers}", *means, subjects), kl


def _minimised(sequences: Sequences, scale: dict[str, float]) -> RecallKernel:
    """The kernel with the lowest KL; `scale` of each view: its typical distance."""
    names = ["level", "blend", *[kind for _ in scale for kind in ("gain", "width")]]
    start, low, high = (np.log([x[kind] for kind in names]) for x in (START, *_ends()))

    def objective(logs):
        kl = kl_of_subjects(predict_in_sequence(_kernel(logs, scale), sequences), sequences).mean()
        return kl + PENALTY * ((logs - start) ** 2).sum()

    bounds = list(zip(low, high, strict=True))
    found = scipy.optimize.minimize(
        objective, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    return _kernel(found.x, scale)


def _ends() -> tuple[dict[str, float], dict[str, float]]:
    return {kind: x[0] for kind, x in RANGE.items()}, {kind: x[1] for kind, x in RANGE.items()}


def _kernel(logs: np.ndarray, scale: dict[str, float]) -> RecallKernel:
    level, blend, *rest = np.exp(logs).tolist()
    gain = dict(zip(scale, rest[::2], strict=True))
    width = {v: w * scale[v] for v, w in zip(scale, rest[1::2], strict=True)}
    return RecallKernel(level, gain, width, blend)


def _typical(squared: np.ndarray, real: np.ndarray) -> float:
    """The root mean squared distance [S, n, n] between two trials of a subject; 1 where all are equal."""
    pairs = real[:, :, None] & real[:, None, :] & ~np.eye(real.shape[1], dtype=bool)
    typical = float(np.sqrt(squared[pairs].mean()))
    return typical if typical > EQUAL else 1.0


def _rows_of_each(ids: np.ndarray) -> list[np.ndarray]:
    """The rows of each id, in the order in which the ids begin."""
    _, code = np.unique(ids, return_inverse=True)
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    return sorted(parts, key=lambda rows: rows[0]) if len(ids) else []


def _of_several_trials(held_out: HeldOut) -> HeldOut:
    """Only subjects with two or more trials."""
    several = np.zeros(len(held_out.subject), bool)
    for trials in trials_of(held_out.subject, held_out.trial):
        several[np.concatenate(trials)] = len(trials) > 1
    views = {v: x[several] for v, x in held_out.views.items()}
    return HeldOut(views, *(x[several] for x in held_out[1:]))
