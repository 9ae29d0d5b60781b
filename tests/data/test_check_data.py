"""The validators: fifty planted issues, each named with file and place; none reported on clean data."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from hostile_pickles import call, text
from planted_issues import CLEAN, KIND, PICKLE, PLANTED, in_meta, in_npz, in_pickle, put
from python_process import SHARED, python

from mpcl_jax.cli import check as check_data
from mpcl_jax.config.data import DataConfig, WesadConfig
from mpcl_jax.data import pipeline
from mpcl_jax.data.dmer import files as dmer_files
from mpcl_jax.data.dmer import load as dmer
from mpcl_jax.data.io import safe_read
from mpcl_jax.data.validate import dmer as check_dmer
from mpcl_jax.data.validate import wesad as check_wesad
from mpcl_jax.data.validate.signals import channel_issues
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.types import DataError

GUARDED = safe_read.run_guarded
WINDOWS = WesadConfig(window_seconds=8.0, step_seconds=12.0)  # conditions of the fixture last 20 s


@pytest.fixture(scope="module", autouse=True)
def in_process():
    """Reads in this process: a child takes a second to start."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (check_wesad, check_dmer, dmer_files, dmer, safe_read, wesad):
            patch.setattr(module, "run_guarded", lambda function, *args: function(*args))
        patch.setattr(check_data, "WesadConfig", lambda: WINDOWS)
        yield


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    roots = {}
    for name, write in CLEAN.items():
        roots[name] = tmp_path_factory.mktemp(name)
        write(roots[name])
    return roots


@pytest.fixture
def changed(clean, tmp_path):
    """Copies clean data, changes the copy by functions of its folder, and returns the folder."""

    def make(data, *changes):
        root = shutil.copytree(clean[data], tmp_path / "data", dirs_exist_ok=True)
        for change in changes:
            change(root)
        return root

    return make


def in_every_file(change):
    """A change of the arrays of every subject of a folder."""

    def spoil(root):
        for number, file in enumerate(sorted(root.glob("*.npz"))):
            with np.load(file) as held:
                arrays = dict(held)
            change(arrays, number)
            np.savez(file, **arrays)

    return spoil


def run_on(root, kind="folder"):
    """What a run loads, or the error that it ends with."""
    cache = str(root.parent / "cache")
    return pipeline.load(DataConfig(kind=kind, path=str(root), cache=cache, wesad=WINDOWS))


# Numbers that are odd but can be meant: a run accepts them.
ACCEPTED = """stimulus of another trial; unsorted time; flat channel; clipped channel; face off
emotion never reported; NaN run; sensor off; Fahrenheit; acceleration in g; clipped wrist; chest signal lost
answers of another subject; channel stuck; electrode off; features not finite"""
COPY = "have the same signals"
IN_OTHER_WORDS = {
    "one subject twice": COPY,
    "subject copied": COPY,
    "clip without report": "video 8: no emotion",
    "swapped labels": "have different reports",
}


def lines_of(root: pathlib.Path, kind: str, file: str) -> list[str]:
    """The lines about `file`."""
    issues = check_data.examine(str(root), kind).issues
    assert all(issue.fix and "\n" not in "".join(issue) for issue in issues)
    return [check_data._line(f) for f in issues if pathlib.Path(f.file) == root / file]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_issue_is_named_and_refused_by_a_run_unless_it_can_be_meant(changed, name):
    planted = PLANTED[name]
    root = changed(planted.data, planted.spoil)
    lines = lines_of(root, KIND[planted.data], planted.file)
    assert any(planted.words in line for line in lines), lines
    if name in re.split("; |\n", ACCEPTED):
        run_on(root, KIND[planted.data])
        return
    with pytest.raises(DataError) as caught:
        run_on(root, KIND[planted.data])
    words = IN_OTHER_WORDS.get(name, planted.words)
    assert words.partition(" →")[0] in str(caught.value)


@pytest.mark.parametrize("name", CLEAN)
def test_clean_data_has_no_issue(clean, name):
    examined = check_data.examine(str(clean[name]), KIND[name])
    assert examined.issues == ()
    subjects = {"folder": 3, "wesad": 2, "features": 2, "signals": 1, "split": 1}
    assert examined.summary.subjects == subjects[name] and examined.summary.windows > 0


def test_every_issue_of_a_data_set_is_named_at_once(changed):
    names = "label row of zeros", "negative label", "wrong rate", "misspelt key", "face off"
    unused = in_meta(lambda meta: meta["modalities"].update(gait={"group": "behavioural"}))
    root = changed("folder", *(PLANTED[name].spoil for name in names), unused)
    found = check_data.to_text(check_data.examine(str(root), "folder"))
    for name in names:
        assert PLANTED[name].words in found, name
    assert "gait: is in no .npz file" in found and found.endswith("issues found")


def test_every_issue_of_meta_json_is_named_at_once(changed):
    meta = {"emotions": [{"name": ""}, {"name": "b"}], "modalities": {"1x": {}, "ecg": {"group": 3}}}
    meta["nmae"] = 1
    root = changed("folder", lambda root: (root / "meta.json").write_text(json.dumps(meta)))
    found = check_data.to_text(check_data.examine(str(root), "folder"))
    words = ("nmae: unknown", "emotions[0].valence", "emotions[1].valence", "'1x'", "modalities.ecg.group")
    assert all(word in found for word in (*words, "a usable meta.json: the files were not checked")), found


def test_windows_are_counted_as_the_loader_cuts_them(clean, tmp_path):
    loaded = wesad.load(str(clean["wesad"]), WINDOWS, cache=str(tmp_path))
    assert check_wesad.examine(str(clean["wesad"]), WINDOWS).summary.windows == len(loaded.labels)
    issues = check_wesad.examine(str(clean["wesad"]), WesadConfig()).issues
    assert any("condition 1 lasts 20 s, less than one window" in issue.what for issue in issues)


def test_a_hostile_pickle_is_one_issue_and_runs_nothing(changed, tmp_path, monkeypatch):
    monkeypatch.setattr(check_wesad, "run_guarded", GUARDED)
    canary = tmp_path / "canary"
    program = b"\x80\x02" + call("os", "system", text(f"touch {canary}")) + b"."
    root = changed("wesad", lambda root: (root / PICKLE).write_bytes(program))
    (line,) = lines_of(root, "wesad", PICKLE)
    assert "'os.system'" in line and not canary.exists()


def test_what_is_missing_and_what_is_constant_is_a_note_and_no_issue(changed):
    def change(arrays, _):
        arrays["face"][0, 2] = np.nan
        arrays["face"][:, 5] = 7.0 * (1 - 1e-16 * (np.arange(20) % 2))  # equal but for rounding of float64

    root = changed("folder", in_every_file(change))
    loaded = run_on(root)
    assert loaded.present["face"].sum() == 57  # one window a subject is absent, as in the clean data
    missing, constant = loaded.notes
    assert missing.startswith("face: 3 of 399 values are missing, in 3 of 57 windows; each is replaced")
    assert constant.startswith("face: 1 of 7 features have one value") and "(feature 5)" in constant
    examined = check_data.examine(str(root), "folder")
    assert not examined.issues
    assert "note        face: 1 of 7 features have one value" in check_data.to_text(examined)


def test_numbers_that_float32_makes_equal_are_rounding_and_not_one_subject(changed):
    def seconds(arrays, number):
        for m in ("ecg", "face"):
            x = 2.0 * np.arange(arrays[m].size).reshape(arrays[m].shape)
            arrays[m] = 1.7e9 + x % 5 + number / 8

    root = changed("folder", in_every_file(seconds))
    found = check_data.examine(str(root), "folder").issues
    assert len(found) == 6 and all("rounding of float32" in issue.what for issue in found)
    with pytest.raises(DataError, match="anna.npz: ecg, feature 0 .* rounding of float32 .*subtract"):
        run_on(root)


def test_copies_in_float32_are_one_subject_under_two_names(changed):
    def in_float32(root):
        held = dict(np.load(root / "anna.npz"))
        np.savez(root / "ben.npz", **held | {m: held[m].astype("f4") for m in ("ecg", "face")})

    root = changed("folder", in_float32)
    (issue,) = check_data.examine(str(root), "folder").issues
    assert issue.what == f"holds the same signals as {root / 'anna.npz'}"


def clean_signals_of_odd_shape():
    """Signals without a flaw, of quantities whose numbers repeat: name -> samples."""
    t = np.arange(4000) / 8
    rng = np.random.default_rng(0)
    return {
        "few samples": rng.normal(size=16),
        "coarse sine": np.round(20 * np.sin(t)),
        "slow coarse sine": np.round(15 * np.sin(t / 20)),
        "activation with a floor of 0": np.maximum(0, rng.normal(size=4000)),
        "share with a ceiling of 1": np.minimum(1, rng.normal(0.8, 0.2, 4000)),
        "oxygen in whole per cent": np.repeat(98 - rng.integers(0, 3, 4), 1000).astype(float),
        "heart rate in whole beats": np.round(65 + 3 * np.sin(t / 9)),
        "button": (rng.random(4000) > 0.99).astype(float),
    }


@pytest.mark.parametrize("name", clean_signals_of_odd_shape())
def test_a_clean_signal_has_no_issue(name):
    x = clean_signals_of_odd_shape()[name]
    assert channel_issues("file", "x", x[:, None], 8.0, 120.0) == []


def test_files_that_are_not_read_sessions_and_spellings_are_named(changed):
    def change(root):
        (root / "sub").mkdir()
        (root / "notes.txt").write_text("")
        (root / "carla.npz").rename(root / "sub" / "carla.NPZ")
        (root / "anna.npz").rename(root / "sub-01_ses-1.npz")
        held = dict(np.load(root / "ben.npz"))
        np.savez(root / "sub-01_ses-2.npz", **held | {"stimulus": np.char.add(held["stimulus"], " ")})
        (root / "ben.npz").unlink()

    examined = check_data.examine(str(changed("folder", change)), "folder")
    found = check_data.to_text(examined)
    for words in ("carla.NPZ: is not read", "look like sessions of one subject", "'clip0 ' and 'clip0'"):
        assert words in found, words
    assert examined.summary.subjects == 2 and "not read: notes.txt" in examined.summary.missing


def test_the_odd_part_is_blamed_and_not_the_majority(changed):
    four_hertz = in_pickle(lambda data: data.update(label=data["label"][::175]))
    (issue,) = check_data.examine(str(changed("wesad", four_hertz)), "wesad").issues
    assert issue.place == "label" and "= 4 per second" in issue.what


def test_a_value_far_outside_its_feature_is_named_and_refused_before_a_run(changed):
    root = changed("folder", in_npz("ben.npz", face=put(np.s_[4, 2], 1e24)))
    (issue,) = check_data.examine(str(root), "folder").issues
    assert issue.file.endswith("ben.npz") and "1e+24" in issue.what
    assert issue.place == "face: feature 2, row 4"
    with pytest.raises(DataError, match=r"ben, window .*: face: feature 2 is 1e\+24; .* write NaN"):
        run_on(root)


def test_the_command_ends_with_one_where_something_is_wrong(changed, capsys):
    root = changed("folder")
    assert check_data.run([str(root), "--kind", "folder"]) == 0
    assert capsys.readouterr().out.endswith("no issues found\n")
    PLANTED["negative label"].spoil(root)
    assert check_data.run([str(root), "--kind", "folder", "--json"]) == 1
    held = json.loads(capsys.readouterr().out)
    assert held["summary"]["windows"] == 60
    assert [f["place"] for f in held["issues"] if "negative" in f["what"]] == ["labels, row 9"]
    assert check_data.run([str(root), "--kind", "csv"]) == 2
    capsys.readouterr()
    assert check_data.run(["nowhere"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: nowhere: there is no such file or folder")
    (root / "empty").mkdir()
    assert check_data.run([str(root / "empty")]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2  # the issue, and no summary of a data set


@pytest.mark.skipif(
    not (SHARED / "data" / "dmer_feature_sample.mat").is_file(), reason="needs ../shared/data"
)
def test_the_published_sample_has_no_issue():
    examined = check_data.examine(str(SHARED / "data" / "dmer_feature_sample.mat"), "dmer")
    assert examined.issues == () and examined.summary.windows == 875


@pytest.mark.skipif(not (SHARED / "data" / "wesad_wrist.npz").is_file(), reason="needs ../shared/data")
def test_real_wrist_recordings_have_no_issue(tmp_path):
    python(SHARED / "tools" / "write_wesad.py", tmp_path, "--subjects", "S5,S14")
    examined = check_data.examine(str(tmp_path), "wesad")
    assert examined.issues == () and examined.summary.subjects == 2
