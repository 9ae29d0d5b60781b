"""The table of the sequential protocol: rows, differences, and a run on a small folder."""

import numpy as np
from styled_subjects import write_styled

from experiments.tables import few_shot_curve, sequential


def test_differences_are_to_the_same_method_and_to_mpcl():
    kl = np.linspace(0.05, 0.06, 8)
    found = {
        ("ridge", "none"): kl + 0.03,
        ("ridge", "features"): kl + 0.01,
        ("MPCL", "none"): kl + 0.02,
        ("MPCL", sequential.CHOSEN): kl,
    }
    rows = {(r["method"], r["memory"]): r for r in sequential.report(found, dict.fromkeys(found, 5))}
    assert rows["ridge", "features"]["minus_none"].startswith("-0.0200 [")
    assert rows["ridge", "features"]["minus_mpcl_chosen"].startswith("+0.0100 [")
    assert rows["MPCL", sequential.CHOSEN]["minus_mpcl_chosen"] == ""
    assert rows["MPCL", "none"]["minus_none"] == "" and rows["MPCL", "none"]["kl"] == "0.0750"


def test_a_folder_becomes_a_table_and_a_curve(tmp_path):
    data, cache = str(write_styled(tmp_path / "data", subjects=8, trials=4)), str(tmp_path / "cache")
    options = ["--methods", "ridge", "--folds", "2", "--tries", "1", "--workers", "1", "--cache", cache]
    sequential.main([data, *options, "--out", str(tmp_path / "table.csv")])
    lines = [x for x in (tmp_path / "table.csv").read_text().splitlines() if not x.startswith("#")]
    assert lines[0].startswith("method,memory,folds_on,kl,interval")
    found = {tuple(line.split(",")[:2]): float(line.split(",")[3]) for line in lines[1:]}
    memories = ("none", "mean residual", "features", "own log p", "all views", "chosen")
    assert set(found) == {(method, x) for method in ("train_mean", "ridge") for x in memories}
    assert found["ridge", "chosen"] < found["ridge", "none"]
    few_shot_curve.main([data, *options, "--pool", "2", "--out", str(tmp_path / "curve.csv")])
    assert (tmp_path / "curve.png").stat().st_size > 5000
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 2 + 2 * 3
