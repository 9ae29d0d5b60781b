"""HeLo with the transport that its paper describes: a cosine cost between the groups, and Sinkhorn steps.

Everything else is `helo.py`, whose transport is the Gromov-Wasserstein one of the released code.
"""

from mpcl_jax.baselines import helo, transformer
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Predicted, Task

STEPS = helo.TRANSPORT_STEPS * helo.SINKHORN_STEPS  # as many as `helo.py` takes in all


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """Searches `tries` >= 1 settings, refits and predicts the test rows, as `network.py` describes."""
    network = helo.network_of(task.blocks, task.train.labels.shape[1], transport)
    return transformer.fit_predict(network, task, seed, tries)


def transport(one, other):
    """Entropic plan [B, P, Q] between the tokens `one` [B, P, D] and `other` [B, Q, D].

    The cost of a pair of tokens is 1 - cosine. Entries are >= 0, rows sum to about 1/P, columns to 1/Q exactly.
    """
    one, other = helo.unit(one), helo.unit(other)
    return helo.sinkhorn_plan(1 - one @ other.swapaxes(-1, -2), STEPS)


register_baseline("helo_sinkhorn", predict=predict, settings=None)
