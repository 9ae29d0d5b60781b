"""experiments/tables/calibration.py: what a prediction claims and what of it comes true."""

import numpy as np
import pytest
from finished_run import write_run

from experiments.tables import calibration

MEAN = np.array([[0.5, 0.3, 0.2]])


@pytest.mark.parametrize("share, slope", [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_the_slope_says_how_much_of_a_claim_comes_true(share, slope):
    """y − m = (.2, −.1, −.1), p − m = share · (y − m): slope = Σ share d² / Σ share² d² = 1 / share."""
    reported = MEAN + np.array([[0.2, -0.1, -0.1]])
    predicted = MEAN + share * np.array([[0.2, -0.1, -0.1]])
    found = calibration.of_person(*(np.repeat(x, 4, axis=0) for x in (reported, predicted, MEAN)), np.ones(4))
    np.testing.assert_allclose(found[0], slope)


def test_who_claims_nothing_has_no_slope():
    same = np.repeat(MEAN, 4, axis=0)
    slope, bold, timid = calibration.of_person(same, same, same, calibration.claim_of(same, same))
    assert np.isnan(slope) and bold == timid == 0


def test_doubt_in_the_right_places_saves_where_it_is_bold():
    """Two windows: right and bold, wrong and timid.

    Bold: y = p = (.9, .05, .05), saved KL(y ‖ m) = .9 ln 1.8 + .05 ln(1/6) + .05 ln(1/4) = .3701.
    Timid: y = m, p = (.4, .35, .25), saved −KL(m ‖ p) = −(.5 ln 1.25 + .3 ln(6/7) + .2 ln .8) = −.0207.
    """
    reported = np.array([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2]])
    predicted = np.array([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25]])
    mean = np.repeat(MEAN, 2, axis=0)
    certainty = calibration.claim_of(predicted, mean)
    _, bold, timid = calibration.of_person(reported, predicted, mean, certainty)
    np.testing.assert_allclose([bold, timid], [0.3701, -0.0207], atol=5e-5)


def test_the_command_reads_seeds_of_a_run_and_writes_a_row_per_method(tmp_path, capsys):
    """write_run learns half of every report from the uniform: p − u = (y − u) / 2, so a share above 1 comes true."""
    for seed in (0, 1):
        write_run(tmp_path / f"seed_{seed}")
    out = tmp_path / "found.csv"
    calibration.main([str(tmp_path / "seed_0"), str(tmp_path / "seed_1"), "--out", str(out)])
    lines = out.read_text().splitlines()
    assert lines[0].startswith("# python -m experiments.tables.calibration")
    rows = {line.split(",")[0]: line for line in lines[2:]}
    assert [line.split(",")[0] for line in lines[2:4]] == ["MPCL", '"MPCL']
    assert "uniform" in rows and "train_mean" not in rows
    assert 1.5 < float(rows["MPCL"].split(",")[1]) < 2.5
    assert "doubt by memory" in capsys.readouterr().out


def test_a_run_without_predictions_is_refused_in_one_line(tmp_path):
    write_run(tmp_path / "run")
    (tmp_path / "run" / "predictions.csv").unlink()
    with pytest.raises(SystemExit, match="error: .*predictions.csv"):
        calibration.main([str(tmp_path / "run")])


def test_doubt_by_memory_is_the_nearness_to_any_prototype(tmp_path):
    """Σ_g log Σ_k exp(s_gck), the largest over c, from the saved similarities."""
    write_run(tmp_path / "run")
    run = calibration.read_tested(tmp_path / "run")
    with np.load(tmp_path / "run" / "folds" / "00" / "predictions.npz") as saved:
        first = saved["similarity"][0]
    by_hand = max(sum(np.log(np.exp(first[g, c]).sum()) for g in range(2)) for c in range(first.shape[1]))
    np.testing.assert_allclose(calibration.nearness_of(run)[0], by_hand)
