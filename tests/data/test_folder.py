"""A user's own folder: what is read, and what is refused with file, key and row."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from mpcl_jax.config.data import BY_TRIAL, PROTOCOLS, ProtocolConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.folder import load as own_data
from mpcl_jax.data.folder.files import sessions_of
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.types import DataError

META = {
    "emotions": [{"name": "joy", "valence": "positive"}, {"name": "fear", "valence": "negative"}],
    "modalities": {"ecg": {"group": "physiological"}, "face": {"group": "behavioural"}},
}


def subject(**changes) -> dict:
    """Four windows: two clips of two windows. A change to None removes the key."""
    rng = np.random.default_rng(0)
    held = {
        "labels": np.array([[1, 3], [1, 3], [2, 0], [2, 0]]),
        "ecg": rng.normal(size=(4, 3)),
        "face": rng.normal(size=(4, 5, 2)),
        "trial": np.array([7, 7, 8, 8]),
        "stimulus": np.array(["sea", "sea", "storm", "storm"]),
        "start": np.array([0.0, 5.0, 0.0, 5.0]),
    } | changes
    return {key: x for key, x in held.items() if x is not None}


def write(root, subjects: dict, meta=META):
    root.mkdir(exist_ok=True)
    (root / "meta.json").write_text(json.dumps(meta))
    for name, held in subjects.items():
        np.savez(root / f"{name}.npz", **held)
    return str(root)


def refusal(root) -> DataError:
    with pytest.raises(DataError) as caught:
        own_data.load(str(root))
    return caught.value


def refused_subject(tmp_path, **changes) -> str:
    """The reason why a file with these changes is refused, beside a good one."""
    error = refusal(write(tmp_path / "d", {"anna": subject(), "ben": subject(**changes)}))
    assert error.file == str(tmp_path / "d" / "ben.npz")
    return error.reason


def refused_meta(tmp_path, **changes) -> str:
    error = refusal(write(tmp_path / "d", {"anna": subject()}, META | changes))
    assert error.file == str(tmp_path / "d" / "meta.json")
    return error.reason


def test_a_whole_folder(tmp_path):
    root = write(tmp_path / "my set", {"ben": subject(), "anna": subject()}, META | {"window_seconds": 5})
    (tmp_path / "my set" / "notes.txt").write_text("not read")
    (tmp_path / "my set" / "._anna.npz").write_text("what macOS leaves on foreign disks")
    ours = own_data.load(root)
    assert (ours.name, ours.emotions, ours.valence) == ("my set", ("joy", "fear"), ("positive", "negative"))
    assert ours.groups == {"ecg": "physiological", "face": "behavioural"}
    assert ours.signals["ecg"].shape == (8, 1, 3) and ours.signals["face"].shape == (8, 5, 2)
    np.testing.assert_array_equal(ours.signals["ecg"][:4, 0], subject()["ecg"].astype(np.float32))
    # Rows (1, 3) and (2, 0) divided by their sums 4 and 2.
    np.testing.assert_array_equal(ours.labels[:4], np.float32([[0.25, 0.75]] * 2 + [[1, 0]] * 2))
    assert ours.subject.tolist() == ["anna"] * 4 + ["ben"] * 4
    assert ours.trial.tolist() == [f"{s}/{t}" for s in ("anna", "ben") for t in (7, 7, 8, 8)]
    assert ours.stimulus.tolist() == ["sea", "sea", "storm", "storm"] * 2
    assert ours.start.tolist() == [0, 5, 0, 5] * 2 and ours.duration == 5.0
    assert ours.present["ecg"].all() and (ours.quality["face"] == 1).all()
    assert ours.notes == () and ours.protocols == ()
    held = (ours.labels, ours.signals["ecg"], ours.quality["ecg"], ours.present["ecg"], ours.start)
    assert [x.dtype for x in held] == [np.float32, np.float32, np.float32, bool, np.float64]


def test_only_what_is_required(tmp_path):
    # The sum of these strengths is beyond float64; their distribution is not.
    held = subject(trial=None, stimulus=None, start=None, labels=np.full((4, 2), 1.5e308))
    ours = own_data.load(write(tmp_path / "d", {"a": held}, META | {"name": "Mine"}))
    assert ours.name == "Mine" and math.isnan(ours.duration)
    assert np.isnan(ours.start).all() and (ours.stimulus == "").all()
    np.testing.assert_array_equal(ours.labels, np.full((4, 2), np.float32(0.5)))


def test_absent_modalities_are_zeros_and_a_missing_feature_leaves_the_others(tmp_path):
    face = np.full((4, 5, 2), 3.0)
    face[1], face[2, 2, 0], face[3] = np.nan, np.nan, np.nan
    first = subject(face=face, present_face=np.array([1, 0, 1, 1]))
    ours = own_data.load(write(tmp_path / "d", {"a": first, "b": subject(face=None)}))
    assert ours.present["face"].tolist() == [True, False, True] + [False] * 5
    assert ours.quality["face"].tolist() == [1, 0, 1] + [0] * 5
    assert (ours.signals["face"][~ours.present["face"]] == 0).all() and (ours.signals["face"][0] == 3).all()
    assert np.argwhere(np.isnan(ours.signals["face"])).tolist() == [[2, 2, 0]]
    assert ours.present["ecg"].all()


def test_ids_may_be_numbers_or_text(tmp_path):
    for ids in (np.array([7, 7, 8, 8], "u1"), np.array(list("7788")), np.array([b"7", b"7", b"8", b"8"])):
        ours = own_data.load(write(tmp_path / "d", {"a": subject(trial=ids, stimulus=ids)}))
        assert ours.trial.tolist() == ["a/7", "a/7", "a/8", "a/8"] and ours.stimulus.tolist() == list("7788")


def test_without_trials_runs_of_equal_labels_and_stimulus_count(tmp_path):
    labels = np.array([[1, 1], [2, 2], [1, 3], [1, 3], [1, 1]])  # rows 0 and 1 are the same distribution
    stimulus = np.array(["x", "x", "x", "y", "y"])
    held = {"labels": labels, "ecg": np.ones((5, 3)), "stimulus": stimulus}
    ours = own_data.load(write(tmp_path / "d", {"a": held, "b": subject()}))
    assert ours.trial.tolist()[:5] == ["a/0", "a/0", "a/1", "a/2", "a/3"]
    assert "1 of 2 files name no trials (a.npz)" in ours.notes[0]
    assert set(PROTOCOLS) - set(ours.protocols) == set(BY_TRIAL)


def test_without_trials_trials_cannot_be_held_out(tmp_path):
    ours = own_data.load(write(tmp_path / "d", {name: subject(trial=None, start=None) for name in "abc"}))
    assert len(make_split(ours, ProtocolConfig(kind="subject_kfold", folds=3)).folds) == 3
    with pytest.raises(ConfigError, match="trial_kfold"):
        make_split(ours, ProtocolConfig(kind="trial_kfold", folds=2))
    ours = own_data.load(write(tmp_path / "e", {"a": subject(), "b": subject(stimulus=None)}))
    assert len(make_split(ours, ProtocolConfig(kind="trial_kfold", folds=2)).folds) == 2
    (note,) = ours.notes
    assert note == "not every window names its stimulus: protocols that hold out stimuli are not possible"


def test_raw_signals_fit_their_rate(tmp_path):
    meta = json.loads(json.dumps(META))
    meta["modalities"]["face"]["rate"] = 2.4  # 2 s at 2.4 per second = 4.8 samples, of which 5 were kept
    own_data.load(write(tmp_path / "d", {"a": subject()}, meta | {"window_seconds": 2}))
    error = refusal(write(tmp_path / "d", {"a": subject()}, meta | {"window_seconds": 4}))
    assert "face: has 5 samples a window; meta.json gives 2.4 per second for 4 s = 9.6" in error.reason


def changed(key: str, at, value) -> dict:
    x = subject()[key].astype(float)
    x[at] = value
    return {key: x}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": np.array([["a", "b"]] * 4)}, "labels: holds <U1 of shape (4, 2); wanted numbers"),
        ({"ecg": np.ones(4)}, "ecg: holds float64 of shape (4,); wanted numbers [windows, tokens, features]"),
        ({"ecg": np.ones((4, 3), complex)}, "ecg: holds complex128"),
        (changed("face", (0, 1, 1), 1e38), "feature 1 is 1e+38; allowed: up to ±1e+30, or NaN where the feature is"),
        ({"present_ecg": np.array([0, 1, 2, 1])}, "present_ecg: wanted one 0 or 1 per window"),
        ({"trial": np.ones(4)}, "trial: holds float64 of shape (4,); wanted one whole number or text"),
        ({"trial": np.array(["a", "", "b", "b"])}, "trial, row 1: has no name"),
        ({"trial": np.array(["a", "b\n", "b", "b"])}, "trial, row 1: wanted at most 100"),
        ({"stimulus": np.array([b"a", b"\xff", b"b", b"b"])}, "stimulus, row 1: wanted at most 100 printable"),
        ({"stimulus": np.array(["x" * 101] * 4)}, "stimulus, rows 0, 1, 2, 3: wanted at most 100"),
        ({"subject": 1.0}, "subject: holds float64 of shape (1,); wanted one whole number or text"),
        ({"subject": np.array(["a", "a", "b", "b"])}, "subject: wanted one id for the whole file"),
        (changed("start", 1, np.inf), "start, row 1: infinite"),
        ({"start": np.array(["0"] * 4)}, "start: holds <U1"),
        ({"ecg": np.array([[None]] * 4)}, "save numbers, truth values or text"),
    ],
)  # fmt: skip
def test_subjects_are_refused_by_file_key_and_row(tmp_path, changes, reason):
    assert reason in refused_subject(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"emotions": ["joy", "fear"]}, "emotions[0]: should be an object, got 'joy'"),
        ({"emotions": [{"name": "", "valence": "x"}] * 2}, "emotions[0].name: wanted 1 to 100"),
        ({"emotions": [{"name": "a", "valence": "b", "vlence": 1}] * 2}, "emotions[0].vlence: unknown; did you mean"),
        ({"modalities": {"ecg": {"grp": ""}}}, "modalities.ecg.grp: unknown; did you mean 'group'?"),
        ({"modalities": {"../x": {"group": "physiological"}}}, "modalities: '../x' is no name"),
        ({"modalities": {"present_x": {"group": "physiological"}}}, "'present_x' has another meaning"),
        ({"modalities": {"ecg": {"group": "physiological", "rate": -1}}}, "ecg.rate: should be greater than 0"),
        ({"window_seconds": math.nan}, "window_seconds: should be a finite number"),
        ({"name": "<b>\n"}, "name: wanted 1 to 100 printable"),
    ],
)  # fmt: skip
def test_meta_is_refused_by_entry(tmp_path, changes, reason):
    assert reason in refused_meta(tmp_path, **changes)


def test_folders_that_are_none(tmp_path):
    assert "not a folder" in refusal(tmp_path / "none").reason
    assert refusal(tmp_path).file == str(tmp_path / "meta.json")
    assert "holds no .npz file" in refusal(write(tmp_path / "d", {})).reason
    for text, words in (("[]", "the file: should be an object"), ("{", "line 1")):
        (tmp_path / "d" / "meta.json").write_text(text)
        assert words in refusal(tmp_path / "d").reason
    error = refusal(write(tmp_path / "d", {"a": subject(face=None)}))
    assert error.file == str(tmp_path / "d") and "face: is in no .npz file" in error.reason


def test_npz_files_that_are_not_read_are_named(tmp_path):
    root = tmp_path / "d"
    write(root, {"anna": subject(), "ben": subject(), "carla": subject()})
    (root / "ben.npz").rename(root / "ben.NPZ")
    (root / "sub").mkdir()
    (root / "carla.npz").rename(root / "sub" / "carla.npz")
    (root / ".hidden.npz").write_bytes(b"")
    loaded = own_data.load(str(root))
    assert set(loaded.subject.tolist()) == {"anna"}
    assert loaded.notes == ("not read: ben.NPZ, sub/carla.npz; only *.npz directly in the folder is",)
    (root / "anna.npz").unlink()
    assert "name it ben.npz" in refusal(root).reason


@pytest.mark.parametrize(
    ("stems", "groups"),
    [
        (("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"), ["sub-01"]),
        (("anna_session1", "anna_session2"), ["anna"]),
        (("S1_2020-01-02", "S1_2020-01-09", "S2_2020-01-02"), ["S1"]),
        (("D1_1_ID_1", "D1_1_ID_2", "D1_2_ID_1", "D1_2_ID_2"), []),
        (("control_01", "control_02", "patient_01", "patient_02"), []),
        (("S2", "S3", "S10"), []),
    ],
)
def test_names_that_look_like_sessions(stems, groups):
    assert list(sessions_of(stems)) == groups


def test_sessions_are_pointed_out_and_can_be_given(tmp_path):
    stems = ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1", "sub-02_ses-2")
    loaded = own_data.load(write(tmp_path / "d", {stem: subject() for stem in stems}))
    assert len(set(loaded.subject)) == 4
    assert "sub-01_ses-1, sub-01_ses-2 look like sessions" in loaded.notes[0]
    ids = (np.array("sub-01"), np.full(4, " sub-01"), np.array(["sub-02"]), "sub-02")
    held = {stem: subject(subject=x) for stem, x in zip(stems, ids, strict=True)}
    loaded = own_data.load(write(tmp_path / "d", held))
    assert loaded.notes == () and Counter(loaded.subject.tolist()) == {"sub-01": 8, "sub-02": 8}
    assert len(set(loaded.trial)) == 8  # trial 7 of one session is not that of another


def test_a_file_joined_by_its_name_alone_is_noted(tmp_path):
    loaded = own_data.load(write(tmp_path / "d", {"anna": subject(), "ben": subject(subject="anna")}))
    assert set(loaded.subject) == {"anna"}
    assert loaded.notes == (
        "anna.npz names no subject and counts as 'anna' by its name; ben.npz names the same subject: rename the "
        "first if it is of another subject",
    )


@pytest.mark.parametrize(
    ("name", "held", "words"),
    [
        ("ben", {"stimulus": np.array(["Sea", "Sea", "storm", "storm"])}, "'Sea' and 'sea' of anna.npz"),
        ("ben", {"stimulus": np.array(["sea ", "sea ", "storm", "storm"])}, "stimulus: 'sea ' and 'sea' of"),
        ("Anna", {}, "subject: 'anna' and 'Anna' of Anna.npz"),
        ("ben", {"trial": np.array(["a", "a", "A", "A"])}, "trial: 'ben/A' and 'ben/a' differ in capital"),
    ],
)
def test_names_that_differ_in_case_or_blanks_only(tmp_path, name, held, words):
    assert words in refusal(write(tmp_path / "d", {"anna": subject(), name: subject(**held)})).reason


OF_STIMULUS = META | {
    "modalities": META["modalities"] | {"audio": {"group": "behavioural", "of": "stimulus"}},
    "window_seconds": 5,
}
OTHER_ORDER = np.array(["storm", "storm", "sea", "sea"])
AUDIO = np.random.default_rng(1).normal(size=(4, 6))


def test_a_modality_of_the_stimulus_is_equal_for_every_subject(tmp_path):
    held = {"anna": subject(audio=AUDIO), "ben": subject(audio=AUDIO[[2, 3, 0, 1]], stimulus=OTHER_ORDER)}
    assert own_data.load(write(tmp_path / "d", held, OF_STIMULUS)).of_stimulus == ("audio",)
    own = subject(audio=AUDIO + [[0], [0], [1e-2], [0]])
    reason = refusal(write(tmp_path / "d", held | {"ben": own}, OF_STIMULUS)).reason
    assert "audio, row 2: differs from row 2 of anna.npz" in reason and "'storm' at 0.000 s" in reason
    nameless = {"anna": subject(audio=AUDIO, stimulus=None)}
    assert "give `stimulus`" in refusal(write(tmp_path / "e", nameless, OF_STIMULUS)).reason


def test_odd_names_of_files_stay_labels(tmp_path):
    """Ids come from file names; the ones that could garble a report are refused, the rest never opened as paths."""
    names = ["..", "<script>", "a b", "é", "S 1; rm -rf"]
    root = write(tmp_path / "d", {f"x{name}": subject() for name in names})
    before = sorted(tmp_path.rglob("*"))
    assert set(own_data.load(root).subject.tolist()) == {f"x{name}" for name in names}
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "d" / "a\nb.npz").write_bytes((tmp_path / "d" / "xé.npz").read_bytes())
    assert "no name for a subject" in refusal(root).reason
