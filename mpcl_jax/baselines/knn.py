"""kNN: the mean label of the k nearest training rows (AA-kNN of Geng, Label Distribution Learning, TKDE 2016)."""

import dataclasses

from mpcl_jax.baselines.registry import register_baseline

NEIGHBOURS = (15, 50, 5, 100, 1, 200)  # the middle first, then the extremes


@dataclasses.dataclass
class NearestNeighbours:
    """The mean label of the `k` nearest rows (Euclidean), of all rows where there are fewer."""

    k: int

    def fit(self, x, labels):
        """Keeps `x` [N, P] and `labels` [N, C]."""
        from sklearn.neighbors import KNeighborsRegressor  # takes a second to import

        self._model = KNeighborsRegressor(min(self.k, len(x)), algorithm="brute").fit(x, labels)
        return self

    def predict(self, x):
        """[M, P] -> [M, C]."""
        return self._model.predict(x)


def make(seed: int, k: int = NEIGHBOURS[0]) -> NearestNeighbours:
    """A regressor with `k` neighbours; `seed` is not used."""
    return NearestNeighbours(k)


register_baseline("knn", make, grid={"k": NEIGHBOURS})
