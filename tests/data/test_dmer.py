"""All four layouts of DMER as a whole. The fixtures plant the time of every window in its features."""

import shutil

import numpy as np
import pytest
from dmer_fixture import (
    SECONDS,
    label,
    ratings,
    refusal,
    release_2024,
    row_features,
    save,
    seconds_of,
    signals,
    write_feature_files,
    write_merged,
    write_split,
)
from python_process import SHARED

from mpcl_jax import metrics
from mpcl_jax.config.data import DmerConfig
from mpcl_jax.data.dmer import files as dmer_files
from mpcl_jax.data.dmer import load as dmer
from mpcl_jax.data.dmer.files import EMOTIONS, VALENCE
from mpcl_jax.data.io import cache

SAMPLE = SHARED / "data" / "dmer_feature_sample.mat"
SETTINGS = DmerConfig()
GUARDED = dmer.run_guarded


@pytest.fixture(scope="module", autouse=True)
def in_process():
    """Reads in this process: a child takes a second to start. Tests that want one put GUARDED back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dmer, "run_guarded", lambda function, *args: function(*args))
        patch.setattr(dmer_files, "run_guarded", lambda function, *args: function(*args))
        yield


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "user_folder", lambda: folder)
        yield folder / "dmer"


def expected_labels(tables, recordings):
    """Renormalised ratings of every row, looked up by the ids of the row itself."""
    rows = np.stack([tables[s][int(v)] for s, v in zip(recordings.subject, recordings.stimulus, strict=True)])
    return rows / rows.sum(1, keepdims=True)


def assert_same(one, other):
    assert one.notes[1:] == other.notes[1:]  # the first names the layout
    for field in ("signals", "present", "quality"):
        for m, x in getattr(one, field).items():
            np.testing.assert_array_equal(x, getattr(other, field)[m], err_msg=m)
    for field in ("labels", "subject", "trial", "stimulus", "start"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


def test_the_guarded_child_reads_the_same(tmp_path, monkeypatch):
    save(tmp_path / "3" / "datas.mat", **signals(videos=(3, 16)), dis_label=ratings(3))
    here = dmer.load(str(tmp_path), SETTINGS)
    monkeypatch.setattr(dmer, "run_guarded", GUARDED)
    assert_same(here, dmer.load(str(tmp_path), SETTINGS, cache=str(tmp_path / "other")))


@pytest.fixture(scope="module")
def feature_root(tmp_path_factory):
    """Subject 2 complete; subject 10 lacks clips 3 and 31, has no peripherals and 32 pooled video features."""
    root = tmp_path_factory.mktemp("dmer_b")
    write_feature_files(root / "2")
    save(root / "2" / "datas.mat", dis_label=ratings(2))
    write_feature_files(root / "10", videos=(0, 8, 15, 16))
    save(root / "10" / "perifea.mat", **{k: np.zeros((0, 0)) for k in ("feas_gsr", "feas_ppg", "vids")})
    label(root / "10", ratings(10) / ratings(10).sum(1, keepdims=True))
    (root / "readme.txt").write_text("stray")
    (root / "37").mkdir()
    (root / "37" / "figure.fig").write_text("stray")
    return root


@pytest.fixture(scope="module")
def feature_recordings(feature_root):
    return dmer.load(str(feature_root), SETTINGS)


def test_features_have_the_documented_shapes_and_names(feature_recordings):
    r = feature_recordings
    # 6 clips x 8 windows of subject 2, 4 clips x 8 windows of subject 10
    assert {m: x.shape for m, x in r.signals.items()} == {
        "eeg": (80, 18, 5),
        "gsr": (80, 1, 28),
        "ppg": (80, 1, 27),
        "video": (80, 1, 768),
    }
    assert r.emotions == EMOTIONS and r.valence == VALENCE
    assert r.groups == {m: "behavioural" if m == "video" else "physiological" for m in r.signals}
    assert r.subject[0] == "2" and r.subject[-1] == "10"  # by number, not by name
    assert set(r.stimulus[r.subject == "10"]) == {"0", "8", "15", "16"}
    assert (r.trial == np.char.add(np.char.add(r.subject, "/"), r.stimulus)).all()
    assert r.duration == 5 and r.protocols == () and r.published_test is None


def test_every_modality_of_a_row_describes_the_same_second(feature_recordings):
    r = feature_recordings
    # The window that starts at second s ends with second s + 4, whose code all modalities carry.
    code = 100 * r.stimulus.astype(float) + r.start + 4
    for m, x in r.signals.items():
        here = r.present[m]
        np.testing.assert_array_equal(np.floor(x[here, 0, 0]), code[here], err_msg=m)
    assert sorted(set(r.start)) == list(range(SECONDS - 4))
    eeg = r.signals["eeg"]  # tokens are channels, their features bands
    np.testing.assert_array_equal(eeg[:, 3, 2] - np.floor(eeg[:, 0, 0]), 3 / 32 + 2 / 1024)


def test_empty_peripherals_are_absent_and_ratings_and_distributions_become_distributions(feature_recordings):
    r = feature_recordings
    for m in ("gsr", "ppg"):
        np.testing.assert_array_equal(r.present[m], r.subject == "2")
        assert not r.signals[m][~r.present[m]].any() and not r.quality[m][~r.present[m]].any()
    assert r.present["eeg"].all() and r.present["video"].all()
    assert any("gsr is absent from 32 of 80" in note for note in r.notes)
    np.testing.assert_allclose(r.labels, expected_labels({"2": ratings(2), "10": ratings(10)}, r), rtol=1e-6)


def test_a_feature_that_is_not_finite_is_missing_and_a_window_of_them_absent(tmp_path):
    write_feature_files(tmp_path / "1", videos=(5,))
    ids, codes = seconds_of((5,), 0)
    video = row_features(codes, 32)
    video[5, 3], video[6], video[7, 2] = np.nan, np.nan, np.inf
    save(tmp_path / "1" / "videoFea.mat", lbps_all=video, vids=ids)
    label(tmp_path / "1", ratings(0))
    r = dmer.load(str(tmp_path), SETTINGS)
    # Second 6 ends the window from second 2.
    np.testing.assert_array_equal(r.present["video"], np.arange(8) != 2)
    assert r.present["eeg"].all() and not r.signals["video"][2].any()
    assert np.argwhere(np.isnan(r.signals["video"])).tolist() == [[1, 0, 3], [3, 0, 2]]
    np.testing.assert_array_equal(r.quality["video"], r.present["video"])


@pytest.mark.parametrize("row", [np.zeros(10), np.r_[-1.0, np.ones(9)], np.r_[np.nan, np.ones(9)]])
def test_impossible_ratings_name_file_and_video(tmp_path, row):
    write_feature_files(tmp_path / "4")
    table = ratings(0)
    table[15] = row
    label(tmp_path / "4", table)
    text = refusal(dmer.load, str(tmp_path), SETTINGS)
    assert "dis_label.mat" in text and "video 15" in text
    table[15], table[9] = 1, row  # clip 9 was not recorded: its row does not matter
    label(tmp_path / "4", table)
    assert len(dmer.load(str(tmp_path), SETTINGS).labels) == 48


def test_merged_features_equal_the_files_they_were_merged_from_wherever_they_are_found(tmp_path):
    write_feature_files(tmp_path / "apart" / "1")
    label(tmp_path / "apart" / "1", ratings(1))
    merged = tmp_path / "merged" / "Features"
    write_merged(merged / "1.mat", ratings(1))
    write_merged(merged / "12.mat", ratings(12), videos=(3, 16))
    found = dmer.load(str(merged.parent), DmerConfig(subjects=(1,)))
    assert_same(dmer.load(str(tmp_path / "apart"), SETTINGS), found)
    whole = dmer.load(str(merged.parent), SETTINGS)
    assert list(dict.fromkeys(whole.subject)) == ["1", "12"]
    assert_same(whole, dmer.load(str(merged), SETTINGS))
    one = dmer.load(str(merged / "12.mat"), SETTINGS)
    assert set(one.trial) == {"12/3", "12/16"} and len(one.labels) == 16


def test_a_split_file_groups_equal_labels_keeps_its_test_rows_and_says_that_it_leaks(tmp_path):
    for s in (5, 6):
        table = ratings(s)
        table[15] = table[8]  # clips 8 and 15 got the same ratings
        ids = write_split(tmp_path / f"datas_all_fea_{s}.mat", table, seed=s)
    r = dmer.load(str(tmp_path / "datas_all_fea_6.mat"), SETTINGS)
    shapes = {"eeg": (48, 18, 4), "gsr": (48, 1, 4), "ppg": (48, 1, 4), "video": (48, 1, 32)}
    assert {m: x.shape for m, x in r.signals.items()} == shapes
    for m in r.signals:
        np.testing.assert_array_equal(np.floor(r.signals[m][:, 0, 0] / 100), ids, err_msg=m)
    assert len(set(r.trial)) == 5 and len(set(r.trial[np.isin(ids, (8, 15))])) == 1
    for trial in set(r.trial):
        assert trial.startswith("6/labels 0") and len(np.unique(r.labels[r.trial == trial], axis=0)) == 1
    np.testing.assert_array_equal(r.trial, r.stimulus)
    assert np.isnan(r.start).all() and r.duration == 1
    assert np.flatnonzero(r.published_test).tolist() == [*range(36, 48)]  # 48 // 5 * 4 = 36 train
    assert r.protocols == ("window80", "trial_kfold") and r.trial_name == "label groups"
    text = " ".join(r.notes)
    assert "no clip ids" in text and "LEAKY" in text and "stricter" in text
    both = dmer.load(str(tmp_path), SETTINGS)
    assert both.protocols == (*r.protocols, "loso", "subject_kfold", "fixed_48_12_13", "calibrated")
    assert len(set(both.trial)) == 10 and set(both.subject) == {"5", "6"} and both.published_test.sum() == 24


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the DMER sample is not beside the repository")
def test_published_sample():
    r = dmer.load(str(SAMPLE), SETTINGS)
    test = r.published_test
    assert ((~test).sum(), test.sum(), len(set(r.trial))) == (696, 179, 22)
    # The train mean on the published split, as tabled for this sample by earlier code.
    constant = np.broadcast_to(r.labels[~test].mean(0, dtype=float), r.labels[test].shape)
    got = [x.mean() for x in metrics.scores(r.labels[test], constant).values()]
    np.testing.assert_allclose(got, [0.1003, 0.4490, 1.0235, 0.0622, 0.9282, 0.8742], atol=6e-5)
    assert r.signals["eeg"].shape == (875, 18, 4) and r.signals["video"].shape == (875, 1, 32)


def test_a_second_start_reads_no_mat_file_until_one_changes(feature_root, tmp_path, monkeypatch):
    root = shutil.copytree(feature_root, tmp_path / "dmer")
    first = dmer.load(str(root), SETTINGS)

    def reads(*_):
        raise AssertionError("a file was read")

    with monkeypatch.context() as patch:
        patch.setattr(dmer, "run_guarded", reads)
        assert_same(first, dmer.load(str(root), SETTINGS))
    save(root / "2" / "datas.mat", dis_label=ratings(3))
    changed = dmer.load(str(root), SETTINGS)
    assert not np.array_equal(changed.labels, first.labels)
    # A better place for labels than before: the set of files has changed, though none of them has.
    label(root / "2", ratings(2))
    assert_same(first, dmer.load(str(root), SETTINGS))


def test_other_windows_are_read_anew(tmp_path):
    save(tmp_path / "5" / "datas.mat", **signals(videos=(3,)), dis_label=ratings(5))
    lengths = [len(dmer.load(str(tmp_path), DmerConfig(window_seconds=w)).labels) for w in (2.0, 4.0, 2.0)]
    assert lengths == [11, 9, 11]


def test_what_is_not_there_or_no_file_of_dmer_is_refused(tmp_path, feature_root):
    text = refusal(dmer.load, str(feature_root), DmerConfig(subjects=(2, 3)))
    assert "no subject 3" in text and "found: 2, 10" in text
    assert set(dmer.load(str(feature_root), DmerConfig(subjects=(10,))).subject) == {"10"}
    assert "does not exist" in refusal(dmer.load, str(tmp_path / "absent"), SETTINGS)
    save(tmp_path / "x.mat", a=1)
    assert "neither train_label nor vids" in refusal(dmer.load, str(tmp_path / "x.mat"), SETTINGS)
    (tmp_path / "y.mat").write_bytes(b"no matlab file")
    assert "y.mat" in refusal(dmer.load, str(tmp_path / "y.mat"), SETTINGS)
    save(tmp_path / "z" / "1.mat", feas=np.zeros((4, 912)), vids=np.zeros((4, 1)), dis_label=ratings(0))
    text = refusal(dmer.load, str(tmp_path / "z"), SETTINGS)
    assert "1.mat" in text and "(4, 912)" in text and "913" in text


def test_notes_name_what_is_not_there(feature_recordings, tmp_path):
    assert "subjects with fewer than 32 clips: 2 (6), 10 (4)" in feature_recordings.notes
    assert not any("no behavioural modality" in note for note in feature_recordings.notes)
    for name, stored in (("1", signals(videos=(0,))), ("5", signals(videos=()))):
        save(tmp_path / name / "datas.mat", **stored, dis_label=ratings(0))
    r = dmer.load(str(tmp_path), SETTINGS)
    assert set(r.subject) == {"1"} and set(r.groups.values()) == {"physiological"}
    assert any("no behavioural modality" in note for note in r.notes)
    assert "subjects with fewer than 32 clips: 1 (1), 5 (0)" in r.notes
    text = refusal(dmer.load, str(tmp_path), DmerConfig(subjects=(1, 5)))
    assert "no clip of subject 5" in text


def test_signals_become_recordings(tmp_path):
    save(tmp_path / "58" / "datas.mat", **release_2024(signals(videos=(3, 16))))
    label(tmp_path / "58", ratings(58))
    ids, codes = seconds_of((3, 16), 0)
    save(tmp_path / "58" / "videoFea.mat", lbps_all=row_features(codes, 32), vids=ids)
    r = dmer.load(str(tmp_path), DmerConfig(window_seconds=2.0, step_seconds=2.0))
    assert r.duration == 2 and set(r.trial) == {"58/3", "58/16"} and len(r.labels) == 12
    np.testing.assert_allclose(r.labels, expected_labels({"58": ratings(58)}, r), rtol=1e-6)
    # GSR carries the codes of its two seconds (min, column 3), the video that of the last one.
    np.testing.assert_array_equal(np.floor(r.signals["video"][:, 0, 0]), r.signals["gsr"][:, 0, 3] + 1)
    np.testing.assert_array_equal(r.signals["gsr"][:, 0, 3], 100 * r.stimulus.astype(int) + r.start)


def test_a_window_without_any_modality_is_dropped(tmp_path):
    stored = signals(videos=(3,)) | {key: np.zeros((0, 0)) for key in ("gsr_datas", "ppg_datas")}
    stored["eeg_datas"][:18, -200] = np.nan  # in the last second, hence in the last window only
    save(tmp_path / "1" / "datas.mat", **stored, dis_label=ratings(1))
    np.testing.assert_array_equal(dmer.load(str(tmp_path), SETTINGS).start, np.arange(7))
