"""scikit-learn's own checks of an estimator. The full set compiles a hundred small models and is `-m long`."""

import numpy as np
import pytest
from run_fixture import SMALL_MODEL
from sklearn.utils.estimator_checks import parametrize_with_checks

from mpcl_jax.estimator.regressor import MPCLRegressor

pytestmark = pytest.mark.usefixtures("quick_programs")
QUICK = (
    "check_estimator_sparse_array",
    "check_fit1d",
    "check_get_params_invariance",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_supervised_y_no_nan",
)
FAILING = {
    "check_dtype_object": "the message names the array and its text instead of 'Unknown label type'",
    "check_regressor_multioutput": "wants predictions beyond [0, 1]: here columns are shares of one distribution",
}


class TwoEmotions(MPCLRegressor):
    """The checks pass one column of positive numbers; here they are counts of the first of two emotions."""

    def fit(self, X, y=None, **more):
        y = None if y is None else np.asarray(y)
        if y is not None and y.dtype.kind in "iuf" and np.isfinite(y).all():
            y = y.reshape(len(y), -1).astype(float)
            y = np.column_stack([y[:, 0] - y.min() + 1, np.ones(len(y))])
        return super().fit(X, y, **more)

    def predict(self, X, **more):
        return super().predict(X, **more)[:, :1]

    def score(self, X, y, **more):
        return float(self.predict(X).mean())


def checks():
    small = {"model.tokens": 1, **SMALL_MODEL}
    model = TwoEmotions(epochs=1, width=4, n_prototypes=1, early_stopping=False, settings=small)
    return parametrize_with_checks([model], expected_failed_checks=lambda estimator: FAILING)


def _name(check):
    return getattr(check, "func", check).__name__


@checks()
def test_scikit_learn(estimator, check, request):
    chosen = (request.config.getoption("-m") or "").replace("not long", "")
    if _name(check) not in QUICK and "long" not in chosen:
        pytest.skip("a long check; run it with -m long")
    check(estimator)
