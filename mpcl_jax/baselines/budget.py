"""How many settings each baseline tries; the same budget for all of them."""

from mpcl_jax.baselines import late_fusion, maximum_entropy, means, regressors

# Of those that choose among a fixed list; the networks draw as many as they may.
LISTED = {
    "uniform": 0,
    "train_mean": 0,
    "subject_mean": 0,
    "stimulus_mean": 0,
    "duration_only": len(means.DURATION_CANDIDATES),
    "knn": len(regressors.NEIGHBOURS),
    "ridge": len(regressors.RIDGE_ALPHAS),
    "sa_bfgs": len(maximum_entropy.PENALTIES),
    "late_fusion": len(late_fusion.CANDIDATES),
    "extra_trees": len(regressors.LEAF_ROWS),
}


def tried(name: str, trials: int) -> int:
    """How many settings the baseline `name` tries with a budget of `trials`; 0 where there is nothing to set."""
    return min(LISTED.get(name, trials), trials)
