"""`mpcl stream`: E4 sessions, tables and lines on stdin to rows of predictions, and misuse in one line."""

import io
import json
import queue
import sys
import types

import numpy as np
import pandas as pd
import pytest
from e4_fixture import BEGAN, e4_texts, streams, write_session
from import_fixture import read_in_process
from stream_fixture import EMOTIONS, RATES, WINDOW, offline, recording, untrained

from mpcl_jax.cli import stream as command
from mpcl_jax.data.tables.e4 import read_sessions

pytestmark = pytest.mark.usefixtures("quick_programs")
COLUMNS = [f"predicted_{name}" for name in EMOTIONS]


@pytest.fixture(autouse=True)
def _in_process(monkeypatch):
    read_in_process(monkeypatch)


@pytest.fixture(scope="module")
def fitted():
    return untrained(seeds=1)


@pytest.fixture(scope="module")
def model(fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    fitted.save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    place = tmp_path_factory.mktemp("e4") / "S2_E4_Data.zip"
    write_session(place, e4_texts(streams(60)))
    return place


def csv_of(*words):
    assert command.run([*map(str, words)]) == 0
    return pd.read_csv(words[-1])


def test_an_e4_session_gives_the_predictions_of_its_features(model, fitted, session, tmp_path):
    table = csv_of(model, session, "--hop", "5", "-o", tmp_path / "out.csv")
    signals = {m: signal.x for m, signal in read_sessions(session)[0][0].signals.items()}
    values, ends = offline(signals)
    assert table["time"].tolist() == (BEGAN + ends).tolist()
    wanted = fitted.predict(values).astype(np.float32)
    np.testing.assert_array_equal(table[COLUMNS].to_numpy(np.float32), wanted)
    assert set(table[list(RATES)].to_numpy().ravel()) == {"present"}


def test_a_table_of_samples_with_reports_and_a_memory(model, tmp_path, capsys):
    signals = recording(60)
    eda = pd.DataFrame({"time": np.arange(240) / 4, "eda": signals["eda"], "temp": signals["temp"]})
    eda.to_csv(tmp_path / "samples.csv", index=False)
    reports = pd.DataFrame([[30.0, 1, 0, 2, 0]], columns=["time", *EMOTIONS])
    reports.to_csv(tmp_path / "reports.csv", index=False)
    words = ["--reports", tmp_path / "reports.csv", "--memory", tmp_path / "anna.npz"]
    table = csv_of(model, tmp_path / "samples.csv", *words, "-o", tmp_path / "out.csv")
    assert table["time"].tolist() == [20, 30, 40, 50, 60]
    assert table["recalled"].notna().tolist() == [False, False, True, True, True]
    assert "bvp" not in table and (tmp_path / "anna.npz").is_file()


def test_lines_on_stdin_give_lines_of_json(model, monkeypatch, capsys):
    eda = recording(25)["eda"]
    lines = [f"{i / 4},eda,{x}\n" for i, x in enumerate(eda)] + ["\n", "24.9,report,1,2,0,1\n"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(lines)))
    assert command.run([model, "-", "--rate", "eda=4"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["time"] == WINDOW and list(row["distribution"]) == EMOTIONS
    assert row["sensors"] == {"bvp": "absent", "eda": "present", "temp": "absent", "acc": "absent"}


def test_ctrl_c_ends_the_stream_and_keeps_what_was_learned(model, monkeypatch, tmp_path, capsys):
    def lines():
        yield from (f"{i / 4},eda,{x}\n" for i, x in enumerate(recording(25)["eda"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", lines())
    words = ["--rate", "eda=4", "--memory", tmp_path / "a.npz", "-o", tmp_path / "out.csv"]
    assert len(csv_of(model, "-", *words)) == 1
    assert (tmp_path / "a.npz").is_file() and "stopped by Ctrl-C" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        ([], "", "SOURCE: give one of"),
        (["gone.zip"], "", "gone.zip: does not exist"),
        (["."], "", "holds no Empatica E4 session"),
        (["-"], "", "rates: is {}; wanted a dict, sensor -> Hz, of bvp, eda"),
        (["-", "--rate", "4"], "", "--rate 4: write NAME=VALUE"),
        (["-", "--rate", "eda=fast"], "", "--rate eda=fast: is no number"),
        (["-", "--rate", "hr=1"], "", "rates: names 'hr'; the model has bvp"),
        (["-", "--rate", "eda=4"], "0,eda\n", "line 1: '0,eda'"),
        (["-", "--rate", "eda=4"], "0,eda,x\n", "line 1: '0,eda,x': wanted time,sensor,value"),
        (["-", "--rate", "eda=4"], "0,report,1\n", "line 1: '0,report,1': wanted 4 ratings"),
        (["-", "--rate", "eda=4", "-o", "no/out.csv"], "", "its folder does not exist"),
        (["-", "--rate", "eda=4", "--window", "2"], "", "windows of 2 s are too short for the kind 'eda'"),
        (["-", "--sped", "2"], "", "did you mean --speed?"),
    ],
)
def test_misuse_is_one_line(model, words, text, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert command.run([model, *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message.replace("line 1: '0,eda'", "line 1: '0,eda'") in lines[0]


def test_a_report_that_waits_when_the_source_ends_is_written():
    pushed, waiting = [], queue.Queue()
    waiting.put("report")

    def push(event):
        pushed.append(event)
        return []

    session = types.SimpleNamespace(push=push, close=list, take_notes=tuple)
    command._follow(session, [], waiting, [])
    assert pushed == ["report"]
