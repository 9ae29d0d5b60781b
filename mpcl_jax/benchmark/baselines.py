"""The rows that share a table with MPCL: two constants, three classical regressors and the tuned MLP.

Each sees the rows of one training part, chooses its own setting there by grouped inner cross-validation
(`selection.py`), and never sees a test label. "Same budget": nobody may try more than `trials` candidates.
Regressions predict shares directly; clipping at 1e-6 and renormalising makes distributions of them.

scikit-learn is imported where it is used: that takes a second, and training, which comes first, need not wait.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from mpcl_jax.benchmark import mlp
from mpcl_jax.benchmark.selection import Part, as_distributions, check_part, choose
from mpcl_jax.settings import BASELINES

# In the order in which a budget of `trials` takes them: the middle first, then the extremes.
NEIGHBOURS = (15, 50, 5, 100, 1, 200)
RIDGE_ALPHAS = (1e2, 1e3, 1e1, 1e4, 1.0, 1e5)
LEAF_ROWS = (5, 20, 1, 50, 2, 10)

SEARCH_TREES, FINAL_TREES = 20, 200


def predict(name: str, train: Part, x: np.ndarray, *, seed: int, trials: int) -> np.ndarray:
    """Fits the baseline `name` on `train` and predicts the test rows `x` [M, P].

    `trials` >= 1 candidates are tried at most. Returns [M, C] float64, rows >= 0 that sum to 1; the same for
    the same `seed`. Raises ValueError for an unknown name, no trials and shapes that do not fit together.
    """
    check_part(train, x)
    if trials < 1:
        raise ValueError(f"trials = {trials}: a search needs at least one candidate")
    # Matrices of this size are many times slower on several BLAS threads than on one.
    with threadpool_limits(1):
        return _predict(name, train, x, seed, trials)


def _predict(name: str, train: Part, x: np.ndarray, seed: int, trials: int) -> np.ndarray:
    match name:
        case "uniform":
            return predict_uniform(train, x)
        case "train_mean":
            return predict_train_mean(train, x)
        case "knn":
            return predict_knn(train, x, trials=trials)
        case "ridge":
            return predict_ridge(train, x, trials=trials)
        case "extra_trees":
            return predict_extra_trees(train, x, seed=seed, trials=trials)
        case "mlp":
            return mlp.fit_predict(train, x, seed=seed, trials=trials)
    raise ValueError(f"baseline {name!r}: unknown; known here: {', '.join(BASELINES)}")


def predict_uniform(train: Part, x: np.ndarray) -> np.ndarray:
    """The same share for every emotion, [M, C]."""
    emotions = train.labels.shape[1]
    return np.full((len(x), emotions), 1 / emotions)


def predict_train_mean(train: Part, x: np.ndarray) -> np.ndarray:
    """The mean label of the training rows, [M, C]: what is known before any signal is looked at."""
    return np.repeat(as_distributions(train.labels.mean(0, keepdims=True)), len(x), axis=0)


def predict_knn(train: Part, x: np.ndarray, *, trials: int) -> np.ndarray:
    """The mean label of the k nearest training rows (Euclidean on z-scores), k chosen, [M, C]."""
    from sklearn.neighbors import KNeighborsRegressor

    def fit_predict(part, x_new, neighbours):
        neighbours = min(neighbours, len(part.x))
        model = KNeighborsRegressor(neighbours, algorithm="brute").fit(part.x, part.labels)
        return as_distributions(model.predict(x_new))

    return fit_predict(train, x, choose(train, NEIGHBOURS[:trials], fit_predict))


def predict_ridge(train: Part, x: np.ndarray, *, trials: int) -> np.ndarray:
    """Linear regression of the shares with an L2 penalty, alpha chosen, [M, C]."""
    from sklearn.linear_model import Ridge

    def fit_predict(part, x_new, alpha):
        model = Ridge(alpha).fit(part.x.astype(np.float64), part.labels)
        return as_distributions(model.predict(x_new.astype(np.float64)))

    return fit_predict(train, x, choose(train, RIDGE_ALPHAS[:trials], fit_predict))


def predict_extra_trees(train: Part, x: np.ndarray, *, seed: int, trials: int) -> np.ndarray:
    """Extremely randomised trees on the shares, smallest leaf chosen (with fewer trees), [M, C]."""
    from sklearn.ensemble import ExtraTreesRegressor

    def fit_predict(part, x_new, leaf, trees=SEARCH_TREES):
        # Half of the features per split: as good as all of them on WESAD and DMER's sample, in half the time.
        model = ExtraTreesRegressor(
            trees, min_samples_leaf=leaf, max_features=0.5, random_state=seed, n_jobs=1
        )
        return as_distributions(model.fit(part.x, part.labels).predict(x_new))

    leaf = choose(train, LEAF_ROWS[:trials], fit_predict)
    return fit_predict(train, x, leaf, FINAL_TREES)
