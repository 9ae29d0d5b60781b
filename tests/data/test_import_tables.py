"""Long tables and questionnaires of other programs as recordings, and their mistakes in one line."""

import sys
import types

import numpy as np
import pandas as pd
import pytest
from import_fixture import read_in_process, refusal

from mpcl_jax.data.folder import load as own_data
from mpcl_jax.data.tables.import_source import import_source
from mpcl_jax.data.tables.reports import Options
from mpcl_jax.data.tables.write_folder import write_folder
from mpcl_jax.data.validate import folder as validator
from mpcl_jax.types import DataError

LABELS = ("happy", "sad", "angry")
WINDOWS = Options(labels=LABELS, floor=1.0)


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    read_in_process(monkeypatch)


def window_table(subjects=("007", "anna"), trials=3, windows=2) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    keys = [(s, t, w) for s in subjects for t in range(trials) for w in range(windows)]
    frame = pd.DataFrame(keys, columns=["sid", "trial", "start"])
    frame["clip"] = "clip" + frame["trial"].astype(str)
    for i, name in enumerate(LABELS):
        frame[name] = (frame["trial"] + i) % 3 + 1
    for name in ("eda_mean", "eda_sd", "au01", "au02"):
        frame[name] = rng.normal(size=len(frame))
    return frame.assign(age=30, comment="fine")


def ratings(**changes) -> pd.DataFrame:
    """A questionnaire for `window_table`."""
    frame = window_table().drop_duplicates(["sid", "trial"])[["sid", "trial", *LABELS]]
    return frame.rename(columns={"sid": "participant"}).assign(**changes)


def saved(folder, frame: pd.DataFrame, name="data.csv", **how):
    frame.to_csv(folder / name, index=False, **how)
    return folder / name


def test_a_table_of_windows_becomes_a_folder_that_passes_the_check(tmp_path):
    imported = import_source(saved(tmp_path, window_table()), WINDOWS)
    write_folder(imported.recordings, tmp_path / "out", imported.assumed)
    assert validator.examine(str(tmp_path / "out")).issues == ()
    held = own_data.load(str(tmp_path / "out"))
    assert set(held.subject) == {"007", "anna"}
    assert held.groups == {"eda": "physiological", "au": "behavioural"}
    frame = window_table().sort_values("sid", kind="stable")
    above = frame[list(LABELS)].to_numpy() - 1
    np.testing.assert_allclose(held.labels, above / above.sum(1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(held.signals["eda"][:, 0], frame[["eda_mean", "eda_sd"]], rtol=1e-6)
    assert held.stimulus.tolist() == frame["clip"].tolist() and held.start.tolist() == frame["start"].tolist()
    text = " ".join(imported.assumed)
    for words in ("subject from column 'sid'", "modality au: au01, au02", "positive: happy", "(rating - 1)"):
        assert words in text
    assert "not used: columns age, comment" in text


@pytest.mark.parametrize(
    ("how", "note"),
    [
        ({"sep": ";", "decimal": ",", "encoding": "utf-8-sig"}, "decimal commas"),
        ({"sep": ";", "decimal": ",", "encoding": "cp1252"}, "Windows-1252"),
        ({"sep": "\t", "encoding": "utf-16"}, "separated by tabs"),
    ],
)
def test_tables_of_spreadsheet_programs_are_read(tmp_path, how, note):
    frame = window_table(subjects=("Zoë", "anna"))
    plain, other = (
        import_source(saved(tmp_path, frame, name, **way), WINDOWS)
        for name, way in (("plain.csv", {}), ("other.csv", how))
    )
    assert other.recordings.subject.tolist() == plain.recordings.subject.tolist()
    np.testing.assert_array_equal(other.recordings.signals["eda"], plain.recordings.signals["eda"])
    assert note in " ".join(other.assumed)


def test_options_name_columns_modalities_groups_and_valence(tmp_path):
    frame = window_table().rename(columns={"sid": "vp", "trial": "n"})
    options = WINDOWS._replace(
        columns={"subject": "vp", "trial": "n"},
        modalities={"skin": ("eda_*",), "left_hand": ("au01",)},
        groups={"skin": "behavioural"},
        positive=("sad",),
        window=10.0,
    )
    held = import_source(saved(tmp_path, frame), options).recordings
    assert held.groups == {"skin": "behavioural", "left_hand": "behavioural"} and held.duration == 10
    assert held.valence == ("negative", "positive", "negative")
    assert held.signals["left_hand"].shape == (12, 1, 1)


def test_a_questionnaire_is_joined_by_subject_and_trial(tmp_path):
    source = saved(tmp_path, window_table().drop(columns=list(LABELS)))
    answers = ratings()
    answers.loc[answers.index[0], "sad"] = np.nan
    answers.loc[answers.index[1], list(LABELS)] = 1
    options = Options(floor=1.0, questionnaire=saved(tmp_path, answers, "q.csv"))
    imported = import_source(source, options)
    assert imported.recordings.emotions == LABELS
    assert set(imported.recordings.trial) == {"007/2", "anna/0", "anna/1", "anna/2"}
    text = " ".join(imported.assumed)
    assert "a rating is missing: 007/0" in text and "at the floor 1: 007/1" in text


@pytest.mark.parametrize("windows", [1, 2])
def test_columns_of_reports_are_no_signals(tmp_path, windows):
    frame = window_table(windows=windows)
    leak = frame["trial"] + np.where(frame["sid"] == "anna", 3.0, 0.0)
    source = saved(tmp_path, frame.assign(arousal_rating=leak, mood=leak if windows > 1 else 0.0))
    questionnaire = saved(tmp_path, ratings(), "q.csv")  # the table holds the ratings, too
    for options in (WINDOWS, Options(floor=1.0, questionnaire=questionnaire)):
        imported = import_source(source, options)
        expected = {"eda", "au"} | ({"mood"} if windows == 1 else set())
        assert set(imported.recordings.signals) == expected and "arousal_rating" in " ".join(imported.assumed)


def test_an_emotion_without_any_rating_is_left_out(tmp_path):
    imported = import_source(saved(tmp_path, window_table().assign(angry=1, happy=2)), WINDOWS)
    assert imported.recordings.emotions == ("happy", "sad") and "left out" in " ".join(imported.assumed)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"labels": ("hapy", "sad")}, ["no column 'hapy'", "did you mean 'happy'"]),
        ({}, {"labels": ()}, ["--labels"]),
        ({}, {"labels": ("happy",)}, ["at least two"]),
        ({"sad": "very"}, {}, ["row 2, column 'sad'", "'very' is not a number"]),
        ({"sad": 0}, {}, ["row 2, column 'sad'", "below the floor 1"]),
        ({"sad": np.arange(12)}, {"floor": 0.0}, ["row 3, column 'sad'", "row 2 of the same trial"]),
        ({"sid": ""}, {}, ["row 2, column 'sid'", "is empty"]),
        ({"sad": np.inf}, {}, ["row 2, column 'sad'", "infinite"]),
        ({"eda_sd": ["#DIV/0!"] + [1.0] * 11}, {}, ["row 2, column 'eda_sd'", "'#DIV/0!' is not a number"]),
        ({"start": ["0"] * 11 + ["later"]}, {}, ["row 13, column 'start'", "'later' is not a number"]),
        ({}, {"modalities": {"eda": ("edda*",)}}, ["no column 'edda*'"]),
        ({}, {"groups": {"face": "behavioural"}}, ["--group", "'face'", "known: eda, au"]),
        ({}, {"groups": {"au": "physical"}}, ["--group", "physiological or behavioural"]),
        ({}, {"positive": ("joy",)}, ["--positive", "'joy'"]),
        ({}, {"window": -1.0}, ["--window", "above 0"]),
        (dict.fromkeys(LABELS, 1), {}, ["every rating is at the floor"]),
    ],
)
def test_a_mistake_in_a_table_of_windows_is_one_line(tmp_path, change, options, words):
    message = refusal(saved(tmp_path, window_table().assign(**change)), WINDOWS._replace(**options))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (ratings().query("participant != 'anna'"), ["subject 'anna' has no row in q.csv"]),
        (pd.concat([ratings(), ratings()[:1]]), ["row 8, column 'trial'", "row 2 too"]),
        (ratings().drop(columns="participant"), ["row 5", "row 2 too"]),
        (ratings().assign(trial=ratings()["trial"] + 7), ["no window of a trial with a report"]),
    ],
)
def test_a_mistake_in_a_questionnaire_is_one_line(tmp_path, answers, words):
    source = saved(tmp_path, window_table().drop(columns=list(LABELS)))
    message = refusal(source, Options(questionnaire=saved(tmp_path, answers, "q.csv")))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", b"", ["not a readable table"]),
        ("x.csv", b"a,b\n", ["no rows"]),
        ("x.csv", b"a,b,a\n1,2,3\n", ["two columns 'a'"]),
        ("x.csv", b"a,b\n1,2\n1,2,3\n", ["not a readable table", "line 3"]),
        ("x.csv", b"a,b\n1,2,3\n1,2,3\n", ["more than the 2 cells"]),
        ("x.xlsx", b"PK", ["spreadsheet", "CSV"]),
        ("x.bin", b"PK", ["nothing that can be imported"]),
    ],
)
def test_files_that_are_no_table_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name, WINDOWS)
    assert name in message and all(word in message for word in words), message


def test_parquet_needs_its_extra(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'mpcl-jax[parquet]'" in refusal(tmp_path / "x.parquet", WINDOWS)
    monkeypatch.setitem(sys.modules, "pyarrow", types.ModuleType("pyarrow"))
    frame = window_table().replace({"sid": {"007": 7.0, "anna": 8.0}}).astype({"sid": float})
    monkeypatch.setattr(pd, "read_parquet", lambda path, engine: frame)
    assert set(import_source(tmp_path / "x.parquet", WINDOWS).recordings.subject) == {"7", "8"}


def sample_table(rate=16.0, seconds=30, subjects=("s1", "s2"), trials=("a", "b")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = round(rate * seconds)
    frames = [
        pd.DataFrame(
            {"subject": s, "trial": t, "time": np.arange(n) / rate, "eda": 1 + rng.random(n)}
        ).assign(
            acc_x=rng.normal(size=n), acc_y=rng.normal(size=n), acc_z=9.8, happy=2 + i, sad=1 + (t == "a")
        )
        for i, s in enumerate(subjects)
        for t in trials
    ]
    return pd.concat(frames)


SAMPLES = Options(labels=("happy", "sad"), floor=1.0, window=10.0, step=5.0)


@pytest.mark.parametrize("timed", [True, False])
def test_a_table_of_samples_becomes_windows_of_features(tmp_path, timed):
    frame = sample_table() if timed else sample_table().drop(columns="time")
    imported = import_source(saved(tmp_path, frame), SAMPLES._replace(rate=None if timed else 16.0))
    held = imported.recordings
    assert held.signals["eda"].shape == (20, 1, 12) and held.duration == 10
    assert held.start[:5].tolist() == [0, 5, 10, 15, 20]
    assert set(held.trial) == {"s1/a", "s1/b", "s2/a", "s2/b"}
    assert "16 samples per second" in " ".join(imported.assumed) and held.groups["acc"] == "behavioural"


def test_reports_are_joined_by_time_where_samples_name_no_trial(tmp_path):
    frame = sample_table(seconds=60, trials=("x",)).drop(columns=["trial", "happy", "sad"])
    noon = pd.Timestamp("2024-05-31T12:00:00")
    absolute = frame.assign(time=noon + pd.to_timedelta(frame["time"], unit="s"))
    answers = {
        "subject": ["s1", "s1", "s2"],
        "start": [5, 40, 0],
        "end": [25, 55, 20],
        "joy": [1, 2, 3],
        "fear": [2, 2, 0],
    }
    options = Options(window=10.0, questionnaire=saved(tmp_path, pd.DataFrame(answers), "q.csv"))
    held = import_source(saved(tmp_path, frame), options).recordings
    assert held.start.tolist() == [0, 5, 10, 0, 5, 0, 5, 10]
    assert held.trial.tolist() == ["s1/1"] * 3 + ["s1/2"] * 2 + ["s2/1"] * 3
    for name in ("start", "end"):
        answers[name] = [f"2024-05-31T14:00:{x:02d}" for x in answers[name]]
    saved(tmp_path, pd.DataFrame(answers), "q.csv")
    moved = import_source(saved(tmp_path, absolute), options._replace(timezone="Europe/Berlin")).recordings
    np.testing.assert_array_equal(moved.signals["eda"], held.signals["eda"])
    milliseconds = frame.assign(time=1000 * (1717156800 + frame["time"]))  # the same dates
    berlin = options._replace(timezone="Europe/Berlin")
    moved = import_source(saved(tmp_path, milliseconds), berlin).recordings
    np.testing.assert_array_equal(moved.signals["eda"], held.signals["eda"])


def test_a_trial_shorter_than_a_window_is_dropped_with_a_note(tmp_path):
    frame = sample_table()
    frame = frame[(frame["trial"] != "b") | (frame["time"] < 8)]
    imported = import_source(saved(tmp_path, frame), SAMPLES)
    assert "shorter than a window of 10 s: s1/b, s2/b" in " ".join(imported.assumed)
    assert "no trial has a window" in refusal(saved(tmp_path, frame), SAMPLES._replace(window=90.0))


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda f: f.drop(columns="time"), {"rate": 0.0}, ["--rate 0", "above 0"]),
        (lambda f: f[~f["time"].between(4, 7)], {}, ["column 'time'", "steps", "resample"]),
        (lambda f: f.assign(time=1.0), {}, ["does not grow"]),
        (lambda f: f.assign(time="noon"), {}, ["row 2, column 'time'", "'noon' is no time"]),
        (lambda f: f, {"kinds": {"eda": "skin"}}, ["unknown kind 'skin'"]),
        (lambda f: f, {"kinds": {"edaa": "eda"}}, ["--kind", "'edaa'"]),
        (lambda f: f, {"kinds": {"eda": "ecg"}}, ["too low for the kind 'ecg'"]),
    ],
)
def test_a_mistake_in_a_table_of_samples_is_one_line(tmp_path, change, options, words):
    message = refusal(saved(tmp_path, change(sample_table())), SAMPLES._replace(**options))
    assert all(word in message for word in words), message


def test_a_folder_is_written_completely_or_not_at_all(tmp_path):
    held = import_source(saved(tmp_path, window_table(subjects=("../up", "a:b", "Anna"))), WINDOWS).recordings
    write_folder(held, tmp_path / "out")
    loaded = own_data.load(str(tmp_path / "out"))
    assert set(loaded.subject) == {"../up", "a:b", "Anna"}
    with pytest.raises(DataError, match="not empty"):
        write_folder(held, tmp_path / "out")
    odd = held._replace(trial=np.array([name.replace("/0", "/ 1") for name in held.trial]))
    with pytest.raises(DataError, match=r"other.*differ in capital letters or blanks"):
        write_folder(odd, tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"data.csv", "out"}
