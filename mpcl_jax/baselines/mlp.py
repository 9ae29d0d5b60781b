"""A tuned multi-layer perceptron on the concatenated features, in plain JAX. Search and training: `network.py`."""

import jax
import numpy as np

from mpcl_jax.baselines import network
from mpcl_jax.baselines.network import Candidate, Network, Problem, keep
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Predicted, Task

WIDTHS, DEPTHS = (64, 128, 256), (1, 2)

# Every search begins with these: the setting of docs/method.md, then one for weakly informative signals (unseen
# subjects: more than a few small epochs overfit), one for strongly informative ones, and one for many noisy features
# that are informative together, without and with mixup.
FIRST = (
    Candidate(128, 2, dropout=0.5, input_dropout=0.0, decay=0.1, learning_rate=1e-3, epochs=60),
    Candidate(128, 2, dropout=0.5, input_dropout=0.0, decay=0.1, learning_rate=2e-4, epochs=40),
    Candidate(128, 2, dropout=0.3, input_dropout=0.0, decay=0.1, learning_rate=3e-3, epochs=150),
    Candidate(128, 2, dropout=0.3, input_dropout=0.4, decay=0.1, learning_rate=1e-3, epochs=100),
    Candidate(128, 2, dropout=0.3, input_dropout=0.4, decay=0.1, learning_rate=1e-3, epochs=100, mixup=True),
)


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """Searches `tries` >= 1 settings, refits and predicts the test rows."""
    candidates = network.draw_candidates(FIRST, WIDTHS, DEPTHS, seed=seed, tries=tries)
    return network.fit_predict(NETWORK, candidates, task.train, task.x, seed=seed)


def _init(problem: Problem, candidate: Candidate, draw: np.random.Generator):
    """A list of (matrix, bias) of the hidden layers and the output, which starts near the mean label."""
    sizes = [problem.x.shape[1], *[candidate.width] * candidate.depth, problem.labels.shape[1]]
    params = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        matrix = draw.standard_normal((inputs, outputs), np.float32) / np.sqrt(inputs, dtype=np.float32)
        params.append((matrix, np.zeros(outputs, np.float32)))
    matrix, _ = params[-1]
    params[-1] = (0.1 * matrix, problem.log_mean)
    return params


def _loss(params, features, labels, dropout, key):
    hidden = keep(key, dropout, (len(params) - 1, len(features), params[0][0].shape[1]))
    return -(labels * _log_probs(params, features, hidden)).sum(1).mean()


def _log_probs(params, x, hidden=None):
    """[B, P] -> [B, C]; `hidden` [depth, B, width] are the factors of dropout for the hidden units."""
    for i, (matrix, bias) in enumerate(params[:-1]):
        x = jax.nn.gelu(x @ matrix + bias[None])
        x = x if hidden is None else x * hidden[i]
    matrix, bias = params[-1]
    return jax.nn.log_softmax(x @ matrix + bias[None])


NETWORK = Network(_init, _loss, _log_probs)

register_baseline("mlp", predict=predict, settings=None)
