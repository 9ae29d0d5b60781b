"""experiments/speed/throughput.py: the command, its files and its FLOP count; speeds are not tested."""

import csv
import pathlib

import jax
import numpy as np
import pytest
from run_fixture import quick_options, quickly_prepared

from experiments.speed import throughput
from mpcl_jax.config.command_line import from_command_line

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "dataset.py")


# Matrix products of the default model: (how often per sample, inputs, outputs). D = 64, N_m = 4 tokens of each of
# 3 physiological modalities (T = 12) and of 1 behavioural (T = 4), C = 10 emotions, K = 4 slots, V = 2.
ENCODERS = [(1, 90 + 28 + 27 + 32, 4 * 64), (16, 64, 64)]
# A block per token of its state: query, gate of 4 heads and 3 scales, output, MLP; per stored token: key and value.
STATE = [(1, 64, 64 + 12 + 64), (1, 64, 128), (1, 128, 64)]
STORED = (1, 64, 128)
# All 12 + 4 tokens are states and stored.
BLOCKS = [(16 * n, i, o) for n, i, o in [*STATE, STORED]]
# Similarity and recall: each state token with each stored one, over all heads together D products each.
ASSOCIATION = [(2 * 16 * 16, 64, 1)]
SUMMARIES = [(1, 12 * 64, 128), (1, 4 * 64, 128), (2, 128, 64), (2, 64, 64)]
# Similarity to both banks; the tokens of the emotions from the features and from how near each bank came.
READING = [(2, 64, 10 * 4), (1, 128, 64), (10, 2, 64)]
# State, likeness to all 80 prototypes, the retrieval of related emotions, and the update of each token.
COOCCURRENCE = [(10, 64, 64), (10, 64, 80), (1, 10, 10), (10, 1, 64)]
# Key and value and MLP of each compression, the MLP of the emotions, the direct path.
HEAD = [(10 + 2, 64, 128), (2 + 1, 64, 128), (2 + 1, 128, 64), (10, 3 * 64, 64), (1, 256 + 64, 10)]
DEFAULT = ENCODERS + BLOCKS + ASSOCIATION + SUMMARIES + READING + COOCCURRENCE + HEAD


def matmul_flop(products, batch):
    """Forward one product, backward two of the same size, a multiplication and an addition each."""
    return 6 * batch * sum(n * i * o for n, i, o in products)


def test_flop_of_the_default_step_are_those_of_its_matrix_products(tmp_path):
    """XLA's count before fusion, elementwise operations included, within 30 % above the products'."""
    ready = throughput.make_ready(from_command_line(CONFIG, []), tmp_path)
    program = ready.run.program
    like = jax.eval_shape(program.create, ready.key, ready.label_mean)
    counted = program.epoch.lower(like, ready.run.rows, ready.arrays, ready.key).cost_analysis()["flops"]
    by_hand = matmul_flop(DEFAULT, 128)
    assert by_hand == pytest.approx(0.935e9, rel=0.01)
    assert by_hand < counted < 1.3 * by_hand


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
