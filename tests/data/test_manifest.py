"""Manifest files: what was written comes back, and nothing else is accepted."""

import json

import numpy as np
import pytest
from recordings_fixture import recordings_of

from mpcl_jax.config.data import PROTOCOLS, ProtocolConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits.manifest import read_manifest, row_ids, write_manifest
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.types import DataError, take

FAKE = recordings_of(4, 6, 3)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "manifest.json"
    settings = ProtocolConfig(kind="subject_kfold", folds=2, validation=0.4)
    write_manifest(make_split(FAKE, settings), FAKE, path)
    return path


IN_DMER = {"S0": "8", "S1": "5", "S2": "1", "S3": "2"}  # 8 is tested there, 5 is of the validation part
DMER = FAKE._replace(subject=np.array([IN_DMER[name] for name in FAKE.subject]))


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_what_was_written_comes_back(kind, tmp_path):
    recordings = DMER if kind == "fixed_48_12_13" else FAKE
    split = make_split(recordings, ProtocolConfig(kind=kind, folds=2, validation=0.3, calibration=2))
    write_manifest(split, recordings, tmp_path / "manifest.json")
    back = make_split(recordings, ProtocolConfig(manifest=str(tmp_path / "manifest.json")))
    assert back._replace(folds=()) == split._replace(folds=())
    for a, b in zip(split.folds, back.folds, strict=True):
        assert (a.name, a.sentence) == (b.name, b.sentence)
        for part in range(2, 5):
            np.testing.assert_array_equal(a[part], b[part])
            assert b[part].dtype.kind == "i"


def test_a_manifest_fits_the_same_rows_in_another_order(file):
    order = np.random.default_rng(0).permutation(len(FAKE.trial))
    shuffled = take(FAKE, order)
    here, there = read_manifest(file, FAKE), read_manifest(file, shuffled)
    assert here.sha256 == there.sha256
    for a, b in zip(here.folds, there.folds, strict=True):
        np.testing.assert_array_equal(np.sort(order[b.test]), a.test)


def test_the_file_names_windows_and_says_what_is_held_out(file):
    content = json.loads(file.read_text())
    assert sorted(content["rows"]) == sorted(row_ids(FAKE))
    assert content["generator"].startswith("mpcl_jax ")
    assert content["folds"][0]["sentence"].startswith("held out: 2 subjects")
    assert len(content["sha256"]) == 64


def test_make_split_reads_the_manifest_that_the_settings_name(file):
    split = make_split(FAKE, ProtocolConfig(kind="loso", manifest=str(file)))
    assert split.protocol == "subject_kfold"
    assert split.sha256 == read_manifest(file, FAKE).sha256
    kept = make_split(FAKE, ProtocolConfig(manifest=str(file), only=(1,)))
    assert [fold.name for fold in kept.folds] == ["fold 2 of 2"]


def test_make_split_refuses_a_manifest_of_a_protocol_that_the_recordings_cannot_support(file):
    with pytest.raises(ConfigError, match="'subject_kfold': fake supports only 'window80'"):
        make_split(FAKE._replace(protocols=("window80",)), ProtocolConfig(manifest=str(file)))


def rows(change):
    return lambda content: change(content["rows"])


def in_fold(key, change):
    """An edit of a list, or of a text if `change` is one, of the first fold."""

    def edit(content):
        fold = content["folds"][0]
        fold[key] = change if isinstance(change, str) else change(fold)

    return edit


def trained(content):
    fold = content["folds"][0]
    fold["test"].append(min(set(content["rows"]) - {*fold["test"], *fold["validation"], *fold["unused"]}))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (rows(lambda x: x.append(x[0])), "rows names windows more than once: S0/c0@0.000"),
        (rows(lambda x: x.pop(0)), "lacks 1 window of fake: S0/c0@0.000"),
        (rows(lambda x: x.insert(0, "S9/c0@0")), "rows names 1 window unknown to fake: S9/c0@0"),
        (in_fold("test", lambda f: [*f["test"], "S9/c0@0"]), "1 of 2: test names 1 window unknown to fake"),
        (in_fold("test", lambda f: f["test"] + f["test"][:1]), "1 of 2: test names windows more than once"),
        (in_fold("validation", lambda f: f["test"][:1]), "written and unused names windows more than"),
        (trained, "fold 1 of 2: .*subject ids lie both in"),
        (lambda x: x.update(protocol="stimulus_kfold"), "stimulus ids lie both in train and in test"),
        (lambda content: content.update(protocol="trial_kfold"), "do not fit its sha256"),
        (in_fold("validation", lambda f: []), "do not fit its sha256"),
        (in_fold("name", "fold 1 of 3"), "do not fit its sha256"),
        (lambda content: content.pop("sha256"), "do not fit its sha256"),
    ],
)
def test_refuses_edited_manifests(file, edit, message):
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as error:
        read_manifest(file, FAKE)
    assert str(file) in str(error.value)


def test_a_manifest_that_claims_another_calibration_is_refused(tmp_path):
    path = tmp_path / "manifest.json"
    write_manifest(make_split(FAKE, ProtocolConfig(kind="calibrated")), FAKE, path)
    content = json.loads(path.read_text())
    content["protocol"] = "calibrated(2)"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"calibrated\(2\) tests one subject and trains on 2 .* trains on 1$"):
        read_manifest(path, FAKE)


def test_a_manifest_of_few_shot_names_the_written_trials_and_their_order(tmp_path):
    path = tmp_path / "manifest.json"
    split = make_split(FAKE, ProtocolConfig(kind="few_shot", folds=2, calibration=2))
    write_manifest(split, FAKE, path)
    again = read_manifest(path, FAKE)
    assert again.sha256 == split.sha256
    for fold, before in zip(again.folds, split.folds, strict=True):
        np.testing.assert_array_equal(fold.written, before.written)
    with pytest.raises(DataError, match="the order is part of the protocol"):
        read_manifest(path, take(FAKE, np.arange(len(FAKE.trial))[::-1]))
    content = json.loads(path.read_text())
    content["protocol"] = "few_shot(1)"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="writes other trials than the first 1 of each tested subject"):
        read_manifest(path, FAKE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no readable split manifest"),
        ("{", "is no readable split manifest"),
        ("\xff\xfe", "is no split manifest|is no readable"),
        ("[]", "is no split manifest"),
        ('{"protocol": [], "rows": [], "folds": [{}]}', "is no split manifest"),
        ('{"protocol": "loso", "rows": [], "folds": []}', "is no split manifest"),
        ('{"protocol": "loso", "rows": [], "folds": [{"name": "a"}]}', "look at folds.0.validation"),
    ],
)
def test_refuses_files_that_are_no_manifest(tmp_path, text, message):
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        read_manifest(path, FAKE)
