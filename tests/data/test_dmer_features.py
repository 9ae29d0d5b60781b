"""The published features of DMER, one subject at a time: layouts B, C and D."""

import numpy as np
import pytest
from dmer_fixture import (
    IMAGINARY,
    VIDEOS,
    ratings,
    refusal,
    row_features,
    save,
    seconds_of,
    write_feature_files,
    write_merged,
)

from mpcl_jax.data.dmer import features as dmer_features


def test_each_modality_keeps_its_last_windows(tmp_path):
    # 9 of 12 video seconds survive: 5 windows from second 4 on, so every modality keeps its last 5.
    write_feature_files(tmp_path / "1")
    ids, codes = seconds_of(VIDEOS, 3)
    save(tmp_path / "1" / "videoFea.mat", lbps_all=row_features(codes, 32), vids=ids)
    clips = dmer_features.read_folder(tmp_path / "1", "real")
    for clip, video in zip(clips, VIDEOS, strict=True):
        assert clip.video == video
        np.testing.assert_array_equal(clip.start, np.arange(3, 8))
        for m, x in clip.signals.items():
            np.testing.assert_array_equal(np.floor(x[:, 0, 0]), 100 * video + np.arange(7, 12), err_msg=m)


@pytest.mark.parametrize("modality", ["gsr", "ppg"])
def test_the_magnitude_is_of_complex_columns_only(tmp_path, modality):
    write_feature_files(tmp_path / "1")
    write_merged(tmp_path / "12.mat", ratings(12), videos=VIDEOS)
    read = (dmer_features.read_folder, tmp_path / "1"), (dmer_features.read_merged, tmp_path / "12.mat")
    for function, place in read:
        real, magnitude = (
            np.concatenate([clip.signals[modality][:, 0] for clip in function(place, part)])
            for part in ("real", "magnitude")
        )
        # The imaginary part is 3 in the planted columns: |x + 3i| = sqrt(x^2 + 9).
        real[:, list(IMAGINARY[modality])] = np.sqrt(real[:, list(IMAGINARY[modality])] ** 2 + 9)
        np.testing.assert_allclose(magnitude, real)


def test_magnitude_keeps_the_sign_of_real_columns_and_refuses_real_files(tmp_path):
    write_feature_files(tmp_path / "1")
    ids, codes = seconds_of(VIDEOS, 4)
    file, gsr = tmp_path / "1" / "perifea.mat", row_features(codes, 28)
    save(file, feas_gsr=1j - gsr, feas_ppg=np.zeros((0, 0)), vids=ids)
    found = dmer_features.read_folder(tmp_path / "1", "magnitude")[1].signals["gsr"][:, 0]
    assert (found[:, :21] < 0).all() and (found[:, 21:27] > 0).all() and (found[:, 27] < 0).all()
    save(file, feas_gsr=gsr, feas_ppg=row_features(codes, 27), vids=ids)
    text = refusal(dmer_features.read_folder, tmp_path / "1", "magnitude")
    assert "perifea.mat" in text and "feas_gsr" in text and "complex_part" in text


def eeg(vids, feas=None, windows=2):
    return "eegfea.mat", {"feas": np.zeros((windows, 5, 18)) if feas is None else feas, "vids": vids}


GSR = {"feas_gsr": np.zeros((8, 27)), "feas_ppg": np.zeros((8, 27)), "vids": np.zeros(8)}
BROKEN_FEATURES = {
    "channels_first": (*eeg(np.zeros(12), np.zeros((12, 18, 5))), "wanted [windows, 5, 18]"),
    "one_id_short": (*eeg(np.zeros(11), windows=12), "11 entries for 12"),
    "no_ids": ("eegfea.mat", {"feas": np.zeros((12, 5, 18))}, "has no vids"),
    "unknown_id": (*eeg([1.0, 33.0]), "window 1: 33"),
    "shuffled": (*eeg([1.0, 2.0, 1.0], windows=3), "order of recording"),
    "complex_eeg": (*eeg([1.0, 1.0], np.full((2, 5, 18), 1j)), "feas is complex"),
    "gsr_columns": ("perifea.mat", GSR, "wanted [windows, 28]"),
}


@pytest.mark.parametrize(("name", "stored", "reason"), BROKEN_FEATURES.values(), ids=BROKEN_FEATURES)
def test_broken_feature_files_are_named(tmp_path, name, stored, reason):
    write_feature_files(tmp_path / "1")
    save(tmp_path / "1" / name, **stored)
    text = refusal(dmer_features.read_folder, tmp_path / "1", "real")
    assert name in text and reason in text
