"""The table of the sequential protocol: rows, differences, and a run on a small folder."""

import json

import numpy as np

from experiments.tables import sequential


def test_differences_are_to_the_same_method_and_to_mpcl():
    kl = np.linspace(0.05, 0.06, 8)
    found = {
        ("ridge", "none"): kl + 0.03,
        ("ridge", "features"): kl + 0.01,
        ("MPCL", "none"): kl + 0.02,
        ("MPCL", sequential.ALL): kl,
    }
    rows = {(r["method"], r["memory"]): r for r in sequential.report(found, dict.fromkeys(found, 5))}
    assert rows["ridge", "features"]["minus_none"].startswith("-0.0200 [")
    assert rows["ridge", "features"]["minus_mpcl_all_views"].startswith("+0.0100 [")
    assert rows["MPCL", sequential.ALL]["minus_mpcl_all_views"] == ""
    assert rows["MPCL", "none"]["minus_none"] == "" and rows["MPCL", "none"]["kl"] == "0.0750"


def test_a_folder_becomes_a_table(tmp_path):
    emotions = [{"name": name, "valence": "all"} for name in ("joy", "calm", "fear")]
    meta = {"name": "small", "emotions": emotions, "modalities": {"eda": {"group": "physiological"}}}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.json").write_text(json.dumps(meta))
    rng = np.random.default_rng(0)
    for subject in range(8):
        labels = 1 + rng.dirichlet(np.ones(3)) + 0.1 * rng.random((4, 3))
        held = {"labels": labels, "trial": np.arange(4), "eda": rng.normal(size=(4, 2)).astype(np.float32)}
        np.savez(tmp_path / "data" / f"S{subject}.npz", **held)
    out = tmp_path / "sequential.csv"
    sequential.main(
        [str(tmp_path / "data"), "--methods", "train_mean", "--folds", "2", "--tries", "1", "--out", str(out)]
    )
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    assert lines[0].startswith("method,memory,folds_on,kl,interval") and len(lines) == 7
