"""What all kinds of signals share: cutting, repairing, filling."""

import numpy as np
import pytest

from mpcl_jax.data.features import windows
from mpcl_jax.data.features.windows import Kind


def mean_and_first(x, rate):
    return {"mean": x.mean(), "first": x[0]}, 0.5


MEAN = Kind(("mean", "first"), mean_and_first, off=lambda x: False)


def test_windows_are_cut_at_their_starts_and_use_nothing_outside():
    x = np.arange(100.0)
    rows = windows.describe(MEAN, x, rate=10, starts=np.array([0, 35]), seconds=2.0, unit=2.0)
    assert rows.values.tolist() == [[19.0, 0.0], [89.0, 70.0]]  # twice the mean of 0-19 and of 35-54
    assert rows.quality.tolist() == [0.5, 0.5] and rows.present.tolist() == [True, True]
    x[20:35], x[55:] = np.nan, np.nan
    again = windows.describe(MEAN, x, rate=10, starts=np.array([0, 35]), seconds=2.0, unit=2.0)
    assert (again.values == rows.values).all()


def test_lost_samples_lower_the_quality_and_too_many_make_the_window_absent():
    x = np.array([1.0, np.nan, 3.0, 4.0])
    assert windows.describe_window(MEAN, x, 1.0).quality == 0.75 * 0.5
    assert windows.describe_window(MEAN, x, 1.0).values.tolist() == [2.5, 1.0]
    assert not windows.describe_window(MEAN, np.where(x > 3, x, np.nan), 1.0).present
    assert not windows.describe_window(MEAN._replace(off=windows.constant), np.ones(4), 1.0).present


def test_gaps_are_drawn_over_by_lines_and_a_sample_is_lost_with_any_of_its_axes():
    mended, good = windows.repair(np.array([np.nan, 1.0, np.nan, np.inf, 4.0, np.nan]))
    assert mended.tolist() == [1, 1, 2, 3, 4, 4]  # a line between 1 and 4, the nearest value at the ends
    assert good == pytest.approx(2 / 6)
    mended, good = windows.repair(np.array([[0.0, 0.0], [np.nan, 5.0], [2.0, 4.0]]))
    assert mended.tolist() == [[0, 0], [1, 2], [2, 4]] and good == pytest.approx(2 / 3)


def test_missing_features_lower_the_quality():
    row = windows.described({"a": 0.0, "b": 0.0}, {"b": 2.0, "a": np.inf}, 0.8)
    assert np.isnan(row.values[0]) and row.values[1] == 2.0
    assert row.quality == pytest.approx(0.4)  # one of two features, times 0.8
