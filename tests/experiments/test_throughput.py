"""experiments/speed/throughput.py: the command and its files; speeds are not tested."""

import csv
import pathlib

import numpy as np
import pytest
from run_fixture import quick_options, quickly_prepared

from experiments.speed import throughput

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "dataset.py")


# A small model compiles fast: optional parts off.
PARTS_OFF = ("memory.enabled", "cooccurrence.enabled", "fusion.within_group", "fusion.across_groups")
SMALL = [*(f"--config.model.{name}=False" for name in PARTS_OFF), "--config.data.simulate.subjects=10"]


@pytest.mark.long
def test_a_quick_run_measures_everything_once(tmp_path, monkeypatch):
    out = tmp_path / "new" / "out.csv"
    monkeypatch.setattr("experiments.shared.measured.prepare", quickly_prepared)
    flags = [f"--{name}={str(value).lower()}" for name, value in quick_options().items()]
    monkeypatch.setenv("XLA_FLAGS", " ".join(flags))  # of the processes whose start is timed
    throughput.main(["--quick", "--config", CONFIG, "--batches", "128", "--out", str(out), *SMALL])
    first, *lines = out.read_text(encoding="utf-8").splitlines()
    # Command without places on this machine, commit, machine.
    assert first.startswith("# python -m experiments.speed.throughput --quick --config ")
    assert len(first.split(" @ ")) == 3 and "--out" not in first and "out.csv" not in first
    assert lines[0] == "part,batch,what,value,unit,low,high"
    rows = {(row["part"], row["what"]): row for row in csv.DictReader(lines)}
    start = ["import", "data", "init", "compile", "first_epoch", "to_first_step", "peak_memory"]
    whats = {
        "start cold": start,
        "start warm": start,
        "machine": ["matmul"],
        "predict": ["samples", "latency", "latency p95", "bulk"],
        "train": ["flop", "bytes", "temporary", "step", "samples", "ceiling"],
        "stream": ["speed"],
    }
    assert list(rows) == [(part, what) for part, all_of in whats.items() for what in all_of]
    assert len(lines) == 1 + len(rows)
    value = {name: float(row["value"]) for name, row in rows.items()}
    for name, row in rows.items():
        assert (
            0 < float(row["low"] or value[name]) <= value[name] <= float(row["high"] or value[name]) < np.inf
        )
    # Samples, and FLOP as a share of the peak, follow from the time of a step.
    step = 1e-3 * value["train", "step"]
    assert value["train", "samples"] == pytest.approx(128 / step, rel=1e-4)
    rate = value["train", "flop"] / step
    assert value["train", "ceiling"] == pytest.approx(100 * rate / value["machine", "matmul"], rel=1e-4)
    for part in ("start cold", "start warm"):
        before = sum(value[part, what] for what in ("import", "data", "init", "compile"))
        assert before < value[part, "to_first_step"] < before + value[part, "first_epoch"]


def test_mistakes_are_one_line_before_anything_is_measured(capsys):
    for words, message in [
        (["--config", CONFIG, "--config.model.wdth=8"], "unknown setting"),
        (["--batches", "32,none"], "invalid batch_sizes value: '32,none'"),
        (["--batches", "0"], "invalid batch_sizes value: '0'"),
    ]:
        with pytest.raises(SystemExit) as ended:
            throughput.main(words)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
