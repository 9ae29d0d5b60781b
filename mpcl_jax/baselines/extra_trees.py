"""Extremely randomised trees on the shares; the smallest leaf is chosen, with fewer trees than the final fit has."""

from mpcl_jax.baselines.registry import register_baseline

LEAF_ROWS = (5, 20, 1, 50, 2, 10)  # the middle first, then the extremes


def make(seed: int, leaf_rows: int = LEAF_ROWS[0], trees: int = 200):
    """A forest of scikit-learn."""
    from sklearn.ensemble import ExtraTreesRegressor  # takes a second to import

    # Half of the features per split: as good as all of them on WESAD and DMER's sample, in half the time.
    return ExtraTreesRegressor(
        trees, min_samples_leaf=leaf_rows, max_features=0.5, random_state=seed, n_jobs=1
    )


register_baseline("extra_trees", make, grid={"leaf_rows": LEAF_ROWS}, search={"trees": 20})
