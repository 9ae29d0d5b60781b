"""What can be said before any signal is looked at: the same for all, by person, by stimulus, by duration.

A method that does not beat these has not read emotions from signals. They differ in what they know of a test row:

    uniform        nothing
    train_mean     what training rows report on average
    subject_mean   whose row it is; means something only where the person has labelled training rows
    stimulus_mean  which stimulus was shown; means something only where others reported on it
    duration_only  how many windows its trial has
"""

import numpy as np

from mpcl_jax.baselines.regressors import NEIGHBOURS, RIDGE_ALPHAS, knn, ridge
from mpcl_jax.baselines.selection import Known, Part, choose
from mpcl_jax.metrics import as_distributions

# A regression on one number is smooth or local; the budget takes both in turn.
DURATION_CANDIDATES = tuple(
    pair
    for neighbours, alpha in zip(NEIGHBOURS[:3], RIDGE_ALPHAS[:3], strict=True)
    for pair in ((ridge, alpha), (knn, neighbours))
)


def predict_uniform(train: Part, x: np.ndarray) -> np.ndarray:
    """The same share for every emotion, [M, C]."""
    emotions = train.labels.shape[1]
    return np.full((len(x), emotions), 1 / emotions)


def predict_train_mean(train: Part, x: np.ndarray) -> np.ndarray:
    """The mean label of the training rows, [M, C]: what is known before any signal is looked at."""
    return np.repeat(as_distributions(train.labels.mean(0, keepdims=True)), len(x), axis=0)


def predict_subject_mean(train: Part, of_train: Known, of_test: Known) -> np.ndarray:
    """The mean label of the training rows of the same person, [M, C].

    A person without training rows gets the train mean. So where people are held out (loso, subject_kfold,
    subject_x_stimulus) this equals train_mean; it differs where some rows of the tested person are trained on:
    with trials held out, and with calibration labels.
    """
    return _mean_by(train.labels, of_train.subject, of_test.subject)


def predict_stimulus_mean(train: Part, of_train: Known, of_test: Known) -> np.ndarray:
    """The mean label of the training rows with the same stimulus, whoever saw it, [M, C].

    An unknown stimulus ("") and one that no training row has get the train mean. So where stimuli are held out
    this equals train_mean.
    """
    return _mean_by(train.labels, of_train.stimulus, of_test.stimulus)


def predict_duration_only(train: Part, of_train: Known, of_test: Known, *, trials: int) -> np.ndarray:
    """Ridge or k nearest neighbours, chosen, on one number: how many windows the trial has, [M, C].

    Windows of equal length and step count the duration of a trial up to one step, also where no clock is kept.
    Where the count of a test row is not known, or all training rows have the same, this is the train mean.
    """
    mean = predict_train_mean(train, of_test.windows)
    usable = np.isfinite(of_train.windows)
    counts = of_train.windows[usable]
    if len(counts) == 0 or np.ptp(counts) == 0:
        return mean
    scaled = _column((counts - counts.mean()) / counts.std())
    part = Part(scaled, train.labels[usable], train.group[usable])

    def fit_predict(part, x, candidate):
        method, setting = candidate
        return method(part, x, setting)

    chosen = choose(part, DURATION_CANDIDATES[:trials], fit_predict)
    known = np.isfinite(of_test.windows)
    args = _column((of_test.windows[known] - counts.mean()) / counts.std())
    if known.any():
        mean[known] = fit_predict(part, args, chosen)
    return mean


def _mean_by(labels: np.ndarray, ids: np.ndarray, args: np.ndarray) -> np.ndarray:
    """The mean of `labels` [N, C] over rows whose `ids` [N] are those `asked` [M] for; of all rows for "" or none."""
    means = np.repeat(labels.mean(0, keepdims=True), len(args), axis=0)
    for name in np.intersect1d(ids, args):
        if name:
            means[args == name] = labels[ids == name].mean(0)
    return as_distributions(means)


def _column(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None]
