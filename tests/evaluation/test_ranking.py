"""Ranks, Friedman, Holm and groups against values calculated by hand, and the statistics page."""

import csv

import numpy as np
import pytest

from experiments.shared.text_cells import latex_of
from mpcl_jax.evaluation import statistics_text
from mpcl_jax.evaluation.leaderboard import Result, make_table
from mpcl_jax.evaluation.ranking import compare_with_focus, groups_of, rank_methods, spread_of
from mpcl_jax.evaluation.statistics import BETTER, NOT_SIGNIFICANT
from mpcl_jax.evaluation.table_text import cells_of, table_frame

SPLIT, EMOTIONS = "ab12" * 16, ("joy", "fear")


def table_of(kl_like: dict[str, np.ndarray], subjects=None, leaky=False):
    """A table of two emotions with labels (½, ½); a method's error grows with its numbers, one a subject."""
    count = len(next(iter(kl_like.values())))
    names = np.array([f"S{i:02d}" for i in range(count)]) if subjects is None else subjects

    def predicted(distance):
        first = 0.5 - np.asarray(distance)
        return np.stack([first, 1 - first], 1)

    results = [
        Result(name, [predicted(x) for x in (far if isinstance(far, list) else [far])])
        for name, far in kl_like.items()
    ]
    trial = np.array([f"t{i}" for i in range(count)])
    return make_table(results, np.full((count, 2), 0.5), names, trial, SPLIT, leaky=leaky)


SUBJECTS = 12
JITTER = 0.01 * np.sin(np.arange(SUBJECTS))
# MPCL and ridge take turns in front; the train mean is always last but one, uniform always last.
LADDER = {
    "MPCL": 0.10 + JITTER,
    "ridge": 0.10 + JITTER + 0.01 * (-1.0) ** np.arange(SUBJECTS),
    "train_mean": 0.20 + JITTER,
    "uniform": 0.30 - JITTER,
}


@pytest.fixture(scope="module")
def ranking():
    return rank_methods(table_of(LADDER))


def pair_of(ranking, a: str, b: str):
    """The row of a pair, whichever comes first."""
    pairs = ranking.pairs
    return next(row for _, row in pairs.iterrows() if {row["a"], row["b"]} == {a, b})


def test_mean_ranks_and_friedman_by_hand(ranking):
    names = ranking.methods["method"].tolist()
    assert names[2:] == ["train_mean", "uniform"] and set(names[:2]) == {"MPCL", "ridge"}
    assert ranking.methods["mean_rank"].tolist() == [1.5, 1.5, 3, 4]
    # 12 / (12 · 4 · 5) · (18² + 18² + 36² + 48²) − 3 · 12 · 5 = .05 · 4248 − 180 = 32.4; p of 3 degrees: 4.3e-7.
    assert ranking.pairs["friedman_p"].iloc[0] == pytest.approx(4.3e-7, rel=0.01)
    # Neighbours that do not differ are one group.
    assert ranking.methods["groups"].tolist() == ["a", "a", "", ""]
    assert [set(group) for group in groups_of(ranking.methods)] == [{"MPCL", "ridge"}]


def test_pairs_by_hand(ranking):
    pair = pair_of(ranking, "MPCL", "uniform")
    # MPCL is better in all twelve: 2 of 2^12 sign patterns, for the ranks as for the means.
    assert (pair["a"], pair["verdict_of_a"], pair["superiority"]) == ("MPCL", BETTER, 1)
    assert pair["p_wilcoxon"] == pytest.approx(2 / 2**12) and pair["p"] == pytest.approx(2 / 2**12)
    # Of six pairs four have this smallest p: times 6 for the whole table, times 3 for the three pairs of MPCL.
    assert pair["p_holm_all"] == pytest.approx(6 * 2 / 2**12)
    assert pair["p_holm_focus"] == pytest.approx(3 * 2 / 2**12)
    kl = {row.method: row.per_unit for row in table_of(LADDER).rows}
    delta = kl["MPCL"] - kl["uniform"]
    assert pair["effect"] == pytest.approx(delta.mean() / delta.std(ddof=1))
    without = pair_of(ranking, "ridge", "uniform")
    assert np.isnan(without["p_holm_focus"]) and without["verdict_of_a"] == BETTER
    even = pair_of(ranking, "MPCL", "ridge")
    assert (even["superiority"], even["verdict_of_a"]) == (0.5, NOT_SIGNIFICANT)


def test_overlapping_groups():
    # Each is ahead of the next in 7 of 12 subjects, too few; the first is ahead of the third in all.
    steps = np.where(np.arange(12) < 7, 0.01, -0.004)
    chain = {"train_mean": 0 * steps, "knn": steps, "ridge": steps + np.roll(steps, 5)}
    made = rank_methods(table_of({name: 0.2 + JITTER + further for name, further in chain.items()})).methods
    assert groups_of(made) == [["train_mean", "knn"], ["knn", "ridge"]]
    assert made["groups"].tolist() == ["a", "ab", "b"]


def test_equal_methods_are_equal():
    made = rank_methods(table_of(dict.fromkeys(("train_mean", "knn", "ridge"), LADDER["MPCL"])))
    assert made.methods["mean_rank"].tolist() == [2, 2, 2] and made.pairs["friedman_p"].iloc[0] == 1
    columns = ["p_wilcoxon", "p_holm_all", "effect", "superiority", "verdict_of_a"]
    assert made.pairs[columns].to_numpy().tolist() == [[1, 1, 0, 0.5, NOT_SIGNIFICANT]] * 3
    assert groups_of(made.methods) == [made.methods["method"].tolist()]


def page_of(table, title="made up") -> str:
    return statistics_text.files_of(table, EMOTIONS, title=title, command="c", commit="d")["table.md"]


def test_two_subjects_are_too_few():
    table = table_of({name: values[:2] for name, values in LADDER.items()})
    pairs = rank_methods(table).pairs
    assert pairs["friedman_p"].isna().all() and set(pairs["verdict_of_a"]) == {NOT_SIGNIFICANT}
    text = page_of(table)
    assert "needs three methods and three units" in text
    assert "6 pairs no difference can be significant" in text


def test_an_oracle_is_not_ranked():
    made = rank_methods(table_of({**LADDER, "stimulus_mean": LADDER["MPCL"] - 0.05}))
    for frame, expected in zip(made, rank_methods(table_of(LADDER)), strict=True):
        assert frame.equals(expected)


def test_the_comparisons_of_table_and_statistics_agree():
    """One rule: the same corrected p and the same verdict in table.md and in pairs.csv."""
    noise = [0.02 * np.random.default_rng(i).random(SUBJECTS) for i in range(len(LADDER))]
    table = table_of({name: x + more for (name, x), more in zip(LADDER.items(), noise, strict=True)})
    ranking, of_table = rank_methods(table), compare_with_focus(table)
    assert of_table.keys() == LADDER.keys() - {"MPCL"}
    for name, found in of_table.items():
        pair = pair_of(ranking, "MPCL", name)
        shown = found if pair["a"] == name else found.turned()
        assert (shown.corrected, shown.verdict) == (pair["p_holm_focus"], pair["verdict_of_a"])
        measured = (shown.difference, shown.low, shown.high, shown.p_skewed)
        assert measured == pytest.approx(tuple(pair[["difference", "low", "high", "p_skewed"]]))


def test_spread_of_seeds_by_hand():
    # Two seeds, two subjects, values 1 and 3 | 5 and 7: means of subjects 3, 5 (sd √2), of seeds 2, 6; no rest. The
    # variance of seeds is 8, of which nothing is taken off.
    found = spread_of(np.array([[1.0, 3.0], [5.0, 7.0]]))
    assert found == pytest.approx((np.sqrt(2), np.sqrt(8), 0))
    # 1, 3 | 7, 5: seeds 2 and 6 again, rest ±1 with one degree: mean square 4; 8 − 4 / 2 = 6.
    found = spread_of(np.array([[1.0, 3.0], [7.0, 5.0]]))
    assert found == pytest.approx((0, np.sqrt(6), 2))
    one = spread_of(np.array([[1.0, 3.0]]))
    assert one.units == pytest.approx(np.sqrt(2)) and np.isnan([one.seeds, one.rest]).all()


def test_the_page_shows_friedman_and_groups():
    text = page_of(table_of(LADDER))
    friedman, groups = text.splitlines()[-2:]
    assert friedman.startswith("Friedman's test of 4 methods over 12 subjects: p < 0.001, at least two ")
    assert groups.endswith(": MPCL · ridge.") or groups.endswith(": ridge · MPCL.")


def test_files_can_be_read_back_with_all_digits(ranking):
    made = table_of(LADDER)
    files = statistics_text.files_of(made, EMOTIONS, title="x", command="c", commit="d")
    assert list(files) == ["table.md", "table.csv", "subjects.csv", "statistics.csv", "pairs.csv"]
    first, *rest = files["statistics.csv"].splitlines()
    rows = list(csv.DictReader(rest))
    assert first == "# c @ d" and [row["method"] for row in rows] == ranking.methods["method"].tolist()
    row = next(row for row in made.rows if row.method == rows[0]["method"])
    assert float(rows[0]["error_fear"]) == row.emotion_error[1] == pytest.approx(0.1, abs=0.02)
    assert float(rows[0]["jensen_shannon"]) == row.agreement["jensen_shannon"]
    pairs = list(csv.DictReader(files["pairs.csv"].splitlines()[1:]))
    assert len(pairs) == 6 and float(pairs[0]["p_holm_all"]) == ranking.pairs["p_holm_all"].iloc[0]


def test_latex_is_a_whole_table_with_escaped_names():
    frame = table_frame(table_of({**LADDER, "50% more_slots & {x}": LADDER["ridge"]}))
    text = latex_of(cells_of(frame), "WESAD_x, loso")
    assert text.startswith(r"\begin{table}") and text.rstrip().endswith(r"\end{table}")
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + 5 and all(line.count("&") - line.count(r"\&") == 6 for line in body)
    assert r"50\% more slots \& \{x\}" in text and r"WESAD\_x" in text
    assert "−" not in text and "↓" not in text and r"\textbf{" in text
