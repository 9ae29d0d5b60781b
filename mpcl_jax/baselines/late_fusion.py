"""Late fusion: one ridge regression per modality, and a mixture of their distributions.

The mixture is a plain average or weighted: weights >= 0 that sum to 1 with the lowest KL on predictions for inner
grouped folds, as in stacked regression (Breiman 1996). Kind of mixture and penalty are chosen within the budget. A
modality that is absent from a row has weight 0 there, and the weights of the others then sum to 1.
"""

import numpy as np
from scipy.optimize import minimize

from mpcl_jax.baselines import ridge, selection
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Block, Part, Predicted, Task, choose, fit_predict, rows_of
from mpcl_jax.metrics import as_distributions

AVERAGED, STACKED = "averaged", "stacked"
# Averages first: stacking needs inner folds, which a single group does not allow.
CANDIDATES = tuple((alpha, mixing) for alpha in ridge.ALPHAS[:3] for mixing in (AVERAGED, STACKED))


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """One ridge per modality, mixed; penalty and kind of mixture are chosen."""
    blocks = task.blocks

    def shares_of(part, x, candidate):
        alpha, mixing = candidate
        weight = _stacking_weights(part, blocks, alpha) if mixing == STACKED else np.ones(len(blocks))
        return mixture(*_of_each_modality(part, x, blocks, alpha), weight, part.labels.mean(0))

    alpha, mixing = chosen = choose(task.train, CANDIDATES[:tries], shares_of)
    return Predicted(shares_of(task.train, task.x, chosen), f"alpha={alpha}, {mixing}")


def mixture(predicted, present, weight, otherwise) -> np.ndarray:
    """Σ_m w_m p_m over the modalities that are present, [M, C].

    `predicted` [E, M, C] of E modalities · `present` [E, M] bool · `weight` [E] >= 0 · `otherwise` [C]: for rows in
    which no modality with a weight above 0 is present.
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


def _of_each_modality(
    part: Part, x: np.ndarray, blocks: tuple[Block, ...], alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [E, M, C] of the regression of every modality, and where they are used, [E, M] bool.

    A modality without rows in `part` predicts the mean label and is not used.
    """
    predicted = np.empty((len(blocks), len(x), part.labels.shape[1]))
    predicted[:] = part.labels.mean(0)
    usable = np.zeros((len(blocks), len(x)), bool)
    for number, block in enumerate(blocks):
        columns, fitted, wanted = list(block.columns), _present(block, part.x), _present(block, x)
        if fitted.any() and wanted.any():
            own = rows_of(part, fitted)._replace(x=part.x[fitted][:, columns])
            predicted[number, wanted] = fit_predict(ridge.make(0, alpha), own, x[wanted][:, columns])
            usable[number] = wanted
    return predicted, usable


def _present(block: Block, x: np.ndarray) -> np.ndarray:
    """Rows of `x` [M, P] in which the modality is present, [M] bool."""
    return np.ones(len(x), bool) if block.present is None else x[:, block.present] > 0


def _stacking_weights(part: Part, blocks: tuple[Block, ...], alpha: float) -> np.ndarray:
    """Weights [E] from inner folds of `part`: no regression was fitted on the group that it predicts."""
    folds = selection.inner_folds(part.group)
    if not folds:
        return np.ones(len(blocks))
    parts = [_of_each_modality(rows_of(part, fold.fit), part.x[fold.held], blocks, alpha) for fold in folds]
    held = np.concatenate([fold.held for fold in folds])
    predicted, usable = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    return mixing_weights(predicted, usable, part.labels[held])


register_baseline("late_fusion", predict=predict, settings=len(CANDIDATES))
