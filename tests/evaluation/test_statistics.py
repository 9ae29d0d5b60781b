"""Intervals and comparisons against values worked out by hand, and how often they are wrong on noise."""

import csv
import warnings

import numpy as np
import pytest
from python_process import ROOT

from mpcl_jax.evaluation.statistics import (
    BETTER,
    NOT_SIGNIFICANT,
    WORSE,
    Comparison,
    decide,
    holm,
    paired_comparison,
    smallest_p,
    subject_interval,
)


def verdict_of(a, b, **options):
    """What one comparison shows by itself."""
    (decision,) = decide([paired_comparison(a, b, **options)])
    return decision.verdict


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


def test_a_long_tail_moves_the_interval_to_its_side():
    # What BCa is for: of ten values, nine at 0-8 and one at 100, the interval reaches further up than down.
    values = np.r_[np.arange(9.0), 100]
    low, high = subject_interval(values)
    assert high - values.mean() > 2 * (values.mean() - low)


def test_weights_move_the_interval_to_the_heavy_units():
    values = np.r_[np.zeros(10), np.ones(10)] + np.tile([-0.1, 0.1], 10)
    low, high = subject_interval(values, weight=np.r_[np.full(10, 9.0), np.ones(10)])
    # Weighted mean (9 · 0 + 1 · 1) / 10 = .1; unweighted it would be .5.
    assert low < 0.1 < high < 0.45


def test_degenerate_values_have_no_width_or_no_interval_and_unusable_ones_are_refused():
    assert subject_interval([0.3, 0.3, 0.3]) == (0.3, 0.3)
    assert np.isnan(subject_interval([1.0, 2.0])).all()
    for values, weight in (([], None), ([1.0, np.nan, 2.0], None), ([1.0, 2.0], [1.0, 0.0]), ([[1.0]], None)):
        with pytest.raises(ValueError, match="values"):
            subject_interval(values, weight=weight)
    with pytest.raises(ValueError, match=r"a \(3,\) and b \(2,\)"):
        paired_comparison([1.0, 2.0, 3.0], [1.0, 2.0])


STEADY = np.array([-3.0, -3.5, -4.0, -3.2, -3.8, -3.5])
REPORTED = np.array([2.0, 3, 5, 1, 4, 9])


def test_comparison_by_hand():
    # Mean −3.5; squares of what is left .25 + 0 + .25 + .09 + .09 + 0 = .68: t = −3.5 / √(.68 / 30) = −23.2. All six
    # have one sign: 2 of 2^6 sign patterns are as extreme, .03125.
    found = paired_comparison(REPORTED + STEADY, REPORTED)
    assert found.difference == pytest.approx(-3.5)
    assert found.p_value == pytest.approx(2 / 64)
    assert found.p_skewed < 0.005
    assert found.n == 6
    assert -4 < found.low < -3.5 < found.high < -3
    assert verdict_of(REPORTED + STEADY, REPORTED) == BETTER


def test_p_skewed_is_the_lower_tail_of_t_under_exponential_differences():
    # Differences with mean 1 and t = 4 exactly: a second simulation, by other numbers, has to give the same p.
    pattern = np.array([-1.0, 1] * 5)
    delta = 1 + pattern * np.sqrt(10 * 9 / 10) / 4  # sd with n − 1 = 9: √10 / 4, so t = 1 / (1 / 4)
    draws = np.random.default_rng(5).standard_exponential((100_000, 10)) - 1
    t = draws.mean(1) / (draws.std(1, ddof=1) / np.sqrt(10))
    assert paired_comparison(delta, np.zeros(10)).p_skewed == pytest.approx(2 * (t <= -4).mean(), rel=0.05)


def test_exchanging_the_methods_exchanges_the_verdict():
    (found,) = decide([paired_comparison(REPORTED + STEADY, REPORTED)])
    assert found.turned().verdict == WORSE and found.turned().low == -found.high
    found = paired_comparison(REPORTED - STEADY, REPORTED)
    assert found.difference == pytest.approx(3.5)
    assert verdict_of(REPORTED - STEADY, REPORTED) == WORSE


def test_few_units_show_nothing():
    found = paired_comparison(STEADY[:5], np.zeros(5))
    assert found.high < 0 and found.p_skewed < 0.05 and found.p_value == pytest.approx(2 / 32)
    assert verdict_of(STEADY[:5], np.zeros(5)) == NOT_SIGNIFICANT
    # Unit weights 3 and 1 on differences −1 and +1: (−3 + 1) / 4 = −.5. Two units: no interval.
    found = paired_comparison([0.0, 1.0], [1.0, 0.0], weight=[3.0, 1.0])
    assert found.difference == -0.5 and np.isnan([found.low, found.high]).all()
    found = paired_comparison([0.0], [1.0])
    assert (found.difference, found.p_value, found.p_skewed) == (-1.0, 1.0, 1.0)
    assert decide([found])[0].verdict == NOT_SIGNIFICANT and np.isnan(found.detectable)


def test_comparisons_are_corrected_for_all_that_are_decided_together():
    found = paired_comparison(REPORTED + STEADY, REPORTED)
    nothing = paired_comparison(REPORTED, REPORTED)
    first, second = decide([found, nothing])
    # Two comparisons of six units: 2 · 2 / 2^6 is the smallest corrected p that there can be.
    assert first[-3:] == (pytest.approx(2 * 2 / 64), NOT_SIGNIFICANT, 2)
    assert second[-3:] == (1.0, NOT_SIGNIFICANT, 2)
    assert smallest_p(6, 2) == 2 * 2 / 64 and smallest_p(3, 9) == 1
    assert smallest_p(20, 300) == pytest.approx(0.03)


def test_a_difference_that_skewness_may_explain_is_not_significant():
    # Ten subjects, all better, one of them by far the most: signs p = 2 / 2^10, but t is only 2.3.
    delta = -np.array([0.2] * 9 + [1.2])
    found = paired_comparison(delta, np.zeros(10))
    assert found.p_value == pytest.approx(2 / 1024) and found.high < 0 and found.p_skewed > 0.1
    (decided,) = decide([found])
    assert (decided.corrected, decided.verdict) == (pytest.approx(2 / 1024), NOT_SIGNIFICANT)


def test_better_needs_all_four_conditions():
    base = Comparison(-0.1, -0.2, -0.05, 0.001, 0.001, 10, 0.05)
    assert decide([base])[0].verdict == BETTER
    for change in ({"high": 0.01}, {"p_skewed": 0.06}, {"p_value": 0.06}, {"n": 5}, {"high": float("nan")}):
        assert decide([base._replace(**change)])[0].verdict == NOT_SIGNIFICANT, change


def test_holm_by_hand():
    # Sorted .005, .011, .02, .04 times 4, 3, 2, 1: .02, .033, .04, .04; no later one may be smaller, none above 1.
    np.testing.assert_allclose(holm([0.011, 0.04, 0.005, 0.02]), [0.033, 0.04, 0.02, 0.04])
    np.testing.assert_allclose(holm([0.6, 0.03, 0.5]), [1, 0.09, 1])
    assert holm([]).tolist() == []


def test_rounding_does_not_move_an_interval_whose_resamples_tie_with_the_mean():
    # Six subjects of which four are alike: a tenth of the resampled means equals the estimate. Compared exactly,
    # noise of 1e-9 of a value moved both ends by a thousandth (.1138 to .1136 in the smoke table of another machine).
    values = np.array([0.11, 0.11, 0.13, 0.13, 0.15, 0.15])
    wanted = subject_interval(values)
    for seed in range(20):
        noise = 1 + 1e-9 * np.random.default_rng(seed).standard_normal(6)
        assert subject_interval(values * noise) == pytest.approx(wanted, rel=1e-7)


def test_detectable_difference_by_hand():
    # Ten differences ±1 around 0: variance 10/9, standard error √(10/9 / 10) = 1/3. The critical t of ten
    # exponential differences is 4.16 (200,000 draws of another generator), z of .8 is .8416: (4.16 + .84) / 3.
    delta = np.tile([-1.0, 1.0], 5)
    assert paired_comparison(delta, np.zeros(10)).detectable == pytest.approx(1.667, rel=0.02)


def shares_better(differences):
    """How often a method with these differences [draws, n] is called better and worse."""
    verdicts = [verdict_of(row, np.zeros(len(row))) for row in differences]
    return verdicts.count(BETTER) / len(verdicts), verdicts.count(WORSE) / len(verdicts)


def test_skewed_differences_without_a_mean_are_seldom_called_better():
    # Nominal .025 each way; .025 + 2 standard errors of 400 draws is .041. Sign flips with BCa had .086 here.
    draw = np.random.default_rng(1)
    better, worse = shares_better(draw.standard_exponential((400, 10)) - 1)
    assert better <= 0.041 and worse <= 0.041


def test_the_differences_of_a_real_table_without_their_mean_are_seldom_called_better():
    # MPCL − ridge of the ten subjects of experiments/results/wesad_loso_subjects.csv, centred, ten drawn with
    # replacement: in a third of the draws the one subject that cancels the rest is missing. It had .103.
    file = ROOT / "experiments" / "results" / "wesad_loso_subjects.csv"
    rows = list(csv.DictReader(file.read_text().splitlines()[1:]))
    kl = {name: np.array([float(r["kl"]) for r in rows if r["method"] == name]) for name in ("MPCL", "ridge")}
    differences = kl["MPCL"] - kl["ridge"]
    draws = np.random.default_rng(1).choice(differences - differences.mean(), (400, 10))
    better, worse = shares_better(draws)
    assert better <= 0.05 and worse <= 0.041


def test_equal_methods_are_seldom_and_a_large_effect_is_nearly_always_called_better():
    # Exchangeable methods, 15 units, 200 tables: nominal .025 each way. An effect of 1.6 standard deviations has t
    # around 6.2, the critical value is 3.5.
    draw = np.random.default_rng(0)
    noise = draw.exponential(size=(200, 15)) - draw.exponential(size=(200, 15))
    assert max(shares_better(noise)) <= 0.047
    assert shares_better(noise - 1.6 * np.sqrt(2))[0] >= 0.9
