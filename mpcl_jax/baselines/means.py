"""Baselines without signals: the same distribution for all rows, or the mean label by subject or by stimulus.

A method that does not outperform them has not learned emotions from signals.
"""

import numpy as np

from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Part, Predicted, Task
from mpcl_jax.metrics import as_distributions


def predict_uniform(task: Task, seed: int, tries: int) -> Predicted:
    """The same share for every emotion."""
    emotions = task.train.labels.shape[1]
    return Predicted(np.full((len(task.x), emotions), 1 / emotions))


def predict_train_mean(task: Task, seed: int, tries: int) -> Predicted:
    """The mean label of the training rows."""
    return Predicted(train_mean(task.train, len(task.x)))


def predict_subject_mean(task: Task, seed: int, tries: int) -> Predicted:
    """The mean label of the training rows of the same subject; without any, the train mean."""
    return _mean_by(task, task.train_info.subject, task.test_info.subject)


def predict_stimulus_mean(task: Task, seed: int, tries: int) -> Predicted:
    """The mean label of the training rows with the same stimulus; for an unknown one (""), the train mean."""
    return _mean_by(task, task.train_info.stimulus, task.test_info.stimulus)


def train_mean(train: Part, rows: int) -> np.ndarray:
    """The mean label of the training rows, repeated: [rows, C]."""
    return np.repeat(as_distributions(train.labels.mean(0, keepdims=True)), rows, axis=0)


def _mean_by(task: Task, train_ids: np.ndarray, test_ids: np.ndarray) -> Predicted:
    """The mean label of the training rows with the id of the test row; of all training rows for "" and other ids."""
    labels = task.train.labels
    means = np.repeat(labels.mean(0, keepdims=True), len(test_ids), axis=0)
    for name in np.intersect1d(train_ids, test_ids):
        if name:
            means[test_ids == name] = labels[train_ids == name].mean(0)
    return Predicted(as_distributions(means))


register_baseline("uniform", predict=predict_uniform)
register_baseline("train_mean", predict=predict_train_mean)
register_baseline("subject_mean", predict=predict_subject_mean)
register_baseline("stimulus_mean", predict=predict_stimulus_mean)
