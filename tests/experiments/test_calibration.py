"""experiments/tables/calibration.py: reliability slope and gain by confidence against values calculated by hand."""

import numpy as np
import pytest
from finished_run import write_run

from experiments.tables import calibration

MEAN = np.array([[0.5, 0.3, 0.2]])


@pytest.mark.parametrize("share, slope", [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_the_slope_is_one_for_a_calibrated_prediction(share, slope):
    """y − m = (.2, −.1, −.1), p − m = share · (y − m): slope = Σ share d² / Σ share² d² = 1 / share."""
    reported = MEAN + np.array([[0.2, -0.1, -0.1]])
    predicted = MEAN + share * np.array([[0.2, -0.1, -0.1]])
    windows = (np.repeat(x, 4, axis=0) for x in (reported, predicted, MEAN))
    found = calibration.of_subject(*windows, np.ones(4))
    np.testing.assert_allclose(found[0], slope)


def test_gains_of_confident_and_unconfident_windows():
    """Two windows: one confident and right, one unconfident and wrong.

    Confident: y = p = (.9, .05, .05), gain KL(y ‖ m) = .9 ln 1.8 + .05 ln(1/6) + .05 ln(1/4) = .3701.
    Unconfident: y = m, p = (.4, .35, .25), gain −KL(m ‖ p) = −(.5 ln 1.25 + .3 ln(6/7) + .2 ln .8) = −.0207.
    """
    reported = np.array([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2]])
    predicted = np.array([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25]])
    mean = np.repeat(MEAN, 2, axis=0)
    confidence = calibration.confidence_of(predicted, mean)
    _, *gains = calibration.of_subject(reported, predicted, mean, confidence)
    np.testing.assert_allclose(gains, [0.3701, -0.0207], atol=5e-5)
    slope, *gains = calibration.of_subject(mean, mean, mean, calibration.confidence_of(mean, mean))
    assert np.isnan(slope) and gains == [0, 0]  # the train mean has no slope


def test_the_command_reads_seeds_of_a_run_and_writes_a_row_per_method(tmp_path, capsys):
    """The model of write_run predicts half of every deviation from the uniform: the slope is about 2."""
    for seed in (0, 1):
        write_run(tmp_path / f"seed_{seed}")
    out = tmp_path / "found.csv"
    calibration.main([str(tmp_path / "seed_0"), str(tmp_path / "seed_1"), "--out", str(out)])
    lines = out.read_text().splitlines()
    assert lines[0].startswith("# python -m experiments.tables.calibration") and "found.csv" not in lines[0]
    rows = {line.split(",")[0]: line for line in lines[2:]}
    assert [line.split(",")[0] for line in lines[2:4]] == ["MPCL", '"MPCL']
    assert "uniform" in rows and "train_mean" not in rows
    assert 1.5 < float(rows["MPCL"].split(",")[1]) < 2.5
    assert "confidence by similarity" in capsys.readouterr().out


def test_similarity_to_the_nearest_prototypes(tmp_path):
    """Σ_g log Σ_k exp(s_gck), the largest over c, from the saved similarities."""
    write_run(tmp_path / "run")
    run = calibration.read_tested(tmp_path / "run")
    with np.load(tmp_path / "run" / "folds" / "00" / "predictions.npz") as saved:
        first = saved["similarity"][0]
    by_hand = max(sum(np.log(np.exp(first[g, c]).sum()) for g in range(2)) for c in range(first.shape[1]))
    np.testing.assert_allclose(calibration.similarity_of(run)[0], by_hand)
