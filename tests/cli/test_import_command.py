"""`mpcl import`: the folder that it writes, what it prints, and mistakes in one line."""

import numpy as np
import pandas as pd
import pytest
from import_fixture import read_in_process

from mpcl_jax.cli import __main__ as mpcl
from mpcl_jax.data.folder import load as own_data


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    ids = {"subject": np.repeat(["sub-01", "sub-02"], 8), "trial": np.tile(np.repeat(range(4), 2), 2)}
    frame = pd.DataFrame(ids)
    frame = frame.assign(joy=frame["trial"] + 1, fear=4 - frame["trial"], eda_mean=rng.normal(size=16))
    frame.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


def test_a_table_becomes_a_folder_that_passes_the_check(source, tmp_path, capsys):
    folder = tmp_path / "new" / "data"
    words = [source, "-o", folder, "--labels", "joy,fear", "--floor", 1, "--modality", "skin=eda_*"]
    assert mpcl.run(["import", *map(str, words)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "subject from column 'subject', trial from column 'trial'"
    assert lines[-2:] == [
        "2 subjects, 8 trials, 16 windows, 2 emotions, modalities skin",
        f"written: {folder}; next: mpcl check {folder}",
    ]
    assert mpcl.run(["check", str(folder)]) == 0
    assert set(own_data.load(str(folder)).subject) == {"sub-01", "sub-02"}
    about = (folder / "import.txt").read_text()
    assert about.startswith("mpcl import ") and "features of skin: eda_mean" in about


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--labels", "joy,feer"], "did you mean 'fear'?"),
        (["--labels", "joy,fear", "--modality", "eda"], "write NAME=VALUE"),
        (["--labels", "joy,fear", "--questionnaire", "none.csv"], "none.csv"),
        (["--labels", "joy,fear", "--modality", "face mesh=eda_*"], "'face mesh' is no name"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(source, words, reason, monkeypatch, capsys):
    read_in_process(monkeypatch)
    before = set(source.parent.iterdir())
    assert mpcl.run(["import", str(source), "-o", str(source.parent / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and reason in error
    assert set(source.parent.iterdir()) == before
