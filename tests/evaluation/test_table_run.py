"""Jobs of a table on an accelerator: this process trains the folds of a seed at once."""

import dataclasses

import jax
import numpy as np
import pytest
from run_fixture import table_config

from experiments.shared.collect import choices_of
from mpcl_jax.config.schema import LogConfig
from mpcl_jax.evaluation.jobs import table_run, work
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.jobs.table_run import Trained, complete, predictions_of
from mpcl_jax.train.interrupt import StopRequest


def test_as_many_folds_are_trained_at_once_as_the_device_holds(monkeypatch, quick_programs):
    class Device:
        def __init__(self, megabytes):
            self.memory_stats = lambda: megabytes and {"bytes_limit": 1e6 * megabytes}

    def fit(megabytes):
        monkeypatch.setattr(jax, "local_devices", lambda: [Device(megabytes)])
        return work.folds_that_fit(table_config())

    assert fit(None) is None and fit(0.001) == 1
    few, many = fit(100), fit(1000)
    assert 1 < few < many and abs(many - 10 * few) < 20


@pytest.mark.parametrize("keep", [True, False])
def test_the_setting_decides_whether_jobs_keep_compiled_programs(tmp_path, monkeypatch, keep):
    config, called = dataclasses.replace(table_config(), log=LogConfig(keep_compiled=keep)), []
    monkeypatch.setattr(work, "keep_compiled_programs", lambda: called.append(1))
    work.begin_job(tmp_path / "job", {}, work.with_folds(config, 0, ()))
    assert called == [1] * keep


@pytest.mark.parametrize("alone", [{"generator": "rbg"}, {"select": "inner"}, {"stream_rows": 64}, {}])
def test_folds_that_one_program_cannot_train_are_trained_one_by_one(tmp_path, monkeypatch, alone):
    config, at_once = table_config(), []
    own = {"generator": "threefry2x32", "select": "last"} | alone
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, **own))
    monkeypatch.setattr(jax, "default_backend", lambda: "accelerator")
    monkeypatch.setattr(table_run, "folds_that_fit", lambda config: 2)
    monkeypatch.setattr(
        table_run, "train_together", lambda config, *_: at_once.append(config.train.folds_at_once)
    )
    row = Trained("MPCL", config, load_table_data(config), range(1))
    table_run._train_here(row, tmp_path, StopRequest())
    assert at_once == [1 if alone else 2]


@pytest.mark.long
def test_folds_trained_at_once_are_those_trained_one_by_one(tmp_path, monkeypatch):
    config = table_config()
    row = Trained("MPCL", config, load_table_data(config), range(1))
    complete([row], tmp_path / "alone", 1, StopRequest())
    monkeypatch.setattr(jax, "default_backend", lambda: "accelerator")
    monkeypatch.setattr(table_run, "folds_that_fit", lambda config: 2)  # the last fold is trained alone
    complete([row], tmp_path / "together", 1, StopRequest())
    (alone,), (together,) = (predictions_of(row, tmp_path / name)["MPCL"] for name in ("alone", "together"))
    assert alone.shape == (60, 10) and np.abs(alone - together).max() < 1e-4
    choices = [choices_of(row, 0, tmp_path / name)["MPCL"] for name in ("alone", "together")]
    epochs = [{fold: choice["epoch"] for fold, choice in of.items()} for of in choices]
    assert len(epochs[0]) == 3 and epochs[0] == epochs[1]
    assert not list((tmp_path / "together").glob("together-*"))
