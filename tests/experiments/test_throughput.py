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
# Similarity to both banks; the tokens of the emotions from the features and from how near each side came.
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


# The model with its optional parts off: what is left compiles fast.
PARTS_OFF = ["model.memory.enabled", "model.cooccurrence.enabled"]
PARTS_OFF += ["model.fusion.within_group", "model.fusion.across_groups"]
SMALL = [f"--config.{name}=False" for name in PARTS_OFF]
SMALL += [
    "--config.model.head.hierarchy=mean",
    "--config.model.dropout=0.0",
    "--config.train.modality_dropout=0.0",
]
SMALL += ["--config.train.group_dropout=0.0", "--config.data.simulate.subjects=10"]
# Its products: no query, because nothing reads it; the head joins an emotion's token with the mean of all.
SMALL_PRODUCTS = [*ENCODERS, (1, 12 * 64, 128), (1, 4 * 64, 128), (2, 128, 64), (1, 128, 64)]
SMALL_PRODUCTS += [(10, 2 * 64, 64), (10, 64, 1), (1, 256 + 64, 10)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The lines of a quick run with the small model and batches of 128: five to an epoch of 576 rows."""
    out = tmp_path_factory.mktemp("throughput") / "new" / "out.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.shared.measured.prepare", quickly_prepared)
        flags = [f"--{name}={str(value).lower()}" for name, value in quick_options().items()]
        patch.setenv("XLA_FLAGS", " ".join(flags))  # of the processes whose start is timed
        throughput.main(["--quick", "--config", CONFIG, "--batches", "128", "--out", str(out), *SMALL])
    return out.read_text(encoding="utf-8").splitlines()


def numbers(lines):
    """{(part, what): (low, value, high)} of the lines of a result."""
    rows = csv.DictReader(lines[1:])
    return {
        (r["part"], r["what"]): tuple(float(r[x] or "nan") for x in ("low", "value", "high")) for r in rows
    }


def test_the_file_says_how_it_was_made_and_names_its_columns(measured):
    assert measured[0].startswith("# python -m experiments.speed.throughput --quick --config ")
    assert len(measured[0].split(" @ ")) == 3  # command, commit, machine
    assert measured[1] == "part,batch,what,value,unit,low,high"


def test_places_on_this_machine_stay_out_of_the_file(measured):
    assert "--out" not in measured[0] and "out.csv" not in measured[0]
    words = ["--out", "a.csv", "--quick", "--config.data.path=/data", "--batches", "8", "--out=b.csv"]
    assert throughput.shown_command("a.b", words) == "python -m a.b --quick --batches 8"


def test_everything_is_measured_once(measured):
    start = ["import", "data", "init", "compile", "first_epoch", "to_first_step", "peak_memory"]
    whats = {
        "start cold": start,
        "start warm": start,
        "machine": ["matmul"],
        "predict": ["samples", "latency", "latency p95", "bulk"],
        "train": ["flop", "bytes", "temporary", "step", "samples", "ceiling"],
        "stream": ["speed"],
    }
    assert list(numbers(measured)) == [(part, what) for part, all_of in whats.items() for what in all_of]
    assert len(measured) == 2 + len(numbers(measured))


def test_numbers_are_positive_and_quartiles_in_order(measured):
    for low, value, high in numbers(measured).values():
        assert 0 < value < np.inf
        assert np.isnan(low) or low <= value <= high


def test_rates_follow_from_the_step(measured):
    values = {name: value for name, (_, value, _) in numbers(measured).items()}
    step = 1e-3 * values["train", "step"]
    assert values["train", "samples"] == pytest.approx(128 / step, rel=1e-4)
    rate = values["train", "flop"] / step
    assert values["train", "ceiling"] == pytest.approx(100 * rate / values["machine", "matmul"], rel=1e-4)


def test_the_first_step_ends_within_the_first_epoch(measured):
    values = {name: value for name, (_, value, _) in numbers(measured).items()}
    for part in ("start cold", "start warm"):
        before = sum(values[part, what] for what in ("import", "data", "init", "compile"))
        assert before < values[part, "to_first_step"] < before + values[part, "first_epoch"]
        assert values[part, "peak_memory"] > 50  # an interpreter with JAX; MB


def test_flop_of_an_epoch_are_counted_as_one_step(measured):
    """Five steps counted each for itself would be five times as many."""
    counted = 1e9 * numbers(measured)["train", "flop"][1]
    by_hand = matmul_flop(SMALL_PRODUCTS, 128)
    assert by_hand < counted < 1.3 * by_hand


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
