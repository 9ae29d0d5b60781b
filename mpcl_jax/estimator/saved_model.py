"""What `mpcl_jax.load` returns: an `MPCLRegressor` that does not import scikit-learn before it is needed.

scikit-learn imports SciPy's statistics and pandas, which takes longer than all else that the first prediction of a
process needs. Predictions, explanations and adaptation need none of it.
"""

from typing import Any

from mpcl_jax.estimator.predictor import Predictor


class SavedModel(Predictor):
    """Becomes an `MPCLRegressor` by the first use of what only that class has: `fit`, `get_params`, `clone`, ..."""

    @property
    def __class__(self) -> type:
        """For `isinstance`: the class of the model that was saved."""
        from mpcl_jax.estimator.regressor import MPCLRegressor

        return MPCLRegressor

    def _become_regressor(self) -> None:
        object.__dict__["__class__"].__set__(self, self.__class__)

    def __getattr__(self, name: str) -> Any:
        """Called for names that this class lacks."""
        self._become_regressor()
        return getattr(self, name)

    def __repr__(self) -> str:
        """As of the regressor."""
        self._become_regressor()
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For copies and pickles, which are those of the regressor."""
        self._become_regressor()
        return self.__reduce_ex__(protocol)

    def __dir__(self) -> list[str]:
        """As of the regressor."""
        self._become_regressor()
        return dir(self)
