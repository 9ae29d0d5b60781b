"""Ridge: linear regression of the shares with an L2 penalty."""

import dataclasses
from typing import Any

from mpcl_jax.baselines.registry import register_baseline

ALPHAS = (1e2, 1e3, 1e1, 1e4, 1.0, 1e5)  # the middle first, then the extremes


@dataclasses.dataclass
class InDoublePrecision:
    """A regressor that computes in float64 also from float32."""

    model: Any

    def fit(self, x, labels):
        """Fits `x` [N, P] to `labels` [N, C]."""
        self.model.fit(x.astype("float64"), labels)
        return self

    def predict(self, x):
        """[M, P] -> [M, C]."""
        return self.model.predict(x.astype("float64"))


def make(seed: int, alpha: float = ALPHAS[0]) -> InDoublePrecision:
    """Ridge regression with the penalty `alpha`; `seed` is not used."""
    from sklearn.linear_model import Ridge  # takes a second to import

    return InDoublePrecision(Ridge(alpha))


register_baseline("ridge", make, grid={"alpha": ALPHAS})
