"""The validators: fifty planted issues, each named with file and place; none reported on clean data."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from planted_issues import CLEAN, KIND, PICKLE, PLANTED, in_meta, in_pickle

from mpcl_jax.cli import check as check_data
from mpcl_jax.config.data import DataConfig, WesadConfig
from mpcl_jax.data import pipeline
from mpcl_jax.data.dmer import files as dmer_files
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.data.issues import Summary
from mpcl_jax.data.validate import dmer as check_dmer
from mpcl_jax.data.validate import wesad as check_wesad
from mpcl_jax.data.validate.signals import channel_issues
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.types import DataFileError

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOWS = WesadConfig(window_seconds=8.0, step_seconds=3.0)  # conditions of the fixture last 20 s
NOTHING_HELD = Summary(0, 0, {}, (), ())
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module", autouse=True)
def in_process():
    """Reads in this process: a child takes a second to start."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (check_wesad, check_dmer):
            patch.setattr(module, "run_guarded", lambda function, *args: function(*args))
        patch.setattr(check_data, "WesadConfig", lambda: WINDOWS)
        patch.setattr(dmer_files, "run_guarded", lambda function, *args: function(*args))
        yield


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    roots = {}
    for name, write in CLEAN.items():
        roots[name] = tmp_path_factory.mktemp(name)
        write(roots[name])
    return roots


def lines_of(root: pathlib.Path, kind: str, file: str) -> list[str]:
    """The lines about `file`."""
    issues = check_data.examine(str(root), kind).issues
    assert all(issue.fix and "\n" not in "".join(issue) for issue in issues)
    return [check_data._line(f) for f in issues if pathlib.Path(f.file) == root / file]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_issue_is_named(clean, tmp_path, name):
    planted = PLANTED[name]
    root = tmp_path / "data"
    shutil.copytree(clean[planted.data], root)
    planted.spoil(root)
    lines = lines_of(root, KIND[planted.data], planted.file)
    assert any(planted.words in line for line in lines), lines


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_lines_of_clean_data(clean, name):
    examined = check_data.examine(str(clean[name]), KIND[name])
    assert examined.issues == ()
    subjects = {"folder": 3, "wesad": 2, "features": 2, "signals": 1, "split": 1}
    assert examined.summary.subjects == subjects[name] and examined.summary.windows > 0


def test_missing_values_are_no_issue_since_a_run_replaces_them(clean, tmp_path):
    shutil.copytree(clean["folder"], tmp_path / "data")
    with np.load(tmp_path / "data" / "ben.npz") as held:
        arrays = dict(held)
    arrays["ecg"][5, 3:9] = np.nan
    np.savez(tmp_path / "data" / "ben.npz", **arrays)
    assert not check_data.examine(str(tmp_path / "data"), "folder").issues


def test_every_issue_of_a_data_set_is_named_at_once(clean, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(clean["folder"], root)
    names = (
        "label row of zeros",
        "negative label",
        "wrong rate",
        "misspelt key",
        "face off",
        "unsorted time",
    )
    for name in names:
        PLANTED[name].spoil(root)
    in_meta(lambda meta: meta["modalities"].update(gait={"group": "behavioural"}))(root)
    text = check_data.to_text(check_data.examine(str(root), "folder"))
    for name in names:
        assert PLANTED[name].words in text, name
    assert "gait: is in no .npz file" in text and text.endswith("issues found")


def test_every_issue_of_meta_json_is_named_at_once(clean, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(clean["folder"], root)
    meta = {
        "emotions": [{"name": ""}, {"name": "b"}],
        "modalities": {"1x": {}, "ecg": {"group": 3}},
        "nmae": 1,
    }
    (root / "meta.json").write_text(json.dumps(meta))
    text = check_data.to_text(check_data.examine(str(root), "folder"))
    for words in (
        "nmae: unknown",
        "emotions[0].valence",
        "emotions[1].valence",
        "'1x'",
        "modalities.ecg.group",
        "a usable meta.json: the files were not checked",
    ):
        assert words in text, words


def test_windows_are_counted_as_the_loader_cuts_them(clean, tmp_path):
    loaded = wesad.load(str(clean["wesad"]), WINDOWS, cache=str(tmp_path))
    assert check_wesad.examine(str(clean["wesad"]), WINDOWS).summary.windows == len(loaded.labels)


def test_a_hostile_pickle_is_one_issue_and_runs_nothing(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(check_wesad, "run_guarded", run_guarded)
    root = tmp_path / "data"
    shutil.copytree(clean["wesad"], root)
    shutil.rmtree(root / "S2")
    canary = tmp_path / "canary"
    (root / PICKLE).write_bytes(
        b"\x80\x02cos\nsystem\nX\x20\x00\x00\x00" + f"touch {canary}".encode().ljust(32) + b"\x85R."
    )
    (line,) = lines_of(root, "wesad", PICKLE)
    assert "'os.system'" in line and not canary.exists()


def test_conditions_shorter_than_a_window_are_named_as_the_loader_does(clean):
    examined = check_wesad.examine(str(clean["wesad"]), WesadConfig())
    assert any("condition 1 lasts 20 s, less than one window" in issue.what for issue in examined.issues)


def test_a_run_refuses_one_subject_under_two_names(clean, tmp_path):
    settings = DataConfig(kind="folder", path=str(tmp_path / "data"))
    shutil.copytree(clean["folder"], tmp_path / "data")
    assert len(set(pipeline.load(settings).subject)) == 3
    shutil.copy(tmp_path / "data" / "ben.npz", tmp_path / "data" / "dora.npz")
    with pytest.raises(
        DataFileError, match="subjects ben and dora have the same signals; remove one.*mpcl check"
    ):
        pipeline.load(settings)


def test_a_run_notes_what_is_missing_and_what_is_constant(clean, tmp_path):
    shutil.copytree(clean["folder"], tmp_path / "data")
    for file in (tmp_path / "data").glob("*.npz"):
        with np.load(file) as held:
            arrays = dict(held)
        arrays["face"][0, 2], arrays["face"][:, 5] = np.nan, 7.0
        np.savez(file, **arrays)
    loaded = pipeline.load(DataConfig(kind="folder", path=str(tmp_path / "data")))
    assert loaded.present["face"].sum() == 57  # one window a subject is absent, as in the clean data
    assert loaded.notes[0].startswith(
        "face: 3 of 399 values are missing, in 3 of 57 windows; each is replaced"
    )
    assert (
        loaded.notes[1].startswith("face: 1 of 7 features have one value")
        and "(feature 5)" in loaded.notes[1]
    )


def test_a_run_tells_rounding_to_float32_from_one_subject_under_two_names(clean, tmp_path):
    shutil.copytree(clean["folder"], tmp_path / "data")
    for file in (tmp_path / "data").glob("*.npz"):
        with np.load(file) as held:
            arrays = dict(held)
        arrays |= {m: 1.7e9 + arrays[m] - arrays[m].min() for m in ("ecg", "face")}
        np.savez(file, **arrays)
    settings = DataConfig(kind="folder", path=str(tmp_path / "data"))
    with pytest.raises(
        DataFileError,
        match="anna.npz: ecg, feature 0 .* less than the rounding of float32 .*subtract a constant",
    ):
        pipeline.load(settings)


def spoilt(clean, tmp_path, data, change) -> list:
    """The issues of clean data after `change` of the copied folder."""
    root = tmp_path / "data"
    shutil.copytree(clean[data], root)
    change(root)
    return list(check_data.examine(str(root), KIND[data]).issues)


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
def test_nothing_is_lines_of_a_clean_signal(name):
    x = clean_signals_of_odd_shape()[name]
    assert channel_issues("file", "x", x[:, None], 8.0, 120.0) == []


def test_what_the_run_refuses_is_named_and_copies_are_compared_as_the_run_does(clean, tmp_path):
    def in_float32(root):
        held = dict(np.load(root / "anna.npz"))
        np.savez(root / "ben.npz", **held | {m: held[m].astype("f4") for m in ("ecg", "face")})

    found = spoilt(clean, tmp_path, "folder", in_float32)
    assert [issue.what for issue in found] == [f"holds the same signals as {tmp_path / 'data' / 'anna.npz'}"]


def test_numbers_that_float32_makes_equal_are_rounding_and_not_one_subject(clean, tmp_path):
    def seconds(root):
        for number, name in enumerate(("anna", "ben", "carla")):
            held = dict(np.load(root / f"{name}.npz"))
            face = 1.7e9 + np.arange(20 * 7.0).reshape(20, 7) % 5 + number / 8
            ecg = 1.7e9 + np.arange(20 * 32 * 2.0).reshape(20, 32, 2) % 5 + number / 8
            np.savez(root / f"{name}.npz", **held | {"face": face, "ecg": ecg})

    found = spoilt(clean, tmp_path, "folder", seconds)
    assert len(found) == 6 and all("rounding of float32" in issue.what for issue in found)


def test_files_that_are_not_read_sessions_and_spellings_are_named(clean, tmp_path):
    def change(root):
        (root / "sub").mkdir()
        (root / "notes.txt").write_text("")
        (root / "carla.npz").rename(root / "sub" / "carla.NPZ")
        (root / "anna.npz").rename(root / "sub-01_ses-1.npz")
        held = dict(np.load(root / "ben.npz"))
        np.savez(root / "sub-01_ses-2.npz", **held | {"stimulus": np.char.add(held["stimulus"], " ")})
        (root / "ben.npz").unlink()

    text = check_data.to_text(
        check_data.Examined(tuple(spoilt(clean, tmp_path, "folder", change)), NOTHING_HELD)
    )
    for words in ("carla.NPZ: is not read", "look like sessions of one subject", "'clip0 ' and 'clip0'"):
        assert words in text, words
    summary = check_data.examine(str(tmp_path / "data"), "folder").summary
    assert summary.subjects == 2 and "not read: notes.txt" in summary.missing


def test_the_odd_part_is_blamed_and_not_the_majority(clean, tmp_path):
    def four_hertz(data):
        data.update(label=data["label"][::175])

    found = spoilt(clean, tmp_path, "wesad", in_pickle(four_hertz))
    assert len(found) == 1 and found[0].place == "label" and "= 4 per second" in found[0].what


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "mpcl_jax", "check", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_ends_with_one_where_something_is_wrong(clean, tmp_path):
    good = command(str(clean["folder"]), "--kind", "folder")
    assert good.returncode == 0 and good.stdout.endswith("no issues found\n"), good.stderr
    root = tmp_path / "data"
    shutil.copytree(clean["folder"], root)
    PLANTED["negative label"].spoil(root)
    bad = command(str(root), "--kind", "folder", "--json")
    held = json.loads(bad.stdout)
    assert bad.returncode == 1 and held["summary"]["windows"] == 60
    assert [f["place"] for f in held["issues"] if "negative" in f["what"]] == ["labels, row 9"]
    assert command(str(root), "--kind", "csv").returncode == 2


@pytest.mark.skipif(not (SHARED / "dmer_feature_sample.mat").is_file(), reason="needs ../shared/data")
def test_nothing_is_lines_of_the_published_sample():
    examined = check_data.examine(str(SHARED / "dmer_feature_sample.mat"), "dmer")
    assert examined.issues == () and examined.summary.windows == 875


@pytest.mark.skipif(not (SHARED / "wesad_wrist.npz").is_file(), reason="needs ../shared/data")
def test_nothing_is_lines_of_real_wrist_recordings(tmp_path):
    tool = SHARED.parent / "tools" / "write_wesad.py"
    made = subprocess.run(
        [sys.executable, str(tool), str(tmp_path), "--subjects", "S5,S14"], capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr
    examined = check_data.examine(str(tmp_path), "wesad")
    assert examined.issues == () and examined.summary.subjects == 2


def test_a_value_far_outside_its_feature_is_named_and_refused_before_a_run(clean, tmp_path):
    def spoil(root):
        with np.load(root / "ben.npz") as held:
            arrays = dict(held)
        arrays["face"] = arrays["face"].astype(np.float64)
        arrays["face"][4, 2], arrays["face"][:, 5] = 1e24, 7.0
        np.savez(root / "ben.npz", **arrays)

    (issue,) = spoilt(clean, tmp_path, "folder", spoil)
    assert (
        issue.file.endswith("ben.npz") and issue.place == "face: feature 2, row 4" and "1e+24" in issue.what
    )
    settings = DataConfig(kind="folder", path=str(tmp_path / "data"))
    with pytest.raises(
        DataFileError, match=r"subject ben, window .*: face: feature 2 is 1e\+24; .* write NaN"
    ):
        pipeline.load(settings)


def test_the_notes_of_a_run_on_features_are_printed(clean, tmp_path):
    shutil.copytree(clean["folder"], tmp_path / "data")
    for file in (tmp_path / "data").glob("*.npz"):
        with np.load(file) as held:
            arrays = dict(held)
        arrays["face"][:, 5] = 7.0
        np.savez(file, **arrays)
    examined = check_data.examine(str(tmp_path / "data"), "folder")
    assert not examined.issues
    assert "note        face: 1 of 7 features have one value" in check_data.to_text(examined)
