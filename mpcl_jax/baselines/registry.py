"""The rows that share a table with MPCL, by name. What each is and where it comes from: docs/baselines.md.

Each sees the rows of one training part, chooses its own setting there by grouped inner cross-validation
(`selection.py`), and never sees a test label. "Same budget": nobody may try more than `trials` candidates.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from mpcl_jax.baselines import emotion_dict, helo, late_fusion, maximum_entropy, means, mlp, regressors
from mpcl_jax.baselines.selection import Task, check_task
from mpcl_jax.config.schema import BASELINES


def predict(name: str, task: Task, *, seed: int, trials: int) -> np.ndarray:
    """Fits the baseline `name` on the training part of `task` and predicts its test rows.

    `trials` >= 1 candidates are tried at most. Returns [M, C] float64, rows >= 0 that sum to 1; the same for
    the same `seed`. Raises ValueError for an unknown name, no trials and shapes that do not fit together.
    """
    check_task(task)
    if trials < 1:
        raise ValueError(f"trials = {trials}: a search needs at least one candidate")
    # Matrices of this size are many times slower on several BLAS threads than on one.
    with threadpool_limits(1):
        return _predict(name, task, seed, trials)


def _predict(name: str, task: Task, seed: int, trials: int) -> np.ndarray:
    train, x, ids = task.train, task.x, (task.of_train, task.of_test)
    match name:
        case "uniform":
            return means.predict_uniform(train, x)
        case "train_mean":
            return means.predict_train_mean(train, x)
        case "subject_mean":
            return means.predict_subject_mean(train, *ids)
        case "stimulus_mean":
            return means.predict_stimulus_mean(train, *ids)
        case "duration_only":
            return means.predict_duration_only(train, *ids, trials=trials)
        case "knn":
            return regressors.predict_knn(train, x, trials=trials)
        case "ridge":
            return regressors.predict_ridge(train, x, trials=trials)
        case "sa_bfgs":
            return maximum_entropy.predict_sa_bfgs(train, x, trials=trials)
        case "late_fusion":
            return late_fusion.predict_late_fusion(train, x, task.blocks, trials=trials)
        case "extra_trees":
            return regressors.predict_extra_trees(train, x, seed=seed, trials=trials)
        case "mlp":
            return mlp.fit_predict(train, x, seed=seed, trials=trials)
        case "emotion_dict":
            return emotion_dict.fit_predict(train, x, task.blocks, seed=seed, trials=trials)
        case "helo":
            return helo.fit_predict(train, x, task.blocks, seed=seed, trials=trials)
    raise ValueError(f"baseline {name!r}: unknown; known here: {', '.join(BASELINES)}")
