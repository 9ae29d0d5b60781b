"""The mean of the distributions of ridge, ExtraTrees and the condition classifier with ExtraTrees."""

import numpy as np

from mpcl_jax.baselines import condition, extra_trees, registry, ridge
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Predicted, Task

SETTINGS = max(len(ridge.ALPHAS), len(extra_trees.LEAF_ROWS), len(condition.FOREST))  # of each member


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """Each member chooses its own setting among the first `tries`."""
    members = {name: registry.get(name).predict(task, seed, tries) for name in ("ridge", "extra_trees")}
    members["condition"] = condition.predict(task, seed, tries, condition.FOREST)
    setting = "; ".join(f"{name} {member.setting}" for name, member in members.items())
    return Predicted(np.mean([member.shares for member in members.values()], axis=0), setting)


register_baseline("average", predict=predict, settings=SETTINGS)
