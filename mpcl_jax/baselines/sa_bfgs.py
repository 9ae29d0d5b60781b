"""SA-BFGS: the maximum entropy model of label distribution learning, fitted with L-BFGS.

Geng, Label Distribution Learning, TKDE 2016 (arXiv 1408.6027), section 3.3: p(c | x) ∝ exp(θ_c · x), and θ has the
lowest Kullback-Leibler divergence from the training labels to p. SA-IIS of the same paper fits the same model by
iterative scaling and has the same optimum, so it has no row of its own.

Differences to the original: each emotion has a bias (features are z-scored); an L2 penalty on θ without the biases
is chosen like every setting here, the original's 0 being one of the candidates; L-BFGS of SciPy in the place of
BFGS, with at most 100 iterations.
"""

import dataclasses

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.metrics import as_distributions

# Weight of |θ|² / 2 against the divergence summed over rows: the middle first, then the extremes.
PENALTIES = (10.0, 100.0, 1.0, 1000.0, 0.1, 0.0)
ITERATIONS = 100


@dataclasses.dataclass
class MaximumEntropy:
    """The model with an L2 `penalty` >= 0."""

    penalty: float

    def fit(self, x: np.ndarray, labels: np.ndarray):
        """Finds θ [P + 1, C], the biases last, for `x` [N, P] and distributions `labels` [N, C]."""
        features = _with_ones(x)
        start = np.zeros((features.shape[1], labels.shape[1]))
        start[-1] = np.log(as_distributions(labels.mean(0, keepdims=True))[0])
        shrunk = np.ones((len(start), 1))
        shrunk[-1] = 0  # the biases are free

        def loss_and_gradient(flat):
            theta = flat.reshape(start.shape)
            log_p = _log_softmax(features @ theta)
            loss = -(labels * log_p).sum() + self.penalty / 2 * (shrunk * theta**2).sum()
            gradient = features.T @ (np.exp(log_p) - labels) + self.penalty * shrunk * theta
            return loss, gradient.ravel()

        options = {"maxiter": ITERATIONS}
        found = minimize(loss_and_gradient, start.ravel(), jac=True, method="L-BFGS-B", options=options)
        self._theta = found.x.reshape(start.shape)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """[M, P] -> distributions [M, C]."""
        return np.exp(_log_softmax(_with_ones(x) @ self._theta))


def make(seed: int, penalty: float = PENALTIES[0]) -> MaximumEntropy:
    """The model with `penalty`; `seed` is not used."""
    return MaximumEntropy(penalty)


def _with_ones(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x.astype(np.float64), np.ones((len(x), 1))], 1)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - logsumexp(scores, axis=1, keepdims=True)


register_baseline("sa_bfgs", make, grid={"penalty": PENALTIES})
