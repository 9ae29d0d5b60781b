"""What a stream reads from a model, and the public name, which is also that of a package."""

import sys

import numpy as np
import pytest
from stream_fixture import RATES, WINDOW, recording, shares, untrained

import mpcl_jax as mpcl
from mpcl_jax.estimator.fitting import recordings_of
from mpcl_jax.estimator.inputs import layout_of
from mpcl_jax.estimator.opened_model import opened_model
from mpcl_jax.stream.sources import replay

pytestmark = pytest.mark.usefixtures("quick_programs")


def test_a_fit_on_raw_windows_records_their_length():
    X = {"eda": np.random.default_rng(0).uniform(1, 2, (6, 80, 1))}
    layout = layout_of(X, None, {"eda": 4}, None, False)
    parameters = mpcl.MPCLRegressor().get_params(deep=False)
    data = recordings_of(parameters, X, np.eye(6) + 0.1, None, None, layout)
    assert data.duration == 20.0 and np.isnan(
        recordings_of(
            parameters, {"eda": X["eda"][:, 0]}, np.eye(6) + 0.1, None, None, layout._replace(rates={})
        ).duration
    )


def test_a_saved_model_knows_its_window_and_the_package_is_the_function(tmp_path):
    model = untrained(memory=False, seeds=1)
    model.save(tmp_path / "model")
    assert opened_model(tmp_path / "model").window == WINDOW
    source = replay(recording(30), RATES)
    found = list(sys.modules["mpcl_jax.stream"](tmp_path / "model", source))
    np.testing.assert_array_equal(shares(found), shares(list(mpcl.stream(model, source))))
