"""Intervals and comparisons against values worked out by hand, and how often they are wrong on noise."""

import warnings

import numpy as np
import pytest

from mpcl_jax.benchmark.statistics import (
    BETTER,
    NOT_SHOWN,
    WORSE,
    paired_comparison,
    subject_interval,
)


@pytest.fixture(autouse=True)
def no_warnings():
    """A degenerate interval is answered, not warned about."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_interval_of_coin_flips():
    # 50 zeros, 50 ones: mean .5, standard error √(.25 / 100) = .05, so about .5 ± 1.96 · .05.
    low, high = subject_interval([0.0] * 50 + [1.0] * 50)
    assert low == pytest.approx(0.402, abs=0.012)
    assert high == pytest.approx(0.598, abs=0.012)


def test_a_lower_level_is_narrower_and_a_seed_repeats():
    values = np.random.default_rng(0).normal(size=12)
    wide, narrow = subject_interval(values), subject_interval(values, level=0.5)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    assert subject_interval(values) == wide
    assert subject_interval(values, seed=1) != wide


def test_a_long_tail_moves_the_interval_to_its_side():
    # What BCa is for: of ten values, nine at 0-8 and one at 100, the interval reaches further up than down.
    values = np.r_[np.arange(9.0), 100]
    low, high = subject_interval(values)
    assert high - values.mean() > 2 * (values.mean() - low)


def test_equal_values_have_an_interval_without_width():
    assert subject_interval([0.3, 0.3, 0.3]) == (0.3, 0.3)
    assert subject_interval([0.0, 0.0, 0.0]) == (0.0, 0.0)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0]])
def test_fewer_than_three_units_have_no_interval(values):
    assert np.isnan(subject_interval(values)).all()


def test_weights_move_the_interval_to_the_heavy_units():
    values = np.r_[np.zeros(10), np.ones(10)] + np.tile([-0.1, 0.1], 10)
    low, high = subject_interval(values, weight=np.r_[np.full(10, 9.0), np.ones(10)])
    # Weighted mean (9 · 0 + 1 · 1) / 10 = .1; unweighted it would be .5.
    assert low < 0.1 < high < 0.45


@pytest.mark.parametrize(
    ("values", "weight"),
    [([], None), ([1.0, np.nan, 2.0], None), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([[1.0]], None)],
)
def test_unusable_values_are_refused(values, weight):
    with pytest.raises(ValueError, match="values"):
        subject_interval(values, weight=weight)


def test_comparison_by_hand():
    # Differences −1 … −6: mean −3.5. All six have one sign: 2 of 2^6 sign patterns are as extreme, p = .03125.
    b = np.array([2.0, 3, 5, 1, 4, 9])
    found = paired_comparison(b - np.arange(1, 7), b)
    assert found.difference == -3.5
    assert found.p_value == pytest.approx(2 / 64)
    assert (found.n, found.superior, found.verdict) == (6, 6, BETTER)
    assert -6 < found.low < -3.5 < found.high < -1


def test_exchanging_the_methods_exchanges_the_verdict():
    b = np.array([2.0, 3, 5, 1, 4, 9])
    found = paired_comparison(b + np.arange(1, 7), b)
    assert (found.difference, found.superior, found.verdict) == (3.5, 0, WORSE)


def test_five_units_are_too_few_to_show_anything():
    # 2 of 2^5 sign patterns: p = .0625, although the interval leaves out 0.
    found = paired_comparison(np.zeros(5), np.arange(1.0, 6))
    assert found.p_value == pytest.approx(2 / 32)
    assert found.high < 0
    assert found.verdict == NOT_SHOWN


def test_the_level_is_that_of_the_test_too():
    b = np.array([2.0, 3, 5, 1, 4, 9])
    assert paired_comparison(b - np.arange(1, 7), b, level=0.99).verdict == NOT_SHOWN


def test_identical_methods_differ_by_nothing():
    found = paired_comparison([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert found[:4] == (0.0, 0.0, 0.0, 1.0)
    assert found.verdict == NOT_SHOWN


def test_weighted_difference_by_hand():
    # Unit weights 3 and 1 on differences −1 and +1: (−3 + 1) / 4 = −.5. Two units: no interval.
    found = paired_comparison([0.0, 1.0], [1.0, 0.0], weight=[3.0, 1.0])
    assert found.difference == -0.5
    assert np.isnan([found.low, found.high]).all()
    assert found.verdict == NOT_SHOWN


def test_detectable_difference_by_hand():
    # Ten differences ±1 around 0: variance 10/9, standard error √(10/9 / 10) = 1/3; (1.9600 + .8416) / 3.
    delta = np.tile([-1.0, 1.0], 5)
    assert paired_comparison(delta, np.zeros(10)).detectable == pytest.approx(0.93386, abs=1e-5)


def test_one_unit_shows_nothing():
    found = paired_comparison([0.0], [1.0])
    assert (found.difference, found.p_value, found.verdict) == (-1.0, 1.0, NOT_SHOWN)
    assert np.isnan(found.detectable)


def test_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"a \(3,\) and b \(2,\)"):
        paired_comparison([1.0, 2.0, 3.0], [1.0, 2.0])


def test_noise_is_seldom_called_better_and_a_large_effect_nearly_always():
    # One-sided error at most 2.5 %: of 120 null data sets 3 expected, 8 is 2.9 standard deviations more.
    # An effect of 1.2 standard deviations with 15 units has a power of .99 (t test): at least 110 of 120.
    draw = np.random.default_rng(0)
    noise = draw.exponential(size=(120, 15)) - draw.exponential(size=(120, 15))
    spread = np.sqrt(2)
    verdicts = [paired_comparison(row, np.zeros(15)).verdict for row in noise]
    assert verdicts.count(BETTER) <= 8
    shifted = [paired_comparison(row - 1.2 * spread, np.zeros(15)).verdict for row in noise]
    assert shifted.count(BETTER) >= 110
