"""Settings that follow the number of training windows, and the preset for a user's own recordings that uses them."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from python_process import ROOT, python
from run_fixture import tiny_config

from experiments.shared import collect as collected
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.fields import AUTO
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits.manifest import Fold, Split
from mpcl_jax.evaluation.experiment import folds_tested
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.jobs.table_run import Trained
from mpcl_jax.train.run import prepare, with_sizes

PRESET = str(ROOT / "configs" / "folder.py")


def split(*windows: int) -> Split:
    nothing = np.zeros(0, int)
    folds = [Fold(f"fold {k + 1}", "", np.arange(n), nothing, nothing) for k, n in enumerate(windows)]
    return Split("loso", False, "", tuple(folds), "")


@pytest.mark.parametrize(
    ("windows", "epochs", "dropout"),
    [
        ((120,), 200, 0.4),
        ((400, 5000), 150, 0.4),  # the smallest training part decides: 60000 / 400
        ((1600, 2000), 38, 0.2),  # 60000 / 1600; .4 * sqrt(400 / 1600)
        ((10**6,), 20, 0.1),
    ],
)
def test_epochs_and_dropout_fall_with_the_training_windows(windows, epochs, dropout):
    config = with_sizes(from_command_line(PRESET, ["--config.data.path=x"]), split(*windows))
    assert (config.train.epochs, config.model.dropout) == (epochs, dropout)


def test_a_number_stays_and_auto_is_refused_elsewhere():
    config = from_command_line(PRESET, ["--config.data.path=x", "--config.train.epochs=7"])
    assert with_sizes(config, split(5000)).train.epochs == 7
    with pytest.raises(ConfigError, match="weight_decay = 'auto': must be a number"):
        from_command_line(PRESET, ["--config.data.path=x", "--config.train.weight_decay=auto"])


def test_a_run_writes_the_numbers_and_says_which_folds_it_tests(tmp_path):
    config = tiny_config()
    model = dataclasses.replace(config.model, dropout=AUTO)
    train = dataclasses.replace(config.train, epochs=AUTO)
    run = prepare(dataclasses.replace(config, model=model, train=train), tmp_path / "run")
    assert run.config.train.epochs == 200
    held = json.loads((tmp_path / "run" / "config.json").read_text())
    assert held["train"]["epochs"] == 200 and held["model"]["dropout"] == 0.4
    assert folds_tested(run) == f"tests all folds, {len(run.split.folds)}"
    one = prepare(tiny_config(protocol__only=(1,)), tmp_path / "one")
    assert folds_tested(one) == f"tests only {run.split.folds[1].name} (config.protocol.only)"


def test_a_run_collected_from_the_jobs_of_a_table_holds_the_numbers(tmp_path, monkeypatch):
    config = tiny_config()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=AUTO))
    row = Trained("MPCL", config, load_table_data(config)._replace(numbers=()), range(1))
    monkeypatch.setattr(collected, "write_predictions", lambda *_: None)
    collected.collect_run(row, 0, {}, {}, tmp_path / "run", tmp_path / "store")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["train"]["epochs"] == 200


@pytest.mark.long
@pytest.mark.parametrize("data", ["documentation", "simulated"])
def test_the_preset_neither_overfits_nothing_nor_learns_nothing(tmp_path, data):
    """On random reports, where 0 is the best skill, no worse than −.02; on a small simulated study above 0."""
    if data == "documentation":
        page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
        example = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
        python("-c", example, cwd=tmp_path)
        options = ["--config.data.path=my_data"]
    else:
        sizes = {"subjects": 10, "clips": 8, "windows": 5, "emotions": 6}
        options = ["--config.data.kind=simulated"]
        options += [f"--config.data.simulate.{name}={n}" for name, n in sizes.items()]
    options += ["--config.benchmark.baselines=train_mean", "--config.log.report=false", "--workdir=run"]
    python("-m", "mpcl_jax.main", "--config", PRESET, *options, cwd=tmp_path)
    text = (tmp_path / "run" / "table.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    skill = {row["method"]: float(row["skill"]) for row in rows}["MPCL"]
    assert -0.02 <= skill <= 0.05 if data == "documentation" else skill > 0.2
