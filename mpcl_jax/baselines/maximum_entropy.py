"""SA-BFGS: the maximum entropy model of label distribution learning, fitted with L-BFGS.

Geng, Label Distribution Learning, TKDE 2016 (arXiv 1408.6027), section 3.3: p(c | x) ∝ exp(θ_c · x), and θ has the
lowest Kullback-Leibler divergence from the training labels to p. SA-IIS of the same paper fits the same model by
iterative scaling and has the same optimum, so it is no row of its own.

Differences to the original: each emotion has a bias (features are z-scored); an L2 penalty on θ without the biases
is chosen like every setting here, the original's 0 being one of the candidates; L-BFGS of scipy in the place of
BFGS, with at most 100 iterations.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from mpcl_jax.baselines.selection import Part, choose
from mpcl_jax.metrics import as_distributions

# Weight of |θ|² / 2 against the divergence summed over rows, in the order in which a budget takes them.
PENALTIES = (10.0, 100.0, 1.0, 1000.0, 0.1, 0.0)
ITERATIONS = 100


def predict_sa_bfgs(train: Part, x: np.ndarray, *, trials: int) -> np.ndarray:
    """The maximum entropy model with the penalty chosen, [M, C]."""
    return maximum_entropy(train, x, choose(train, PENALTIES[:trials], maximum_entropy))


def maximum_entropy(part: Part, x: np.ndarray, penalty: float) -> np.ndarray:
    """Fits the rows of `part` with `penalty` >= 0 and predicts `x` [M, P]: [M, C]."""
    features = _with_ones(part.x)
    labels = part.labels
    start = np.zeros((features.shape[1], labels.shape[1]))
    start[-1] = np.log(as_distributions(labels.mean(0, keepdims=True))[0])
    shrunk = np.ones((len(start), 1))
    shrunk[-1] = 0  # the biases are free

    def loss_and_gradient(flat):
        theta = flat.reshape(start.shape)
        log_p = _log_softmax(features @ theta)
        loss = -(labels * log_p).sum() + penalty / 2 * (shrunk * theta**2).sum()
        gradient = features.T @ (np.exp(log_p) - labels) + penalty * shrunk * theta
        return loss, gradient.ravel()

    found = minimize(
        loss_and_gradient, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    return as_distributions(np.exp(_log_softmax(_with_ones(x) @ found.x.reshape(start.shape))))


def _with_ones(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x.astype(np.float64), np.ones((len(x), 1))], 1)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - logsumexp(scores, axis=1, keepdims=True)
