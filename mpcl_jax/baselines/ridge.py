"""Ridge: linear regression of the shares with an L2 penalty."""

import numpy as np

from mpcl_jax.baselines.registry import register_baseline

ALPHAS = (1e2, 1e3, 1e1, 1e4, 1.0, 1e5)  # the middle first, then the extremes


def make(seed: int, alpha: float = ALPHAS[0]):
    """Ridge regression with the penalty `alpha`, in float64; `seed` is not used."""
    from sklearn.linear_model import Ridge  # takes a second to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    return make_pipeline(FunctionTransformer(np.float64), Ridge(alpha))


register_baseline("ridge", make, grid={"alpha": ALPHAS})
