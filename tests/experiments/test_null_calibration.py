"""experiments/tables/null_calibration.py: no difference is reported on noise, and planted ones are found."""

import collections

import numpy as np
import pytest

from experiments.tables import null_calibration as null
from mpcl_jax.evaluation.statistics import BETTER, NOT_SIGNIFICANT, WORSE


def test_a_null_data_set_has_the_labels_of_one_world_and_the_signals_of_another():
    noise, planted = null.world(3, null=True), null.world(3, null=False)
    np.testing.assert_array_equal(noise.labels, planted.labels)
    assert noise.trial.tolist() == planted.trial.tolist()
    assert all(not np.array_equal(noise.signals[m], planted.signals[m]) for m in noise.signals)


def test_a_slice_of_the_calibration():
    # The full result is in experiments/results. 4 verdicts on noise, each "better" with a chance of 2.5 %.
    noise = null.count_verdicts(2, null=True)
    assert set(noise) == {"knn", "ridge"}
    assert all(counts.total() == 2 and counts[BETTER] <= 1 for counts in noise.values())
    assert sum(counts[BETTER] for counts in null.count_verdicts(2, null=False).values()) >= 1


def test_equal_methods_and_draws_without_a_difference():
    # The full result is in experiments/results.
    assert all(counts.total() == 1 for counts in null.count_equal(1).values())
    for better, worse, held in null.few_subjects(10, 30).values():
        assert better <= 0.2 and worse <= 0.2 and 0.5 < held <= 1


def test_the_allowed_rate_and_the_files(tmp_path, monkeypatch):
    # 2.5 % + 2 · √(.025 · .975 / 200) = 4.71 %.
    assert null.most_allowed(200) == pytest.approx(0.0471, abs=1e-4)
    monkeypatch.setattr(null, "RESULTS", tmp_path)
    counted = {"knn": collections.Counter({BETTER: 4, WORSE: 96, NOT_SIGNIFICANT: 100})}
    few = {6: {"normal": (0.02, 0.03, 0.85)}}
    null.write_results("x", null.rows_of(counted, "noise"), few, {"command": "c", "commit": "d"})
    assert (tmp_path / "x.csv").read_text().splitlines()[2].startswith("noise,knn,200,0.02,0.48,0.047")
    lines = (tmp_path / "x_differences.csv").read_text().splitlines()
    assert lines[0::2] == ["# c @ d", "6,normal,0.02,0.03,0.85"]
