"""The WESAD loader on small folders in the published format, and on real recordings where they are at hand."""

import dataclasses
import os

import numpy as np
import pytest
from python_process import SHARED, python
from test_cardiac import pulse_wave
from wesad_fixture import HEART, ORDER, answers, python2_pickle, recording, write_subject

from mpcl_jax.config.data import WesadConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.features import cardiac, features
from mpcl_jax.data.io import cache, safe_read
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.types import DataError, spec_of

SMALL = WesadConfig(window_seconds=10.0, step_seconds=5.0)
SWAPPED = ("Base", "Fun", "Medi 2", "TSST", "Medi 1")


def small(folder, data, rows=None):
    """The recordings of a folder with one subject."""
    write_subject(folder, data, answers() if rows is None else rows)
    return wesad.load(str(folder), SMALL, str(folder / "cache"))


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """Reads in this process, except for `loaded`: a child takes a second to start."""
    for module in (wesad, safe_read):
        monkeypatch.setattr(module, "run_guarded", lambda function, *args: function(*args))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two subjects: S10 with the usual order, S3 with another one, a colon after Subj and a missing answer."""
    folder = tmp_path_factory.mktemp("WESAD")
    write_subject(folder, recording("S10"), answers(subject="S10"))
    rows = answers(SWAPPED, "S3", shift=1)
    rows[5] = "# PANAS;Nan;" + rows[5].split(";", 2)[2]
    write_subject(folder, recording("S3", SWAPPED), rows)
    (folder / "wesad_readme.pdf").write_bytes(b"%PDF")
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def loaded(root, kept):
    return wesad.load(str(root), SMALL, kept)


def test_rows_are_the_windows_of_the_conditions(loaded):
    # Two subjects x five conditions of 20 s x windows at 0, 5 and 10 s; 3 before 10, not "10" before "3".
    assert loaded.labels.shape == (30, 24)
    assert loaded.subject.tolist() == ["S3"] * 15 + ["S10"] * 15
    assert loaded.start.tolist() == [0, 5, 10] * 10
    assert loaded.trial[::3].tolist() == [f"S3/{c}" for c in SWAPPED] + [f"S10/{c}" for c in ORDER]
    assert loaded.stimulus[:15:3].tolist() == ["Base", "Fun", "Medi", "TSST", "Medi"]
    assert loaded.duration == 10.0
    assert loaded.protocols == () and loaded.published_test is None


def test_names_groups_and_shapes(loaded):
    spec = spec_of(loaded)
    assert spec.shapes == {"bvp": (1, 11), "eda": (1, 12), "temp": (1, 5), "acc": (1, 25)}
    assert spec.groups == {k: "behavioural" if k == "acc" else "physiological" for k in spec.shapes}
    assert spec.emotions[:3] == ("Active", "Distressed", "Interested")
    assert spec.valence[:3] == ("positive", "negative", "positive")
    assert spec.valence.count("positive") == 11
    assert all(x.dtype == np.float32 for x in loaded.signals.values())


def test_features_belong_to_their_condition(loaded):
    """The heart rate planted in each condition comes out of the windows of that condition."""
    rate = 60_000 / loaded.signals["bvp"][:, 0, cardiac.PULSE.names.index("interval_median")]
    planted = [HEART[trial.split("/")[1]] for trial in loaded.trial]
    np.testing.assert_allclose(rate, planted, atol=1.5)
    assert loaded.present["bvp"].all() and loaded.quality["bvp"].min() > 0.5
    # Planted: noise of 3/64 g on each of three axes.
    spread = loaded.signals["acc"][:, 0, features.MOTION.names.index("x_sd")]
    np.testing.assert_allclose(spread, 3 / 64, rtol=0.1)


def test_labels_are_the_report_of_the_condition(loaded):
    # S10, TSST, k = 1: answers 1 + (3 i + 1) % 5 = 2 5 3 1 4 | repeated; 23 of them, then Sad = 2.
    answered = np.array([1 + (3 * i + 1) % 5 for i in range(23)] + [2])
    row = loaded.trial.tolist().index("S10/TSST")
    np.testing.assert_allclose(loaded.labels[row + 2], answered / answered.sum(), rtol=1e-6)
    # S3, Base: the answer to Active is missing. The others are 1 + (3 i + 1) % 5 for i = 1 ... 22, and 2:
    # five each of 5, 3 and 1, four of 4, four of 2 (one of them Sad) -> median 3.
    others = np.array([1 + (3 * i + 1) % 5 for i in range(1, 23)] + [2])
    assert np.median(others) == 3
    row = loaded.trial.tolist().index("S3/Base")
    np.testing.assert_allclose(loaded.labels[row, 0], 3 / (3 + others.sum()), rtol=1e-6)
    assert "S3 1" in loaded.notes[-1]


@pytest.mark.parametrize(("labels", "count"), [("panas23", 23), ("dmer9", 9)])
def test_other_sets_of_labels(root, kept, loaded, labels, count):
    other = wesad.load(str(root), dataclasses.replace(SMALL, subjects=("S10",), labels=labels), kept)
    assert other.labels.shape == (15, count)
    assert set(other.subject) == {"S10"}
    assert len(other.notes) == 3  # no answer is missing here
    assert other.notes[0].startswith("subjects S10 (1 of the 15 official ones) gave 5 reports")


def test_both_devices(tmp_path):
    write_subject(tmp_path, recording("S2", chest=True), answers())
    settings = WesadConfig(devices="both", window_seconds=10.0, step_seconds=10.0)
    both = wesad.load(str(tmp_path), settings, str(tmp_path / "cache"))
    assert list(both.signals) == [
        *("bvp", "eda", "temp", "chest_ecg", "chest_eda", "chest_emg", "chest_resp", "chest_temp"),
        *("acc", "chest_acc"),
    ]
    assert [m for m, group in both.groups.items() if group == "behavioural"] == ["acc", "chest_acc"]
    assert both.labels.shape == (10, 24)
    rate = 60_000 / both.signals["chest_ecg"][:, 0, 0]
    np.testing.assert_allclose(rate, [HEART[t.split("/")[1]] for t in both.trial], atol=1.0)
    # Planted: a breath of 4 s; windows of 10 s that hold too few breaths do not know it.
    breath = both.signals["chest_resp"][:, 0, 0]
    known = both.present["chest_resp"] & np.isfinite(breath)
    assert known.any()
    np.testing.assert_allclose(breath[known], 4, atol=0.1)
    assert all(both.present[m].all() for m in both.signals if m != "chest_resp")


def test_the_chest_alone_can_be_chosen_where_the_wrist_is_missing(tmp_path):
    data = recording("S2", chest=True)
    del data["signal"]["wrist"]
    write_subject(tmp_path, data, answers())
    with pytest.raises(DataError, match=r"signal\['wrist'\]: is missing or empty; .*devices to 'chest', or"):
        wesad.load(str(tmp_path), SMALL, str(tmp_path / "cache"))
    settings = WesadConfig(devices="chest", window_seconds=10.0, step_seconds=10.0)
    chest = wesad.load(str(tmp_path), settings, str(tmp_path / "cache"))
    assert len(chest.signals) == 6 and all(m.startswith("chest_") for m in chest.signals)


def test_windows_do_not_cross_borders(tmp_path):
    """Conditions that begin between the samples of the slow signals lose that fraction, no window more."""
    label = np.zeros(700 * 60, np.int32)
    # Begins 100/700 s = .14 s after second 3 -> the first whole quarter is 3.25; ends .07 s after 11 -> 11.0.
    for k, code in enumerate((1, 2, 4, 3, 4)):
        label[700 * (3 + 10 * k) + 100 : 700 * (11 + 10 * k) + 50] = code
    runs = wesad.label_runs(label)
    assert runs[0] == (1, 13, 44)  # quarters: 3.25 s and 11.0 s
    assert [code for code, _, _ in runs] == [1, 2, 4, 3, 4]


def test_the_second_load_reads_no_pickle(tmp_path, monkeypatch):
    first = small(tmp_path, recording("S2"))
    pickle = tmp_path / "S2" / "S2.pkl"
    state = pickle.stat()
    pickle.write_bytes(b"x" * state.st_size)  # reading it now fails
    os.utime(pickle, ns=(state.st_mtime_ns, state.st_mtime_ns))

    def load(settings=SMALL):
        return wesad.load(str(tmp_path), settings, str(tmp_path / "cache"))

    second = load()
    for m in first.signals:
        np.testing.assert_array_equal(first.signals[m], second.signals[m])
        np.testing.assert_array_equal(first.quality[m], second.quality[m])
    np.testing.assert_array_equal(first.start, second.start)
    # Other windows or another version of the features: now the pickle has to be read.
    with pytest.raises(DataError, match="no plain data pickle"):
        load(dataclasses.replace(SMALL, step_seconds=10.0))
    monkeypatch.setattr(wesad, "VERSION", wesad.VERSION + 1)
    with pytest.raises(DataError, match="no plain data pickle"):
        load()


def test_a_sensor_that_fell_off_is_absent_there_and_only_there(tmp_path):
    data = recording("S2")
    data["signal"]["wrist"]["EDA"][: 4 * 24] = 0.0  # through the first condition
    data["signal"]["wrist"]["BVP"][:] = np.nan
    loaded = small(tmp_path, data)
    assert loaded.present["eda"].tolist() == [False] * 3 + [True] * 12
    assert not loaded.signals["eda"][:3].any() and loaded.signals["eda"][3:].any(2).all()
    assert not loaded.present["bvp"].any() and not loaded.quality["bvp"].any()
    assert loaded.present["acc"].all()


def test_windows_without_any_sensor_are_left_out(tmp_path):
    data = recording("S2")
    for key, rate in (("EDA", 4), ("BVP", 64), ("TEMP", 4), ("ACC", 32)):
        data["signal"]["wrist"][key][: rate * 24] = 0.0
    loaded = small(tmp_path, data)
    assert loaded.labels.shape == (12, 24) and loaded.trial[0] == "S2/TSST"
    assert loaded.notes[-1] == "3 windows left out: no modality is present"


def test_a_modality_of_which_a_window_supports_no_feature_is_absent(tmp_path):
    data = recording("S2")
    data["signal"]["wrist"]["BVP"][: 64 * 23] = pulse_wave([13.0], 23)[:, None]  # one beat: no rate
    loaded = small(tmp_path, data)
    assert loaded.present["bvp"].tolist() == [False] * 3 + [True] * 12
    assert not loaded.quality["bvp"][:3].any() and not loaded.signals["bvp"][:3].any()


def test_a_feature_that_a_window_does_not_support_is_missing_there(root, loaded, kept, monkeypatch):
    read = cache.cached

    def one_unknown(*arguments):
        held = {name: x.copy() for name, x in read(*arguments).items()}
        held["eda/values"][2, 1] = np.nan
        return held

    monkeypatch.setattr(cache, "cached", one_unknown)
    again = wesad.load(str(root), SMALL, kept)
    assert np.argwhere(np.isnan(again.signals["eda"])).tolist() == [[2, 0, 1], [17, 0, 1]]
    assert again.present["eda"].all() and not np.isnan(loaded.signals["eda"]).any()


def edit(key, change, sensor=""):
    """An entry of the recording, or a sensor of the wrist, replaced by a function of it."""

    def apply(data):
        held = data["signal"]["wrist"] if sensor else data
        held[sensor or key] = change(held[sensor or key])

    return apply


def bvp(change):
    return edit("", change, "BVP")


def code(change):
    return edit("label", change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("label"), "label: is missing"),
        (lambda d: d["signal"]["wrist"].pop("BVP"), r"\['BVP'\]: is missing; found"),
        (bvp(lambda x: "text"), r"\['BVP'\]: is str, no numbers"),
        (edit("", lambda x: x[:, :2], "ACC"), r"\['ACC'\]: has shape \(2560, 2\)"),
        (code(lambda x: x[:0]), "label: has 0 samples"),
        (code(lambda x: x.astype(float)), "label: is not a row of whole numbers"),
    ],
)
def test_bad_pickles_are_refused_in_words(tmp_path, change, words):
    data, path = recording("S2", seconds=12), tmp_path / "S2.pkl"
    change(data)
    path.write_bytes(python2_pickle(data))
    with pytest.raises(DataError, match=words) as caught:
        wesad.convert(str(path), "S2", "wrist", 10.0, 5.0)
    assert caught.value.file == str(path)


def quest(content):
    return lambda folder: (folder / "S2_quest.csv").write_bytes(content)


IN_ANOTHER_ORDER = "\r\n".join(answers(("Base", "Fun", "Medi 1", "TSST", "Medi 2"))).encode()


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (quest(b"# Subj;S3\r\n"), {}, "0 lines '# ORDER'"),
        (quest("\n".join(answers(subject="S3")).encode()), {}, "'S3'; wanted 'S2'"),
        (quest(b"\xff\xfe;"), {}, "S2_quest.csv: is no"),
        # Medi 1 and Medi 2 share a code, but TSST and Fun in the wrong order are noticed.
        (quest(IN_ANOTHER_ORDER), {}, r"codes \[1, 2, 4, 3, 4\], but S2_quest.csv lists Base, Fun"),
        (lambda f: f.rename(f.parent / "other"), {}, "holds no folder S2, S3"),
        (lambda f: f.parent.rename(f.parent.parent / "other"), {}, "is not a folder"),
        (None, {"subjects": ("S2", "S12")}, "holds no folder S12; found S2"),
        (None, {"devices": "both"}, r"'chest'\]: is missing or empty; set .*devices to 'wrist'"),
        (None, {"window_seconds": 30.0}, "condition 1 lasts 20 s, less than one window"),
    ],
)
def test_bad_folders_are_refused_in_words(tmp_path, change, settings, words):
    folder = write_subject(tmp_path / "WESAD", recording("S2"), answers())
    if change:
        change(folder)
    with pytest.raises(DataError, match=words):
        wesad.load(str(tmp_path / "WESAD"), dataclasses.replace(SMALL, **settings), str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ((10.1, 5.0), r"window_seconds = 10\.1: must be a multiple of 0\.25 s"),
        ((10.0, 0.1), r"step_seconds = 0\.1: must be a multiple"),
        ((4.0, 2.0), r"window_seconds = 4\.0: must be >= 5\.0"),
    ],
)
def test_lengths_that_the_signals_do_not_allow(root, kept, lengths, words):
    with pytest.raises(ConfigError, match=words):
        wesad.load(str(root), WesadConfig(window_seconds=lengths[0], step_seconds=lengths[1]), kept)


def test_real_recordings(tmp_path):
    """S5 (a missing answer) and S14 (Medi 2 before Medi 1), two minutes of each condition."""
    tool = SHARED / "tools" / "write_wesad.py"
    if not (SHARED / "data" / "wesad_wrist.npz").is_file() or not tool.is_file():
        pytest.skip("real WESAD recordings are not at hand (../shared)")
    python(tool, tmp_path, "--subjects", "S14,S5", "--seconds", "120")
    loaded = wesad.load(str(tmp_path), WesadConfig(), str(tmp_path / "cache"))
    assert loaded.labels.shape == (2 * 5 * 3, 24)  # windows at 0, 30 and 60 s
    in_order = [f"S14/{c}" for c in ("Base", "TSST", "Medi 2", "Fun", "Medi 1")]
    assert list(dict.fromkeys(loaded.trial[15:])) == in_order and "S5 1" in loaded.notes[-1]
    rated = loaded.labels / loaded.labels.min(1, keepdims=True)  # the lowest answer of every report is 1
    np.testing.assert_allclose(rated, np.round(rated), atol=1e-4)
    assert rated.max() == pytest.approx(5) and all(loaded.present[m].all() for m in loaded.signals)
    rate, level = 60_000 / loaded.signals["bvp"][:, 0, 0], loaded.signals["temp"][:, 0, 0]
    assert rate.min() > 45 and rate.max() < 150 and level.min() > 28 and level.max() < 37
    assert rate[loaded.stimulus == "TSST"].mean() > rate[loaded.stimulus == "Medi"].mean() + 5
