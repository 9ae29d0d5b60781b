"""Duration only: ridge or k nearest neighbours, chosen, on one number, the number of windows of the trial.

Windows of equal length and step measure the duration of a trial up to one step, also without a clock.
"""

import numpy as np

from mpcl_jax.baselines import knn, ridge
from mpcl_jax.baselines.means import train_mean
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Part, Predicted, Task, choose, fit_predict

# A regression on one number is smooth or local; the budget takes both in turn.
PAIRS = zip(ridge.ALPHAS[:3], knn.NEIGHBOURS[:3], strict=True)
CANDIDATES = tuple(each for alpha, k in PAIRS for each in (("ridge", alpha), ("knn", k)))


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """The train mean where the number of windows is not known, or the same in all training rows."""
    train, windows = task.train, task.train_info.windows
    shares = train_mean(train, len(task.x))
    usable, known = np.isfinite(windows), np.isfinite(task.test_info.windows)
    counts = windows[usable]
    if len(counts) == 0 or np.ptp(counts) == 0:
        return Predicted(shares)

    def scaled(values):
        return ((values - counts.mean()) / counts.std()).astype(np.float32)[:, None]

    def shares_of(part, x, candidate):
        method, value = candidate
        return fit_predict(ridge.make(seed, value) if method == "ridge" else knn.make(seed, value), part, x)

    part = Part(scaled(counts), train.labels[usable], train.group[usable])
    method, value = chosen = choose(part, CANDIDATES[:tries], shares_of)
    if known.any():
        shares[known] = shares_of(part, scaled(task.test_info.windows[known]), chosen)
    return Predicted(shares, f"{method} {value}")


register_baseline("duration_only", predict=predict, settings=len(CANDIDATES))
