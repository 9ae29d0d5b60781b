"""Learns the kernel of the personal memory on training subjects, from predictions of models that did not see them.

Every trial of a subject is predicted after the earlier ones were written. The kernel has the lowest KL of these
predictions, mean over trials, then subjects. It is used only if it helps training subjects that its numbers were not
chosen on (`GROUPS` groups of whole subjects) by more than LEAST_GAIN standard errors over subjects; otherwise the
memory is off and predictions stay as they are.
"""

from collections.abc import Sequence

import numpy as np
import scipy  # loads scipy.optimize on first use, which is after the training

from mpcl_jax.model.recall_kernel import (
    FEATURES,
    LOG_PROBS,
    QUERY,
    TIME,
    RecallKernel,
)
from mpcl_jax.train.fit import Learned
from mpcl_jax.train.other_subjects_fit import with_other_subjects
from mpcl_jax.train.sequences import (
    HeldOut,
    Sequences,
    kl_of_subjects,
    of_several_trials,
    predict_in_sequence,
    sequences_of,
)

VIEWS = (FEATURES, LOG_PROBS, QUERY)
OTHERS = "other subjects"
WITH_OTHERS = (FEATURES, LOG_PROBS, OTHERS)  # the queries of two models cannot be compared
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


def learn(held_out: HeldOut | None, views: Sequence[str] = VIEWS) -> Learned:
    """The kernel over `views` (none: the mean residual), or None with the reason why the memory is off.

    With all views it takes what it can from other subjects, where that helps.
    """
    if held_out is None:
        return Learned(None, f"off: it is learned from groups and trials; {WANTED}")
    own = learned_and_kl(held_out, views)[0]
    if views != VIEWS:
        return own
    with_others = learned_and_kl(held_out, WITH_OTHERS)[0]
    return own if with_others.kernel is None or (own.kernel and own.kl <= with_others.kl) else with_others


def learned_and_kl(held_out: HeldOut, views: Sequence[str]) -> tuple[Learned, np.ndarray]:
    """As `learn`; also the KL [S] with the memory of each training subject that has several trials.

    The numbers of the kernel that predicts a subject are chosen on other subjects. With OTHERS among the views it
    holds the responses of training subjects; it is off where these do not help. [0] with too few subjects.
    """
    held_out = of_several_trials(held_out)
    subjects = len(np.unique(held_out.subject))
    if subjects < FEWEST_SUBJECTS:
        reason = f"off: {subjects} training subjects have several trials; {WANTED}"
        return Learned(None, reason), np.zeros(0)
    of_others = OTHERS in views
    views = [v for v in views if v == TIME or v in held_out.views]
    sequences = sequences_of(held_out, views, MOST_WINDOWS)
    scale = {v: _typical(sequences.squared[v], sequences.real) for v in views}
    zero_shot = kl_of_subjects(sequences.log_probs, sequences)
    kl, group = np.empty((2, subjects)), np.arange(subjects) % GROUPS
    for k in range(GROUPS):
        others, rest = sequences.take(group != k), sequences.take(group == k)
        kernel = _minimised(others, scale)
        kl[:, group == k] = kl_of_subjects(predict_in_sequence(kernel, rest), rest)
        if of_others:
            kernel = with_other_subjects(kernel, others)
            kl[1, group == k] = kl_of_subjects(predict_in_sequence(kernel, rest), rest)
    own, found = kl
    means = float(zero_shot.mean()), float(found.mean())
    numbers = "KL on training subjects {:.4f} without, {:.4f} with it".format(*means)
    helps = _is_lower(found, zero_shot)
    if of_others and not _is_lower(found, own):
        helps, both = False, (own.mean(), found.mean())
        numbers = "KL on training subjects {:.4f} without other subjects, {:.4f} with them".format(*both)
    if not helps:
        return Learned(None, f"off: it does not help ({numbers})", *means, subjects), found
    kernel = _minimised(sequences, scale)
    kernel = with_other_subjects(kernel, sequences) if of_others else kernel
    return Learned(kernel, f"on: {numbers}", *means, subjects), found


def _is_lower(kl: np.ndarray, reference: np.ndarray) -> bool:
    """Whether the KL [S] of subjects is lower by more than LEAST_GAIN standard errors."""
    gain = reference - kl
    return gain.mean() > LEAST_GAIN * gain.std(ddof=1) / np.sqrt(len(gain))


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
