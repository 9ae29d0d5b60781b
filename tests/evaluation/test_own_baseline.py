"""A baseline of a user, registered in the config file, is a row of the tables that the commands make."""

import csv
import json

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from run_fixture import TINY

from experiments.shared.collect import choices_of
from mpcl_jax.baselines import registry
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.evaluation import after_training, experiment
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.jobs.table_run import Fitted, Trained, complete, predictions_of
from mpcl_jax.train.evaluate import Predictions
from mpcl_jax.train.interrupt import StopRequest

CONFIG = """
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.config import default


def make(seed, alpha=1.0):
    from sklearn.linear_model import Lasso

    return Lasso(alpha)


register_baseline("lasso", make, grid={{"alpha": (0.001, 0.002)}})


def get_config():
    config = default()
    config.update_from_flattened_dict({settings!r})
    return config
"""
SETTINGS = TINY | {
    "protocol.only": (0,),
    "train.select": "last",
    "train.epochs": 1,
    "log.report": False,
    "benchmark.baselines": ("train_mean", "lasso"),
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The settings of a config file that registers a baseline."""
    registry.names()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    file = tmp_path / "own.py"
    file.write_text(CONFIG.format(settings=SETTINGS))
    return from_command_line(str(file), [])


def test_a_run_has_a_row_for_it_and_records_its_setting(config, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "train_folds", lambda run: [label_mean(run, x) for x in run.split.folds])
    monkeypatch.setattr(after_training, "audit_run", lambda run: None)
    experiment.run_experiment(config, tmp_path / "run", "a command", StopRequest())
    with (tmp_path / "run" / "table.csv").open() as file:
        file.readline()
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["train_mean", "lasso", "MPCL"]
    assert rows["lasso"]["tried"] == "2" and 0 < float(rows["lasso"]["kl"]) < 1
    (fold,) = json.loads((tmp_path / "run" / "selection.json").read_text()).values()
    assert fold["lasso"]["choice"]["setting"] in ("alpha=0.001", "alpha=0.002")


def label_mean(run, fold) -> Predictions:
    """In place of a training."""
    mean = run.recordings.labels[fold.train].mean(0)
    return Predictions(fold.test, np.tile(mean, (len(fold.test), 1)).astype(np.float32), None, None, None)


@pytest.fixture
def cluster(request):
    """joblib on a local Dask cluster of one worker, or as it is."""
    if request.param == "processes":
        yield
        return
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(**options) as cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        yield


@pytest.mark.parametrize(
    "cluster, training",
    [("processes", False), ("dask", False), pytest.param("dask", True, marks=pytest.mark.long)],
    indirect=["cluster"],
)
def test_the_workers_of_a_table_know_it_also_on_a_dask_cluster(config, tmp_path, cluster, training):
    table_data = load_table_data(config)
    fitted = Fitted(("train_mean", "lasso"), config, table_data, range(1))
    trained = [Trained("MPCL", config, table_data, range(1))] if training else []
    complete([*trained, fitted], tmp_path, 1, StopRequest())
    shares = predictions_of(fitted, tmp_path)
    assert not np.allclose(shares["lasso"][0], shares["train_mean"][0], atol=1e-3)
    assert set(choices_of(fitted, 0, tmp_path)) == {"lasso"}
    assert all(predictions_of(row, tmp_path)["MPCL"][0].shape == (24, 10) for row in trained)
