"""The published features of DMER, one subject at a time: layouts B, C and D."""

import numpy as np
import pytest
from dmer_fixture import (
    IMAGINARY,
    VIDEOS,
    ratings,
    refusal,
    row_features,
    seconds_of,
    write_feature_files,
    write_merged,
    write_split,
)
from scipy.io import loadmat, savemat

from mpcl_jax.data.dmer import features as dmer_features


def test_each_modality_keeps_its_last_windows(tmp_path):
    # 9 of 12 video seconds survive: 5 windows from second 4 on, so every modality keeps its last 5.
    write_feature_files(tmp_path / "1")
    ids, codes = seconds_of(VIDEOS, 3)
    savemat(tmp_path / "1" / "videoFea.mat", {"lbps_all": row_features(codes, 32), "vids": ids})
    clips = dmer_features.read_folder(tmp_path / "1", "real")
    for clip, video in zip(clips, VIDEOS, strict=True):
        assert clip.video == video
        np.testing.assert_array_equal(clip.start, np.arange(3, 8))
        for m, x in clip.signals.items():
            np.testing.assert_array_equal(np.floor(x[:, 0, 0]), 100 * video + np.arange(7, 12), err_msg=m)


@pytest.mark.parametrize("modality", ["gsr", "ppg"])
def test_complex_part(tmp_path, modality):
    write_feature_files(tmp_path / "1")
    real, magnitude = (
        np.concatenate([c.signals[modality][:, 0] for c in dmer_features.read_folder(tmp_path / "1", part)])
        for part in ("real", "magnitude")
    )
    # The imaginary part is 3 in the planted columns: |x + 3i| = sqrt(x^2 + 9).
    columns = list(IMAGINARY[modality])
    np.testing.assert_allclose(magnitude[:, columns], np.sqrt(real[:, columns] ** 2 + 9))
    others = [k for k in range(real.shape[1]) if k not in columns]
    np.testing.assert_array_equal(magnitude[:, others], real[:, others])


def test_magnitude_keeps_the_sign_of_real_columns(tmp_path):
    write_feature_files(tmp_path / "1")
    ids, codes = seconds_of(VIDEOS, 4)
    stored = -row_features(codes, 28).astype(complex)
    savemat(
        tmp_path / "1" / "perifea.mat", {"feas_gsr": stored + 1j, "feas_ppg": np.zeros((0, 0)), "vids": ids}
    )
    gsr = dmer_features.read_folder(tmp_path / "1", "magnitude")[1].signals["gsr"][:, 0]
    assert (gsr[:, :21] < 0).all() and (gsr[:, 21:27] > 0).all() and (gsr[:, 27] < 0).all()


def test_magnitude_of_real_numbers_is_refused(tmp_path):
    write_feature_files(tmp_path / "1")
    ids, codes = seconds_of(VIDEOS, 4)
    stored = {"feas_gsr": row_features(codes, 28), "feas_ppg": row_features(codes, 27), "vids": ids}
    savemat(tmp_path / "1" / "perifea.mat", stored)
    text = refusal(dmer_features.read_folder, tmp_path / "1", "magnitude")
    assert "perifea.mat" in text and "feas_gsr" in text and "complex_part" in text


def test_magnitude_of_merged_features(tmp_path):
    file = tmp_path / "12.mat"
    write_merged(file, ratings(12), videos=(3,))
    real, magnitude = (
        dmer_features.read_merged(file, part)[0].signals["ppg"] for part in ("real", "magnitude")
    )
    np.testing.assert_allclose(magnitude[..., 25], np.sqrt(real[..., 25] ** 2 + 9))


BROKEN_FEATURES = {
    "channels_first": (
        "eegfea.mat",
        {"feas": np.zeros((12, 18, 5)), "vids": np.zeros(12)},
        "wanted [windows, 5, 18]",
    ),
    "one_id_short": (
        "eegfea.mat",
        {"feas": np.zeros((12, 5, 18)), "vids": np.zeros(11)},
        "11 entries for 12",
    ),
    "no_ids": ("eegfea.mat", {"feas": np.zeros((12, 5, 18))}, "has no vids"),
    "unknown_id": ("eegfea.mat", {"feas": np.zeros((2, 5, 18)), "vids": [1.0, 33.0]}, "window 1: 33"),
    "fraction": ("eegfea.mat", {"feas": np.zeros((2, 5, 18)), "vids": [0.5, 1.0]}, "window 0: 0.5"),
    "shuffled": ("eegfea.mat", {"feas": np.zeros((3, 5, 18)), "vids": [1.0, 2.0, 1.0]}, "order of recording"),
    "complex_eeg": ("eegfea.mat", {"feas": np.full((2, 5, 18), 1j), "vids": [1.0, 1.0]}, "feas is complex"),
    "gsr_columns": (
        "perifea.mat",
        {"feas_gsr": np.zeros((8, 27)), "feas_ppg": np.zeros((8, 27)), "vids": np.zeros(8)},
        "wanted [windows, 28]",
    ),
    "video_columns": (
        "videoFea.mat",
        {"lbps_all": np.zeros((8, 100)), "vids": np.zeros(8)},
        "wanted [windows, 768",
    ),
    "text": ("videoFea.mat", {"lbps_all": "none", "vids": np.zeros(1)}, "lbps_all"),
}


@pytest.mark.parametrize(("name", "stored", "reason"), BROKEN_FEATURES.values(), ids=BROKEN_FEATURES)
def test_broken_feature_files_are_named(tmp_path, name, stored, reason):
    write_feature_files(tmp_path / "1")
    savemat(tmp_path / "1" / name, stored)
    text = refusal(dmer_features.read_folder, tmp_path / "1", "real")
    assert name in text and reason in text


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("train_eeg", np.zeros((36, 18, 5)), "wanted [windows, 18, 4]"),
        ("test_video", np.zeros((11, 32)), "11 rows, test_label has 12"),
        ("test_label", np.zeros((12, 10)), "labels, window 36"),
    ],
)
def test_broken_split_file_is_refused(tmp_path, key, value, reason):
    path = tmp_path / "datas_all_fea_1.mat"
    write_split(path, ratings(1))
    stored = {k: x for k, x in loadmat(path).items() if not k.startswith("__")}
    savemat(path, stored | {key: value})
    text = refusal(dmer_features.read_split, path, "1")
    assert str(path) in text and reason in text
