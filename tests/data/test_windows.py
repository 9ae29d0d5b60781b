"""What all kinds of signals share: cutting, repairing, filling."""

import numpy as np
import pytest

from mpcl_jax.data.features import windows
from mpcl_jax.data.features.windows import Kind


def test_repair_draws_lines_over_gaps():
    x = np.array([np.nan, 1.0, np.nan, np.inf, 4.0, np.nan])
    mended, good = windows.repair(x)
    assert mended.tolist() == [1, 1, 2, 3, 4, 4]  # a line between 1 and 4, the nearest value at the ends
    assert good == pytest.approx(2 / 6)


def test_repair_loses_a_sample_with_any_bad_axis():
    x = np.array([[0.0, 0.0], [np.nan, 5.0], [2.0, 4.0]])
    mended, good = windows.repair(x)
    assert mended.tolist() == [[0, 0], [1, 2], [2, 4]]
    assert good == pytest.approx(2 / 3)


def test_repair_of_nothing():
    mended, good = windows.repair(np.full((5, 3), np.nan))
    assert mended.shape == (5, 3) and not mended.any() and good == 0.0


def test_slower_averages_whole_blocks():
    x, rate = windows.slower(np.arange(10.0), 8.0, 2.0)
    assert x.tolist() == [1.5, 5.5]  # means of 0-3 and 4-7; 8 and 9 fill no block
    assert rate == 2.0
    same, rate = windows.slower(np.arange(4.0), 4.0, 32.0)
    assert same.tolist() == [0, 1, 2, 3] and rate == 4.0


def test_band_pass_keeps_its_band_without_delay():
    t = np.arange(64 * 30) / 64
    inside, outside = np.sin(2 * np.pi * 1.0 * t), np.sin(2 * np.pi * 20.0 * t) + 5
    y = windows.band_pass(inside + outside, 0.3, 4.0, 64)
    assert np.abs(y - inside)[640:-640].max() < 0.05
    # A band beyond what the rate can hold is cut, not an error: the skin conductance of a wrist comes at 4 Hz.
    assert np.isfinite(windows.band_pass(t[:100], 0.05, 5.0, 4)).all()


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


def test_values_are_ordered_by_name_and_missing_ones_lower_the_quality():
    row = windows.described({"a": 0.0, "b": 0.0}, {"b": 2.0}, 0.8)
    assert np.isnan(row.values[0]) and row.values[1] == 2.0
    assert row.quality == pytest.approx(0.4)  # one of two features, times .8
    assert windows.described({"a": 0.0}, {"a": np.inf}, 1.0).quality == 0.0
    assert np.isnan(windows.described({"a": 0.0}, {"a": np.inf}, 1.0).values[0])


def test_an_absent_window_has_no_values():
    row = windows.absent({"a": 1.0, "b": 2.0})
    assert np.isnan(row.values).all() and row.values.shape == (2,)
    assert row.quality == 0.0 and row.present is False
