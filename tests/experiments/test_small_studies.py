"""The table of small studies: its problems and its file, with a model that predicts the train mean."""

import sys

import numpy as np
import pandas as pd
import pytest
from python_process import ROOT
from styled_subjects import write_styled

import mpcl_jax as mpcl
from experiments.tables import small_studies


class TrainMean:
    n_epochs_ = 0

    def fit(self, recordings):
        self.mean = recordings.labels.mean(0, dtype=np.float64)
        return self

    def predict(self, recordings):
        return np.tile(self.mean, (len(recordings.labels), 1))


def test_every_problem_is_a_row_and_the_file_begins_with_its_command(tmp_path, monkeypatch):
    folder, out = write_styled(tmp_path / "styled", trials=2), tmp_path / "small_studies.csv"
    monkeypatch.setattr(mpcl, "MPCLRegressor", TrainMean)
    monkeypatch.setattr(small_studies, "SIMULATED", ((5, 2),))
    monkeypatch.setattr(sys, "argv", ["small_studies", "--folders", str(folder), "--out", str(out)])
    small_studies.main()
    assert out.read_text().startswith("# python -m experiments.tables.small_studies --folders ")
    table = pd.read_csv(out, comment="#")
    assert table["problem"].tolist() == ["simulated, 5 subjects", "styled, half 1", "styled, half 2"]
    assert not table["difference_percent"].any()


def test_the_defaults_are_not_worse_than_the_train_mean_on_the_shipped_problems():
    shipped = ROOT / small_studies.RESULT
    if not shipped.exists():
        pytest.skip(f"{small_studies.RESULT} has not been made")
    assert pd.read_csv(shipped, comment="#")["difference_percent"].max() <= 2
