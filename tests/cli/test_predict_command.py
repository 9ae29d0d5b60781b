"""`mpcl predict`: the predictions of a finished run for recordings in a folder, as CSV."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from mpcl_jax.cli import audit
from mpcl_jax.cli import predict as command
from mpcl_jax.data import registry
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.data.tables.write_folder import write_folder
from mpcl_jax.runs.predict import open_model, predict
from mpcl_jax.types import take


@pytest.fixture
def run(trained):
    return trained[0]


@pytest.fixture
def data(run, tmp_path):
    """The recordings of the run as a folder, with one modality that the run does not know."""
    held, n = run.recordings, len(run.recordings.labels)
    other = {
        "groups": "behavioural",
        "signals": np.random.default_rng(0).normal(size=(n, 1, 2)).astype(np.float32),
        "present": np.ones(n, bool),
        "quality": np.ones(n, np.float32),
    }
    known = {field: getattr(held, field) | {"other": value} for field, value in other.items()}
    write_folder(held._replace(**known), tmp_path / "data")
    return tmp_path / "data"


def test_predictions_of_a_folder_are_those_of_the_model(run, data, tmp_path, capsys):
    file = tmp_path / "out.csv"
    assert command.run([str(run.workdir), str(data), "-o", str(file)]) == 0
    table = pd.read_csv(file)
    names = [f"predicted_{name}" for name in run.recordings.emotions]
    assert list(table) == ["id", "subject", "trial", "stimulus", *names]
    expected = predict(open_model(run.workdir), run.recordings.signals, run.recordings.present)
    order = np.argsort(row_ids(run.recordings)), np.argsort(table["id"])
    np.testing.assert_allclose(table[names].to_numpy()[order[1]], expected[order[0]], atol=1e-6)
    for subject in data.glob("*.npz"):  # labels are not needed
        np.savez(subject, **{name: x for name, x in np.load(subject).items() if name != "labels"})
    assert command.run([str(run.workdir), str(data)]) == 0
    assert capsys.readouterr().out == file.read_text()


def test_what_cannot_be_predicted_is_one_line(run, data, tmp_path, capsys):
    for words, reason in (
        ([tmp_path / "nothing", data], "nothing: is no folder"),
        ([run.workdir, tmp_path / "nothing"], "nothing: does not exist"),
        ([run.workdir, data, "--fold", "7"], "--fold 7: "),
    ):
        assert command.run([*map(str, words)]) == 2
        error = capsys.readouterr().err
        assert ("has only fold 0 (fold 1 of 3)" in error) == ("--fold" in words)
        assert reason in error and error.startswith("error: ") and error.count("\n") == 1


def test_tables_and_arrays_are_predicted_one_file_each_and_not_again(run, tmp_path, capsys):
    held, out = take(run.recordings, np.arange(6)), tmp_path / "out"
    arrays = {m: np.where(held.present[m][:, None, None], x, np.nan) for m, x in held.signals.items()}
    flat = {m: x.reshape(6, -1) for m, x in arrays.items()}  # tokens side by side
    columns = {f"{m}_{i}": x[:, i] for m, x in flat.items() for i in range(x.shape[1])}
    pd.DataFrame(columns).to_csv(tmp_path / "a.csv", index=False)
    np.savez(tmp_path / "b.npz", **arrays)
    (tmp_path / "c.csv").write_text("nothing\n")
    words = [str(run.workdir), *(str(tmp_path / x) for x in ("a.csv", "c.csv", "b.npz")), "-o", str(out)]
    assert command.run(words) == 2  # of c.csv; the others are written
    error = capsys.readouterr().err
    assert "error: " in error and "c.csv: holds no rows" in error and "b.csv written" in error
    assert sorted(file.name for file in out.iterdir()) == ["a.csv", "b.csv"]
    expected = predict(open_model(run.workdir), held.signals, held.present)
    for name in ("a", "b"):
        table = pd.read_csv(out / f"{name}.csv")
        np.testing.assert_allclose(table.filter(like="predicted_").to_numpy(), expected, atol=1e-6)
    (out / "a.csv").write_text("kept")
    (out / "b.csv").unlink()
    assert command.run([x for x in words if "c.csv" not in x]) == 0
    assert "a.csv exists, skipped" in capsys.readouterr().err
    assert (out / "a.csv").read_text() == "kept" and (out / "b.csv").exists()


def test_several_inputs_need_a_folder_and_names_of_their_own(run, data, tmp_path, capsys):
    for options, reason in (([], "--output: several inputs"), (["-o", str(tmp_path)], "has the name of")):
        same = tmp_path / "other" / data.name
        assert command.run([str(run.workdir), str(data), str(same), *options]) == 2
        assert reason in capsys.readouterr().err


CONFIG = """
from mpcl_jax.config import default
from mpcl_jax.data.registry import register_dataset
from mpcl_jax.data.simulate import simulate

def get_config():
    register_dataset("mine", lambda data: simulate(data.simulate)[0])
    return default()
"""


@pytest.mark.parametrize("name", ["predict", "audit"])
def test_a_config_file_that_registers_a_data_set_can_be_given(run, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(registry, "_datasets", registry.registered())
    folder = shutil.copytree(run.workdir, tmp_path / "run")
    settings = json.loads((folder / "config.json").read_text())
    settings["data"]["kind"] = "mine"
    (folder / "config.json").write_text(json.dumps(settings))
    (tmp_path / "mine.py").write_text(CONFIG)
    run_command, words = {"predict": (command.run, [folder, tmp_path]), "audit": (audit.run, [folder])}[name]
    assert run_command([*map(str, words)]) == 2
    error = capsys.readouterr().err
    assert "If a config file registers it, give this file with --config FILE" in error
    assert error.count("\n") == 1
    assert run_command([*map(str, words), "--config", str(tmp_path / "mine.py")]) == 0
