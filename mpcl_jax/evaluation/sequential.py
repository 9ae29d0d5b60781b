"""The sequential protocol: each trial of a held-out subject is predicted after all earlier trials were written.

Every base model predicts the held-out subjects of a fold, and, by inner folds of the training part, the training
subjects. The memory is learned on the latter and applied to the former. Of the reports of a tested subject only those
of earlier trials take part.
"""

from typing import NamedTuple

import numpy as np

from mpcl_jax.baselines import registry
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import apply_normalisation, fit_normalisation
from mpcl_jax.data.splits.protocols import Fold
from mpcl_jax.evaluation.comparison import task_of
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.model.recall_kernel import views_of
from mpcl_jax.runs.predict import finished_model, normalised, recall
from mpcl_jax.train import in_memory
from mpcl_jax.train.memory_fit import (
    HeldOut,
    Learned,
    kl_of_subjects,
    learn,
    predict_in_sequence,
    sequences_of,
)
from mpcl_jax.train.run import INNER
from mpcl_jax.types import Recordings, spec_of, take

PROTOCOL = "subject_kfold"


class BasePredictions(NamedTuple):
    """What a base model predicts in one fold, without any memory."""

    training: HeldOut  # subjects of the training part, each by a model of an inner fold
    tested: HeldOut  # subjects of the test part


def predict_base(
    recordings: Recordings, fold: Fold, method: str, config: Config, seed: int, tries: int
) -> BasePredictions:
    """The predictions of `method`, MPCL with the settings `config` or a baseline that compares `tries` settings."""
    if method == METHOD:
        return _of_mpcl(recordings, fold, config, seed)
    names, sizes = np.unique(recordings.subject[fold.train], return_counts=True)
    dealt = dict(zip(names[np.argsort(-sizes, kind="stable")], np.arange(len(names)) % INNER, strict=True))
    group = np.array([dealt[name] for name in recordings.subject[fold.train]])
    parts = []
    for k in range(min(INNER, len(names))):
        inner = fold._replace(train=fold.train[group != k], test=fold.train[group == k])
        parts.append((inner.test, _of_baseline(recordings, inner, method, seed, tries)))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    joined = [np.concatenate(x)[order] for x in zip(*(part[1:] for _, part in parts), strict=True)]
    views = {v: np.concatenate([part.views[v] for _, part in parts])[order] for v in parts[0][1].views}
    return BasePredictions(HeldOut(views, *joined), _of_baseline(recordings, fold, method, seed, tries))


def after_earlier_trials(
    base: BasePredictions, views: tuple[str, ...] | None
) -> tuple[np.ndarray, Learned | None]:
    """KL of each tested subject [S], in their order, and the memory over `views` (none: the mean residual).

    With `views` None nothing is written.
    """
    learned = None if views is None else learn(base.training, views)
    kernel = learned and learned.kernel
    sequences = sequences_of(base.tested, kernel.gain if kernel else ())
    log_probs = predict_in_sequence(kernel, sequences) if kernel else sequences.log_probs
    return kl_of_subjects(log_probs, sequences), learned


def _of_baseline(recordings: Recordings, fold: Fold, method: str, seed: int, tries: int) -> HeldOut:
    shares = registry.predict(method, task_of(recordings, PROTOCOL, fold), seed=seed, tries=tries).shares
    norm = fit_normalisation(take(recordings, fold.train))
    tested = take(recordings, fold.test)
    log_probs = np.log(shares)
    views = views_of(apply_normalisation(tested.signals, tested.present, norm), log_probs)
    return HeldOut(views, log_probs, tested.labels, tested.subject, tested.trial)


def _of_mpcl(recordings: Recordings, fold: Fold, config: Config, seed: int) -> BasePredictions:
    train, tested = take(recordings, fold.train), take(recordings, fold.test)
    (fit,) = in_memory.fit(config, train, np.zeros(len(train.labels), bool), [seed], hold_out=True)
    model = finished_model(fit.config, spec_of(train), fit.norm, fit.params, fit.prototypes)
    output, _ = recall(model, tested.signals, tested.present)
    signals, _ = normalised(model, tested.signals, tested.present, None)
    views = views_of(signals, output.log_probs, output.query)
    return BasePredictions(
        fit.held_out, HeldOut(views, output.log_probs, tested.labels, tested.subject, tested.trial)
    )
