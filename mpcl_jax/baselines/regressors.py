"""The classical regressors: k nearest neighbours, ridge, extremely randomised trees, with the settings they try.

Regressions predict shares directly; clipping at 1e-6 and renormalising makes distributions of them. `knn` is the
algorithm AA-kNN of Geng, Label Distribution Learning, TKDE 2016 (section 3.2), with k chosen.

scikit-learn is imported where it is used: that takes a second, and training, which comes first, need not wait.
"""

import numpy as np

from mpcl_jax.baselines.selection import Part, choose
from mpcl_jax.metrics import as_distributions

# In the order in which a budget of `trials` takes them: the middle first, then the extremes.
NEIGHBOURS = (15, 50, 5, 100, 1, 200)
RIDGE_ALPHAS = (1e2, 1e3, 1e1, 1e4, 1.0, 1e5)
LEAF_ROWS = (5, 20, 1, 50, 2, 10)

SEARCH_TREES, FINAL_TREES = 20, 200


def predict_knn(train: Part, x: np.ndarray, *, trials: int) -> np.ndarray:
    """The mean label of the k nearest training rows (Euclidean on z-scores), k chosen, [M, C]."""
    return knn(train, x, choose(train, NEIGHBOURS[:trials], knn))


def predict_ridge(train: Part, x: np.ndarray, *, trials: int) -> np.ndarray:
    """Linear regression of the shares with an L2 penalty, alpha chosen, [M, C]."""
    return ridge(train, x, choose(train, RIDGE_ALPHAS[:trials], ridge))


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


def knn(part: Part, x: np.ndarray, neighbours: int) -> np.ndarray:
    """The mean label of the `neighbours` nearest rows of `part`, of all rows where it has fewer, [M, C]."""
    from sklearn.neighbors import KNeighborsRegressor

    neighbours = min(neighbours, len(part.x))
    model = KNeighborsRegressor(neighbours, algorithm="brute").fit(part.x, part.labels)
    return as_distributions(model.predict(x))


def ridge(part: Part, x: np.ndarray, alpha: float) -> np.ndarray:
    """Linear regression with the penalty `alpha`, in float64, [M, C]."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha).fit(part.x.astype(np.float64), part.labels)
    return as_distributions(model.predict(x.astype(np.float64)))
