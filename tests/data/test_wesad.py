"""The WESAD loader on small folders in the published format, and on real recordings where they are at hand."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_cardiac import pulse_wave
from wesad_fixture import HEART, ORDER, answers, python2_pickle, recording, write_subject

from mpcl_jax.config.data import WesadConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.features import cardiac, features
from mpcl_jax.data.io import cache
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.types import DataFileError, spec_of

SMALL = WesadConfig(window_seconds=10.0, step_seconds=5.0)
SWAPPED = ("Base", "Fun", "Medi 2", "TSST", "Medi 1")
SHARED = Path(__file__).resolve().parents[2].parent / "shared"


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
    rate = 60_000 / loaded.signals["bvp"][:, 0, cardiac.PULSE_NAMES.index("interval_median")]
    planted = [HEART[trial.split("/")[1]] for trial in loaded.trial]
    np.testing.assert_allclose(rate, planted, atol=1.5)
    assert loaded.present["bvp"].all() and loaded.quality["bvp"].min() > 0.5
    # Planted: noise of 3/64 g on each of three axes.
    spread = loaded.signals["acc"][:, 0, features.MOTION_NAMES.index("x_sd")]
    np.testing.assert_allclose(spread, 3 / 64, rtol=0.1)


def test_labels_are_the_report_of_the_condition(loaded):
    # S10, TSST, k = 1: answers 1 + (3 i + 1) % 5 = 2 5 3 1 4 | repeated; 23 of them, then Sad = 2.
    answered = np.array([1 + (3 * i + 1) % 5 for i in range(23)] + [2])
    row = loaded.trial.tolist().index("S10/TSST")
    np.testing.assert_allclose(
        loaded.labels[row : row + 3], np.tile(answered / answered.sum(), (3, 1)), rtol=1e-6
    )
    # S3, Base: the answer to Active is missing. The others are 1 + (3 i + 1) % 5 for i = 1 ... 22, and 2:
    # five each of 5, 3 and 1, four of 4, four of 2 (one of them Sad) -> median 3.
    others = np.array([1 + (3 * i + 1) % 5 for i in range(1, 23)] + [2])
    assert np.median(others) == 3
    row = loaded.trial.tolist().index("S3/Base")
    np.testing.assert_allclose(loaded.labels[row, 0], 3 / (3 + others.sum()), rtol=1e-6)
    assert "S3 1" in loaded.notes[-1]


@pytest.mark.parametrize(("labels", "count"), [("panas23", 23), ("dmer9", 9)])
def test_other_sets_of_labels(root, kept, loaded, labels, count):
    settings = WesadConfig(subjects=("S10",), labels=labels, window_seconds=10.0, step_seconds=5.0)
    other = wesad.load(str(root), settings, kept)
    assert other.labels.shape == (15, count)
    assert set(other.subject) == {"S10"}
    assert len(other.notes) == 3  # no answer is missing here


def test_the_second_load_reads_no_pickle(tmp_path, monkeypatch):
    folder = write_subject(tmp_path / "data", recording("S2"), answers())
    pickle, kept = folder / "S2.pkl", str(tmp_path / "cache")
    first = wesad.load(str(tmp_path / "data"), SMALL, kept)
    state = pickle.stat()
    pickle.write_bytes(b"x" * state.st_size)  # reading it now fails
    os.utime(pickle, ns=(state.st_mtime_ns, state.st_mtime_ns))
    second = wesad.load(str(tmp_path / "data"), SMALL, kept)
    for m in first.signals:
        np.testing.assert_array_equal(first.signals[m], second.signals[m])
        np.testing.assert_array_equal(first.quality[m], second.quality[m])
    np.testing.assert_array_equal(first.start, second.start)
    # Other windows or another version of the features: now the pickle has to be read.
    with pytest.raises(DataFileError, match="no plain data pickle"):
        wesad.load(str(tmp_path / "data"), WesadConfig(window_seconds=10.0, step_seconds=10.0), kept)
    with monkeypatch.context() as patch, pytest.raises(DataFileError, match="no plain data pickle"):
        patch.setattr(wesad, "VERSION", wesad.VERSION + 1)
        wesad.load(str(tmp_path / "data"), SMALL, kept)


def test_the_cache_defaults_to_the_folder_of_the_user(root, loaded, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "user_folder", lambda: tmp_path)
    args = []
    monkeypatch.setattr(cache, "cached", lambda folder, *rest: args.append(folder) or {"codes": []})
    with pytest.raises(DataFileError, match="do not belong together"):
        wesad.load(str(root), SMALL)
    assert set(args) == {tmp_path / "wesad"}


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


def test_a_sensor_that_fell_off_is_absent_there_and_only_there(tmp_path):
    data = recording("S2")
    data["signal"]["wrist"]["EDA"][: 4 * 24] = 0.0  # through the first condition
    data["signal"]["wrist"]["BVP"][:] = np.nan
    write_subject(tmp_path, data, answers())
    loaded = wesad.load(str(tmp_path), SMALL, str(tmp_path / "cache"))
    assert loaded.present["eda"].tolist() == [False] * 3 + [True] * 12
    assert not loaded.signals["eda"][:3].any() and loaded.signals["eda"][3:].any(2).all()
    assert not loaded.present["bvp"].any() and not loaded.quality["bvp"].any()
    assert loaded.present["acc"].all()


def test_windows_without_any_sensor_are_left_out(tmp_path):
    data = recording("S2")
    for key, rate in (("EDA", 4), ("BVP", 64), ("TEMP", 4), ("ACC", 32)):
        data["signal"]["wrist"][key][: rate * 24] = 0.0
    write_subject(tmp_path, data, answers())
    loaded = wesad.load(str(tmp_path), SMALL, str(tmp_path / "cache"))
    assert loaded.labels.shape == (12, 24) and loaded.trial[0] == "S2/TSST"
    assert loaded.notes[-1] == "3 windows left out: no sensor was worn"


def test_a_modality_of_which_a_window_supports_no_feature_is_absent(tmp_path):
    for subject, faster in (("S2", 0), ("S3", 20)):
        data = recording(subject, faster=faster)
        data["signal"]["wrist"]["BVP"][: 64 * 23] = pulse_wave([13.0], 23)[
            :, None
        ]  # one beat: no rate, no rhythm
        write_subject(tmp_path, data, answers(subject=subject))
    loaded = wesad.load(str(tmp_path), SMALL, str(tmp_path / "cache"))
    present, quality = (x["bvp"].reshape(2, 15) for x in (loaded.present, loaded.quality))
    assert not quality[:, :3].any() and present.tolist() == [[False] * 3 + [True] * 12] * 2
    assert not loaded.signals["bvp"][~loaded.present["bvp"]].any()


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


def test_windows_do_not_cross_borders(tmp_path):
    """Conditions that begin between the samples of the slow signals lose that fraction, no window more."""
    label = np.zeros(700 * 60, np.int32)
    # Begins 100/700 s = .14 s after second 3 -> the first whole quarter is 3.25; ends .07 s after 11 -> 11.0.
    for k, code in enumerate((1, 2, 4, 3, 4)):
        label[700 * (3 + 10 * k) + 100 : 700 * (11 + 10 * k) + 50] = code
    runs = wesad.label_runs(label)
    assert runs[0] == (1, 13, 44)  # quarters: 3.25 s and 11.0 s
    assert [code for code, _, _ in runs] == [1, 2, 4, 3, 4]


def broken(change, devices="wrist", window=10.0):
    """A function that converts, in this process, a recording that `change` has damaged."""

    def run(tmp_path):
        data = recording("S2", seconds=12)
        change(data)
        path = tmp_path / "S2.pkl"
        path.write_bytes(python2_pickle(data))
        return wesad.convert(str(path), "S2", devices, window, 5.0)

    return run


def set_wrist(key, change):
    def apply(data):
        data["signal"]["wrist"][key] = change(data["signal"]["wrist"][key])

    return apply


def set_label(change):
    def apply(data):
        data["label"] = change(data["label"])

    return apply


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (broken(lambda d: None, "both"), r"signal\['chest'\]: is missing or empty; set config.data.wesad.devices to"),
        (broken(lambda d: d.pop("label")), "label: is missing"),
        (broken(lambda d: d.update(subject="S3")), "belongs to 'S3'; wanted 'S2'"),
        (broken(lambda d: d.update(signal="none")), r"signal\['wrist'\]: is missing or empty"),
        (broken(lambda d: d["signal"].pop("wrist")), r"signal\['wrist'\]: is missing or empty; it is always needed"),
        (broken(set_label(lambda x: x[::175])), "label: has 320 samples for 80 s of signals = 4 per second"),
        (broken(lambda d: d["signal"]["wrist"].pop("BVP")), r"\['BVP'\]: is missing; found"),
        (broken(set_wrist("BVP", lambda x: "text")), r"\['BVP'\]: is str, no numbers"),
        (broken(set_wrist("BVP", lambda x: x[:-1])), r"\['BVP'\]: has 5119 samples for 80 s .* wanted 5120 = 64 Hz"),
        (broken(set_wrist("ACC", lambda x: x[:, :2])), r"\['ACC'\]: has shape \(2560, 2\)"),
        (broken(set_label(lambda x: x[:-1])), "label: has 55999 samples; wanted whole seconds"),
        (broken(set_label(lambda x: x[:0])), "label: has 0 samples"),
        (broken(set_label(lambda x: x.astype(float))), "label: is not a row of whole numbers"),
        (broken(set_label(lambda x: x[:, None])), "label: is not a row of whole numbers"),
        (broken(set_label(lambda x: np.where(x == 3, 0, x))), r"codes \[1, 2, 4, 4\]; wanted one run of 1, 2 and 3"),
        (broken(lambda d: None, window=20.0), "condition 1 lasts 12 s, less than one window"),
    ],
)  # fmt: skip
def test_bad_pickles_are_refused_in_words(tmp_path, run, words):
    with pytest.raises(DataFileError, match=words) as caught:
        run(tmp_path)
    assert caught.value.file == str(tmp_path / "S2.pkl")


def test_an_error_in_the_child_arrives_as_itself(tmp_path):
    data = recording("S2", seconds=12)
    data["label"][:] = 0
    write_subject(tmp_path, data, answers())
    with pytest.raises(DataFileError, match=r"runs have the codes \[\]"):
        wesad.load(str(tmp_path), SMALL, str(tmp_path / "cache"))


def test_order_and_labels_must_agree(root, loaded, kept, tmp_path):
    """Medi 1 and Medi 2 share a code, but TSST and Fun in the wrong order are noticed; also from the cache."""
    quest = root / "S10" / "S10_quest.csv"
    sound = quest.read_bytes()
    quest.write_bytes("\r\n".join(answers(("Base", "Fun", "Medi 1", "TSST", "Medi 2"), "S10")).encode())
    try:
        with pytest.raises(
            DataFileError, match=r"codes \[1, 2, 4, 3, 4\], but S10_quest.csv lists Base, Fun"
        ):
            wesad.load(str(root), SMALL, kept)
    finally:
        quest.write_bytes(sound)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "S2_quest.csv").unlink(), "S2_quest.csv: is missing"),
        (lambda f: (f / "S2.pkl").unlink(), "S2.pkl: is missing"),
        (lambda f: (f / "S2_quest.csv").write_bytes(b"# Subj;S3\r\n"), "0 lines '# ORDER'"),
        (
            lambda f: (f / "S2_quest.csv").write_bytes("\n".join(answers(subject="S3")).encode()),
            "'S3'; wanted 'S2'",
        ),
        (lambda f: (f / "S2_quest.csv").write_bytes(b"\xff\xfe;"), "S2_quest.csv: is no"),
    ],
)
def test_bad_folders_are_refused_in_words(tmp_path, change, words):
    change(write_subject(tmp_path, {**recording("S2", seconds=5)}, answers()))
    with pytest.raises(DataFileError, match=words):
        wesad.load(str(tmp_path), SMALL, str(tmp_path / "cache"))


def test_a_root_without_subjects(tmp_path):
    with pytest.raises(DataFileError, match="is not a folder"):
        wesad.load(str(tmp_path / "none"), SMALL, str(tmp_path))
    with pytest.raises(DataFileError, match="holds no folder S2, S3"):
        wesad.load(str(tmp_path), SMALL, str(tmp_path))


def test_a_subject_that_is_not_there(root, kept):
    settings = WesadConfig(subjects=("S3", "S12"), window_seconds=10.0, step_seconds=5.0)
    with pytest.raises(DataFileError, match="holds no folder S12; found S3, S10"):
        wesad.load(str(root), settings, kept)


@pytest.mark.parametrize(
    ("window", "step", "words"),
    [
        (10.1, 5.0, r"window_seconds = 10\.1: must be a multiple of 0\.25 s"),
        (10.0, 0.1, r"step_seconds = 0\.1: must be a multiple"),
        (4.0, 2.0, r"window_seconds = 4\.0: must be >= 5\.0"),
    ],
)
def test_lengths_that_the_signals_do_not_allow(root, kept, window, step, words):
    with pytest.raises(ConfigError, match=words):
        wesad.load(str(root), WesadConfig(window_seconds=window, step_seconds=step), kept)


def test_real_recordings(tmp_path):
    """S5 (a missing answer) and S14 (Medi 2 before Medi 1), two minutes of each condition."""
    tool = SHARED / "tools" / "write_wesad.py"
    if not (SHARED / "data" / "wesad_wrist.npz").is_file() or not tool.is_file():
        pytest.skip("real WESAD recordings are not at hand (../shared)")
    command = [sys.executable, str(tool), str(tmp_path), "--subjects", "S14,S5", "--seconds", "120"]
    subprocess.run(command, check=True, capture_output=True)
    loaded = wesad.load(str(tmp_path), WesadConfig(), str(tmp_path / "cache"))
    assert loaded.labels.shape == (2 * 5 * 3, 24)  # windows at 0, 30 and 60 s
    assert list(dict.fromkeys(loaded.trial[15:])) == [
        f"S14/{c}" for c in ("Base", "TSST", "Medi 2", "Fun", "Medi 1")
    ]
    rated = loaded.labels / loaded.labels.min(1, keepdims=True)  # the lowest answer of every report is 1
    np.testing.assert_allclose(rated, np.round(rated), atol=1e-4)
    assert rated.max() == pytest.approx(5)
    np.testing.assert_allclose(rated[:, loaded.emotions.index("Sad")], 1, atol=1e-4)
    assert "S5 1" in loaded.notes[-1]
    assert all(loaded.present[m].all() for m in loaded.signals)
    rate, level = 60_000 / loaded.signals["bvp"][:, 0, 0], loaded.signals["temp"][:, 0, 0]
    assert rate.min() > 45 and rate.max() < 150 and level.min() > 28 and level.max() < 37
    assert rate[loaded.stimulus == "TSST"].mean() > rate[loaded.stimulus == "Medi"].mean() + 5
