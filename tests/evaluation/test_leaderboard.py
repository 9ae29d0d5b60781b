"""The table by hand, what it refuses, and its text."""

import csv

import numpy as np
import pytest

from mpcl_jax import metrics
from mpcl_jax.evaluation.leaderboard import Result, make_table
from mpcl_jax.evaluation.ranking import compare_with_focus
from mpcl_jax.evaluation.statistics import Comparison, decide
from mpcl_jax.evaluation.table_text import (
    HEADS,
    cells_of,
    comparison_text,
    csv_text,
    subject_frame,
    table_frame,
    to_markdown,
    verdict_lines,
)

SPLIT = "ab12" * 16


def rows(*shares):
    """Distributions of two emotions from the share of the first."""
    first = np.array(shares, np.float64)
    return np.stack([first, 1 - first], 1)


# Seven subjects; the first has three windows, each of the others one. The second window of the first is harder.
SUBJECT = np.array(["S1", "S1", "S1", "S2", "S3", "S4", "S5", "S6", "S7"])
TRIAL = np.array(["S1a", "S1a", "S1b", "S2a", "S3a", "S4a", "S5a", "S6a", "S7a"])
LABELS = rows(*[0.5] * 9)


def results(**predicted):
    return [Result(name, value if isinstance(value, list) else [value]) for name, value in predicted.items()]


def table(made, leaky=False, labels=LABELS, subject=SUBJECT, unit=TRIAL, **options):
    return make_table(made, labels, subject, unit, SPLIT, leaky=leaky, **options)


def verdict(made) -> list[str]:
    return verdict_lines(table_frame(made), compare_with_focus(made))


def ladder(better=0.45):
    """Train mean at .25, ridge nearer to the labels, MPCL near `better`."""
    jitter = np.linspace(0, 0.02, 9)
    return results(
        MPCL=rows(*(better - jitter)),
        train_mean=rows(*[0.25] * 9),
        ridge=rows(*(0.35 + jitter)),
        uniform=rows(*[0.2] * 9),
    )


def test_means_are_over_subjects_not_over_windows():
    # Chebyshev of .25 against .5 is .25, of .5 it is 0. S1: (.25 + 0 + .5) / 3 = .25; S2: .3; others 0.
    predicted = rows(0.25, 0.5, 0.0001, 0.2, 0.5, 0.5, 0.5, 0.5, 0.5)
    made = table(results(train_mean=rows(*[0.25] * 9), ridge=predicted))
    ridge = made.rows[1]
    assert ridge.mean["chebyshev"] == pytest.approx((0.7499 / 3 + 0.3) / 7)
    assert ridge.per_subject["S1"]["chebyshev"] == pytest.approx(0.7499 / 3)
    assert list(ridge.per_subject) == ["S1", "S2", "S3", "S4", "S5", "S6", "S7"]
    assert (made.windows, made.subjects, made.over) == (9, 7, "7 subjects")
    # The interval's units weigh the same here, so their plain mean is the table's KL.
    assert ridge.per_unit.mean() == pytest.approx(ridge.mean["kl"])
    assert ridge.low < ridge.mean["kl"] < ridge.high


def test_skill_by_hand():
    # KL of (.5, .5) against (.25, .75) is ½ ln 2 + ½ ln ⅔ = .143841, against (.4, .6) it is .020411.
    made = table(results(train_mean=rows(*[0.25] * 9), mlp=rows(*[0.4] * 9)))
    assert made.rows[0].mean["kl"] == pytest.approx(0.143841, abs=1e-6)
    assert made.rows[0].mean["skill"] == 0
    assert made.rows[1].mean["skill"] == pytest.approx(1 - 0.020411 / 0.143841, abs=1e-5)
    # A train mean without error leaves it open.
    made = table(results(train_mean=LABELS, mlp=rows(*[0.4] * 9)))
    assert cells_of(table_frame(made))["skill ↑"].tolist() == ["-", "-"]


def test_seeds_are_averaged_per_window_and_their_spread_is_reported():
    a, b = rows(*[0.4] * 9), rows(*[0.25] * 9)
    made = table(results(train_mean=b, MPCL=[a, b]))
    row = made.rows[1]
    # KL .020411 and .143841: mean .082126, standard deviation .12343 / √2 = .087278.
    assert row.mean["kl"] == pytest.approx(0.082126, abs=1e-6)
    assert row.spread == pytest.approx(0.087278, abs=1e-6)
    assert row.seeds == 2
    assert len(row.per_unit) == 7
    assert "2 (sd 0.0873)" in to_markdown(made)


def test_how_many_settings_were_tried_is_a_column_where_it_is_known():
    known = [result._replace(tried=6) if result.method == "ridge" else result for result in ladder()]
    cells = cells_of(table_frame(table(known)), tuple(HEADS))
    assert cells["tried"].tolist() == ["-", "-", "6", "-"]  # uniform, train mean, ridge, MPCL
    assert "tried" in csv_text(table_frame(table(known)), command="", commit="").splitlines()[1].split(",")
    assert "tried" not in to_markdown(table(ladder())).lower()
    assert "tried" not in csv_text(table_frame(table(ladder())), command="", commit="")


def test_baselines_of_ids_that_equal_the_train_mean_are_named():
    mean, other = rows(*[0.25] * 9), rows(*[0.3] * 9)
    made = results(train_mean=mean, subject_mean=mean, stimulus_mean=other, duration_only=mean, MPCL=mean)
    assert (
        "Equal to the train mean, because training has no ids or lengths of the tested rows: subject mean, "
        "duration only." in to_markdown(table(made))
    )
    assert "their ids" not in to_markdown(table(results(train_mean=mean, subject_mean=other)))


def test_few_subjects_give_intervals_over_trials_that_keep_the_means():
    few = np.array(["S1"] * 6 + ["S2"] * 3)
    trial = np.array(list("aaabbcdde"))
    predicted = rows(0.1, 0.2, 0.3, 0.4, 0.45, 0.3, 0.2, 0.25, 0.4)
    kl = metrics.kl(LABELS, predicted)
    both = results(train_mean=rows(*[0.25] * 9), mlp=predicted)
    made = table(both, subject=few, unit=trial, unit_name="label groups")
    mlp = made.rows[1]
    assert made.over == "5 label groups of 2 subjects"
    assert mlp.per_unit[0] == pytest.approx(kl[:3].mean())
    assert mlp.mean["kl"] == pytest.approx((kl[:6].mean() + kl[6:].mean()) / 2)
    # Windows of S1 weigh 1/12, of S2 1/6: trials a, b, c, d, e weigh 3/12, 2/12, 1/12, 2/6, 1/6.
    weight = np.array([3, 2, 1, 4, 2]) / 12
    assert (weight * mlp.per_unit).sum() == pytest.approx(mlp.mean["kl"])
    gain = mlp.mean["kl"] - made.rows[0].mean["kl"]
    assert compare_with_focus(made)["mlp"].difference == pytest.approx(gain)
    text = to_markdown(made)
    assert "95 % interval over 5 label groups of 2 subjects; it says nothing about other subjects" in text


MEAN = "MPCL against the train mean"
FEW = {"subject": np.array(["S1"] * 5 + ["S2"] * 4), "unit": np.arange(9).astype(str)}
ONE = {"subject": np.array(["S1"] * 9), "unit": np.array(["t"] * 9)}
NEARER_MEAN = {"train_mean": rows(*[0.45] * 9), "ridge": rows(*[0.3] * 9), "MPCL": rows(*[0.35] * 9)}


@pytest.mark.parametrize(
    "made, options, line, begin, end",
    [
        # 2 of 2^7 sign patterns, times 3 comparisons.
        (ladder(), {}, 0, f"{MEAN}: better (KL −0.1", ", n = 7 subjects, p = 0.047 after Holm's correction "),
        (ladder(), {}, 1, "MPCL against the best baseline, ridge: better (KL −0.03", ""),
        (ladder(better=0.1), {}, 0, f"{MEAN}: worse (KL +", ""),
        (ladder(), FEW, 0, f"{MEAN}: better for the tested 2 subjects only (KL ", ""),
        (ladder(), ONE, 0, f"{MEAN}: not significant (KL −", ", n = 1 trial of 1 subject, p = 1.000"),
        (ladder(), ONE, 0, MEAN, "; too few units: no corrected p below 1.000 is possible)"),
        (results(**NEARER_MEAN), {}, 0, f"{MEAN}, which is the best baseline: worse", ""),
        (ladder()[1:], {}, 0, "ridge against the train mean: better", ""),  # without MPCL
    ],
)
def test_verdicts(made, options, line, begin, end):
    """Against the train mean and the best baseline; limited to few subjects, none for one."""
    found = verdict(table(made, **options))[line]
    assert found.startswith(begin) and end in found


def test_the_reason_why_a_difference_is_not_significant():
    def words(p, skewed, n=10, comparisons=1, low=-0.2, high=-0.1):
        found = Comparison(-0.15, low, high, p, skewed, n, 0.05)
        return comparison_text(decide([found] * comparisons)[0], f"{n} subjects")

    assert words(0.01, 0.01) == (
        "KL −0.1500 [−0.2000, −0.1000], n = 10 subjects, p = 0.010 after Holm's correction for 1 comparison"
    )
    assert words(0.01, 0.08).endswith("; the test for skewed differences has p = 0.080")
    assert "; the interval excludes 0 but is not corrected; without correction" in words(0.06, 0.06)
    assert words(0.06, 0.06, high=0.1).endswith(
        "comparison; without correction, a difference of 0.0500 would be found with probability 0.8"
    )
    # Of 14 and more units 9,999 sign flips are drawn: 300 comparisons can still have 300 / 10,000 = .03.
    assert "too few" not in words(0.01, 0.01, n=20, comparisons=300)
    # Six subjects and two comparisons: 2 · 2 / 2^6 = .0625, whatever is found.
    assert words(2 / 64, 0.01, n=6, comparisons=2).endswith("no corrected p below 0.062 is possible")


def test_an_oracle_is_no_baseline_and_stands_apart():
    made = table(ladder() + results(stimulus_mean=rows(*[0.49] * 9)))
    assert made.rows[-1].method == "stimulus_mean"
    assert cells_of(table_frame(made))["method"].iloc[-1] == "stimulus mean (oracle)"
    assert "stimulus mean: an oracle; it knows the true stimulus of each window" in to_markdown(made)
    # It is not in the correction either: the same p with and without it. Nor is it bold.
    assert verdict(made) == verdict(table(ladder()))
    assert [x.startswith("**") for x in cells_of(table_frame(made))["KL ↓"]] == [False] * 3 + [True, False]


def test_leaky_is_in_the_title_the_caption_and_every_verdict():
    text = to_markdown(table(ladder(), leaky=True), title="DMER sample")
    lines = text.splitlines()
    assert lines[0] == "## DMER sample (LEAKY split)"
    (caption,) = [line for line in lines if line.startswith("Means over")]
    assert "LEAKY" in caption
    answers = [line for line in lines if line.startswith("- ")]
    assert len(answers) == 2
    assert all(line.startswith("- LEAKY split: ") for line in answers)
    assert [line for line in lines if line.startswith("| train mean |      0.2500 |")]
    assert "LEAKY" not in to_markdown(table(ladder()))


def test_csv_can_be_read_back_with_all_digits():
    made = table(ladder(), leaky=True)
    text = csv_text(table_frame(made), command="python -m x\n--config y", commit="abc1234")
    first, *rest = text.splitlines()
    assert first == "# python -m x --config y @ abc1234"
    read = list(csv.DictReader(rest))
    assert [line["method"] for line in read] == ["uniform", "train_mean", "ridge", "MPCL"]
    assert float(read[2]["kl"]) == made.rows[2].mean["kl"]
    assert float(read[2]["kl_high"]) == made.rows[2].high
    assert read[2]["interval_over"] == "7 subjects"
    assert (read[0]["split"], read[0]["split_sha256"]) == ("LEAKY", SPLIT)
    lines = csv_text(subject_frame(made), command="c", commit="d").splitlines()
    read = list(csv.DictReader(lines[1:]))
    assert len(read) == 4 * 7
    of_ridge = {line["subject"]: float(line["kl"]) for line in read if line["method"] == "ridge"}
    assert np.mean(list(of_ridge.values())) == pytest.approx(made.rows[2].mean["kl"])


def test_what_cannot_be_compared_is_refused_by_name():
    good = ladder()
    with pytest.raises(ValueError, match=r"knn: labels \(9, 2\) and predicted \(8, 2\)"):
        table(good + results(knn=[LABELS, LABELS[:8]]))
    with pytest.raises(ValueError, match="'train_mean' is missing"):
        table(results(ridge=LABELS))
    with pytest.raises(ValueError, match="knn: predicted, row 0: does not sum to 1"):
        table(good + results(knn=np.ones((9, 2))))
    with pytest.raises(ValueError, match="knn, row 4: predicts 0 for a reported emotion"):
        table(good + results(knn=rows(0.5, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5)))
