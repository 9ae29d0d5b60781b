"""Late fusion: one ridge regression per modality, their distributions mixed.

The mixture is a plain average or weighted: weights >= 0 that sum to 1 with the lowest KL on predictions for
inner grouped folds, as in stacked regression (Breiman 1996). Which of the two and which penalty is chosen within
the budget. A modality that a row lacks has no say in it; the weights of the others then sum to 1.
"""

import numpy as np
from scipy.optimize import minimize

from mpcl_jax.baselines.regressors import RIDGE_ALPHAS, ridge
from mpcl_jax.baselines.selection import (
    Block,
    Part,
    choose,
    features_of,
    inner_folds,
    presence_of,
    rows_of,
)
from mpcl_jax.metrics import as_distributions

AVERAGED, STACKED = "averaged", "stacked"
# An average first: the only one of the two that a single group allows.
CANDIDATES = tuple((alpha, how) for alpha in RIDGE_ALPHAS[:3] for how in (AVERAGED, STACKED))


def predict_late_fusion(train: Part, x: np.ndarray, blocks: tuple[Block, ...], *, trials: int) -> np.ndarray:
    """One ridge per modality of `blocks`, mixed; penalty and kind of mixture chosen, [M, C]."""

    def fit_predict(part, x_new, candidate):
        alpha, how = candidate
        weight = _stacking_weights(part, blocks, alpha) if how == STACKED else np.ones(len(blocks))
        return mixture(*_each_modality(part, x_new, blocks, alpha), weight, part.labels.mean(0))

    return fit_predict(train, x, choose(train, CANDIDATES[:trials], fit_predict))


def mixture(
    predicted: np.ndarray, present: np.ndarray, weight: np.ndarray, otherwise: np.ndarray
) -> np.ndarray:
    """Σ_m w_m p_m over what is present, [M, C].

    `predicted` [E, M, C] of E modalities · `present` [E, M] bool · `weight` [E] >= 0 · `otherwise` [C]: for rows in
    which nothing with a weight above 0 is present.
    """
    share = weight[:, None] * present
    total = share.sum(0)
    mixed = np.einsum("em,emc->mc", share, predicted)
    return as_distributions(np.where(total[:, None] > 0, mixed, otherwise))


def mixing_weights(predicted: np.ndarray, present: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weights [E] of `mixture` with the lowest mean KL from `labels` [N, C]; >= 0, sum 1."""
    experts, otherwise = len(predicted), labels.mean(0)

    def kl(weight):
        mixed = mixture(predicted, present, np.maximum(weight, 0), otherwise)
        return -(labels * np.log(mixed)).sum(1).mean()

    start = np.full(experts, 1 / experts)
    sums_to_one = {"type": "eq", "fun": lambda weight: weight.sum() - 1}
    found = minimize(kl, start, method="SLSQP", bounds=[(0, 1)] * experts, constraints=sums_to_one)
    return np.maximum(found.x, 0) / np.maximum(found.x, 0).sum()


def _each_modality(part: Part, x: np.ndarray, blocks, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [E, M, C] of every modality's own regression, and which are to be used, [E, M] bool.

    A modality that no row of `part` has predicts the mean label and is not used.
    """
    predicted = np.empty((len(blocks), len(x), part.labels.shape[1]))
    predicted[:] = part.labels.mean(0)
    usable = np.zeros((len(blocks), len(x)), bool)
    for number, block in enumerate(blocks):
        seen, args = presence_of(block, part.x), presence_of(block, x)
        if seen.any() and args.any():
            own = rows_of(part, seen)._replace(x=features_of(block, part.x[seen]))
            predicted[number, args] = ridge(own, features_of(block, x[args]), alpha)
            usable[number] = args
    return predicted, usable


def _stacking_weights(part: Part, blocks, alpha: float) -> np.ndarray:
    """Weights found on inner folds of `part`, every row predicted by regressions that have not seen its group."""
    folds = inner_folds(part.group)
    if not folds:
        return np.ones(len(blocks))
    parts = [_each_modality(rows_of(part, fold.fit), part.x[fold.held], blocks, alpha) for fold in folds]
    held = np.concatenate([fold.held for fold in folds])
    predicted = np.concatenate([predicted for predicted, _ in parts], axis=1)
    usable = np.concatenate([usable for _, usable in parts], axis=1)
    return mixing_weights(predicted, usable, part.labels[held])
