"""Recorded sessions of devices as recordings: Empatica E4, EDF by MNE, physiological recordings of BIDS."""

import datetime
import json
import sys
import types
import zipfile

import numpy as np
import pandas as pd
import pytest
from e4_fixture import BEGAN, e4_texts, streams, write_csv, write_real, write_session
from import_fixture import read_in_process, refusal

from mpcl_jax.data.features import extract
from mpcl_jax.data.tables import e4
from mpcl_jax.data.tables.import_source import import_source
from mpcl_jax.data.tables.reports import Options
from mpcl_jax.data.tables.write_folder import write_folder
from mpcl_jax.data.validate import folder as validator
from mpcl_jax.types import DataError

QUICK = Options(window=10.0, step=10.0)


@pytest.fixture
def in_process(monkeypatch):
    read_in_process(monkeypatch)


def answers(tmp_path, rows: list[dict], **ratings):
    ratings = ratings or {"joy": 3, "fear": 1}
    return QUICK._replace(questionnaire=write_csv(tmp_path / "q.csv", [row | ratings for row in rows]))


def test_real_e4_recordings_pass_the_check(tmp_path):
    sessions, questionnaire = write_real(tmp_path, subjects=2)
    options = Options(questionnaire=questionnaire, floor=1.0, window=60.0, step=60.0)
    imported = import_source(sessions, options)
    write_folder(imported.recordings, tmp_path / "out", imported.assumed)
    assert validator.examine(str(tmp_path / "out")).issues == ()
    held = imported.recordings
    assert len(set(held.subject)) == 2 and len(set(held.trial)) == 24
    assert set(held.signals) == {"eda", "bvp", "temp"}
    assert 31 < np.nanmedian(held.signals["temp"][:, 0, 0]) < 37


@pytest.mark.parametrize("packed", [True, False])
def test_the_folders_of_wesad_are_read(tmp_path, in_process, packed):
    for number, subject in enumerate(("S2", "S10")):
        place = tmp_path / "WESAD" / subject / (f"{subject}_E4_Data" + ".zip" * packed)
        write_session(place, e4_texts(streams(40, number)))
        (place.parent / f"{subject}_readme.txt").write_text("x")
    rows = [
        {"subject": s, "trial": t, "start": a, "end": a + 20}
        for s in ("S2", "S10")
        for t, a in (("Base", 0), ("Fun", 20))
    ]
    imported = import_source(tmp_path / "WESAD", answers(tmp_path, rows))
    held = imported.recordings
    assert held.trial.tolist() == [f"{s}/{t}" for s in ("S10", "S2") for t in ("Base", "Base", "Fun", "Fun")]
    assert held.groups == dict.fromkeys(("eda", "bvp", "temp"), "physiological") | {"acc": "behavioural"}
    signals = streams(40, 0)
    expected = extract({"acc": signals["ACC"] / 64}, 32, 10.0)  # ACC is stored in 1/64 g
    np.testing.assert_array_equal(held.signals["acc"][4:, 0], expected.values["acc"])


@pytest.mark.parametrize(
    ("tags", "columns", "starts"),
    [
        ((5, 20, 30, 50), [{"trial": "a"}, {"trial": "b"}], (5, 30)),  # a pair for each trial
        ((5, 30), [{"trial": "a"}, {"trial": "b"}], (5, 30)),  # from tag to tag
        ((5, 20, 30, 50), [{"trial": "a", "tag": 2}, {"trial": "b", "tag": 3}], (20, 30)),
        ((5, 20, 30, 50), [{"trial": "a", "start_tag": 1, "end_tag": 3}], (5,)),
        ((), [{"start": "2023-11-14T22:13:25+00:00", "end": "2023-11-14T22:13:40+00:00"}], (5,)),
        ((), [{"start": BEGAN + 5, "end": BEGAN + 20}], (5,)),
    ],
)
def test_trials_are_found_by_tags_or_times(tmp_path, in_process, tags, columns, starts):
    signals = streams(60)
    write_session(tmp_path / "data" / "s1", e4_texts(signals, tags))
    options = answers(tmp_path, [{"subject": "s1"} | row for row in columns])
    held = import_source(tmp_path / "data", options).recordings
    for at, trial in zip(starts, dict.fromkeys(held.trial.tolist()), strict=True):
        first = extract({"eda": signals["EDA"][at * 4 :]}, 4, 10.0).values["eda"][0]
        found = held.signals["eda"][held.trial == trial][0, 0]
        np.testing.assert_allclose(found, first, rtol=0.01, atol=1e-3)  # the files keep six digits


def test_a_dropped_report_does_not_move_the_tags_of_the_others(tmp_path, in_process):
    write_session(tmp_path / "data" / "s1", e4_texts(streams(60), tags=(5, 20, 35, 50)))
    reports = {"a": 2, "b": "", "c": 3}
    rows = [{"subject": "s1", "trial": t, "joy": joy, "fear": 1} for t, joy in reports.items()]
    options = QUICK._replace(questionnaire=write_csv(tmp_path / "q.csv", rows))
    imported = import_source(tmp_path / "data", options)
    first = extract({"temp": streams(60)["TEMP"][35 * 4 :]}, 4, 10.0).values["temp"][0]
    found = imported.recordings.signals["temp"][imported.recordings.trial == "s1/c"][0, 0]
    np.testing.assert_allclose(found, first, rtol=1e-4)
    text = " ".join(imported.assumed)
    assert "tags in the order of the rows" in text and "a rating is missing: s1/b" in text


def test_sessions_of_one_subject_are_told_apart(tmp_path, in_process):
    for number in (1, 2):
        place = tmp_path / "data" / "s1" / f"day{number}.zip"
        write_session(place, e4_texts(streams(30, number), began=BEGAN + 86400 * number), folder="export/")
    rows = [{"subject": "s1", "trial": "a", "start": 0, "end": 20}]
    message = refusal(tmp_path / "data", answers(tmp_path, rows))
    assert "day1.zip" in message and "2 sessions" in message and "column session" in message
    named = answers(tmp_path, [rows[0] | {"session": f"day{number}"} for number in (1, 2)])
    held = import_source(tmp_path / "data", named).recordings
    assert list(dict.fromkeys(held.trial.tolist())) == ["s1/day1-a", "s1/day2-a"]
    flat = import_source(tmp_path / "data" / "s1", named).recordings  # the questionnaire names the subject
    assert flat.trial.tolist() == held.trial.tolist()
    dated = answers(tmp_path, [rows[0] | {"start": BEGAN + 86400 * 2, "end": BEGAN + 86400 * 2 + 20}])
    held_2 = import_source(tmp_path / "data", dated).recordings
    np.testing.assert_array_equal(held_2.signals["bvp"], held.signals["bvp"][2:])
    named = answers(tmp_path, [{"subject": "s1", "trial": f"day{number}"} for number in (1, 2)])
    assert len(import_source(tmp_path / "data", named).recordings.labels) == 6


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("EDA.csv", "1700000000\n4\n1\nx\n", ["EDA.csv", "text among its numbers"]),
        ("EDA.csv", "1700000000,0\n4,0\n0,185827\n", ["EDA.csv", "2 columns", "spreadsheet"]),
        ("EDA.csv", "", ["EDA.csv", "has 0 rows"]),
        ("EDA.csv", "0.5\n0.7\n0.9\n", ["EDA.csv", "seconds since 1970"]),
        ("BVP.csv", "1700000000\n-64\n0.9\n", ["BVP.csv", "-64"]),
    ],
)
def test_a_damaged_e4_file_is_named(tmp_path, in_process, name, text, words):
    write_session(tmp_path / "data" / "s1", e4_texts(streams(30)) | {name: text})
    rows = [{"subject": "s1", "trial": "a", "start": 0, "end": 20}]
    message = refusal(tmp_path / "data", answers(tmp_path, rows))
    assert all(word in message for word in words), message


def test_hostile_zip_files_are_refused_or_read_without_unpacking(tmp_path, monkeypatch):
    rows = [{"subject": "s1", "trial": "a", "start": 0, "end": 20}]
    options, texts = answers(tmp_path, rows), e4_texts(streams(30))
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "s1.zip"
    file.write_bytes(b"PK\3\4 nothing")
    assert "is not a readable zip file" in refusal(tmp_path / "data", options)
    write_session(file, texts, folder="../../up/")
    assert len(import_source(tmp_path / "data", options).recordings.labels) == 2  # in the guarded child
    assert not list(tmp_path.rglob("up"))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("other/EDA.csv", texts["EDA.csv"])
    assert "several sessions" in refusal(tmp_path / "data", options)
    monkeypatch.setattr(e4, "MAX_BYTES", 1000)
    write_session(file, texts)
    with pytest.raises(DataError, match="claims more than"):
        e4.parse_session(str(file))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"subject": "s9", "trial": "a"}], ["subject 's1' has no row in q.csv", "known: s9"]),
        (
            [{"subject": "s1", "trial": "a", "start": 20, "end": 5}],
            ["q.csv", "s1/a", "at 20 s and ends at 5 s"],
        ),
        ([{"subject": "s1", "trial": "a", "tag": 3}], ["q.csv", "from tag 3 to 4", "1 to 1"]),
        ([{"subject": "s1", "trial": x} for x in "abc"], ["has 1 tags for 3 rows"]),
        ([{"subject": "s1", "trial": "a", "start": 500, "end": 600}], ["no trial has a window"]),
        ([{"subject": "s1", "trial": "a", "start": "noon", "end": 1}], ["row 2, column 'start'", "no time"]),
    ],
)
def test_a_report_that_fits_no_recording_is_named(tmp_path, in_process, rows, words):
    write_session(tmp_path / "data" / "s1", e4_texts(streams(30), tags=(3,)))
    message = refusal(tmp_path / "data", answers(tmp_path, rows))
    assert all(word in message for word in words), message


def test_recordings_need_a_questionnaire(tmp_path):
    write_session(tmp_path / "data" / "s1", e4_texts(streams(30)))
    assert "--questionnaire" in refusal(tmp_path / "data", QUICK)


class _Raw:
    """What MNE returns for a file of 50 s: skin conductance, EEG in volts, and two annotations."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.ch_names = ["EDA", "Fp1", "EEG Cz"]
        self.info = {"sfreq": 128.0, "meas_date": datetime.datetime.fromtimestamp(BEGAN, datetime.UTC)}
        self._orig_units = {"EDA": "n/a", "Fp1": "µV", "EEG Cz": "µV"}
        self.x = 1 + rng.random((3, 6400))
        self.annotations = types.SimpleNamespace(
            description=np.array(["calm", "fear"]),
            onset=np.array([0.0, 25.0]),
            duration=np.array([20.0, 0.0]),
        )

    def get_data(self):
        return self.x * np.array([[1.0], [1e-6], [1e-6]])


def test_edf_files_are_read_by_mne_and_their_annotations_are_trials(tmp_path, in_process, monkeypatch):
    for subject in ("anna", "ben"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{subject}.edf").write_bytes(b"0")
    rows = [{"subject": s, "trial": t} for s in ("anna", "ben") for t in ("calm", "fear")]
    options = answers(tmp_path, rows)
    monkeypatch.setitem(sys.modules, "mne", None)
    assert "pip install 'mpcl-jax[mne]'" in refusal(tmp_path / "data", options)
    io = types.SimpleNamespace(read_raw_edf=lambda path, preload, verbose: _Raw())
    monkeypatch.setitem(sys.modules, "mne", types.SimpleNamespace(io=io))
    held = import_source(tmp_path / "data", options).recordings
    trials = ["calm", "calm", "fear", "fear"]
    assert held.trial.tolist() == [f"{s}/{t}" for s in ("anna", "ben") for t in trials]
    assert {m: x.shape[1:] for m, x in held.signals.items()} == {"eda": (1, 12), "eeg": (1, 10)}
    expected = extract({"eeg": _Raw().x[1:, :1280].T}, 128.0, 10.0).values["eeg"]  # in microvolts
    np.testing.assert_allclose(held.signals["eeg"][0], expected, rtol=1e-5)


@pytest.mark.parametrize("events", [True, False])
def test_bids_recordings_are_read_with_their_json(tmp_path, in_process, events):
    (tmp_path / "bids").mkdir()
    for recording, columns in (("eda", ["eda"]), ("pulse", ["cardiac", "trigger"])):
        about = {"SamplingFrequency": 32, "StartTime": 0, "Columns": columns}
        (tmp_path / "bids" / f"task-film_recording-{recording}_physio.json").write_text(json.dumps(about))
    rng = np.random.default_rng(0)
    for subject in ("sub-01", "sub-02"):
        folder = tmp_path / "bids" / subject / "func"
        folder.mkdir(parents=True)
        for recording, columns in (("eda", 1), ("pulse", 2)):
            name = f"{subject}_task-film_recording-{recording}_physio.tsv.gz"
            frame = pd.DataFrame(1 + rng.random((32 * 40, columns)))
            frame.to_csv(folder / name, sep="\t", header=False, index=False)
        if events:
            trials = {"onset": [0.0, 20.0], "duration": [20.0, 20.0], "trial_type": ["sea", "storm"]}
            pd.DataFrame(trials).to_csv(folder / f"{subject}_task-film_events.tsv", sep="\t", index=False)
    names = ("sea", "storm") if events else ("task-film",)
    options = answers(tmp_path, [{"subject": s, "trial": t} for s in ("sub-01", "sub-02") for t in names])
    options = options._replace(kinds={"cardiac": "bvp"})
    held = import_source(tmp_path / "bids", options).recordings
    assert set(held.trial) == {f"{s}/{t}" for s in ("sub-01", "sub-02") for t in names}
    assert len(held.labels) == 8
    assert {m: x.shape[2] for m, x in held.signals.items()} == {"eda": 12, "cardiac": 11}
    only_eda = import_source(tmp_path / "bids", options._replace(kinds={}, modalities={"skin": ("eda",)}))
    assert set(only_eda.recordings.signals) == {"skin"}
    (tmp_path / "bids" / "task-film_recording-eda_physio.json").write_text('{"Columns": ["eda"]}')
    assert "SamplingFrequency" in refusal(tmp_path / "bids", options)
