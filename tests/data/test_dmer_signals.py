"""DMER's aligned signals (layout A)."""

import numpy as np
import pytest
from dmer_fixture import SECONDS, VIDEOS, refusal, release_2024, row_features, seconds_of, signals
from scipy.io import savemat

from mpcl_jax.data.dmer import signals as dmer_signals

RATES = {"eeg_datas": 300, "gsr_datas": 4, "ppg_datas": 100}


def clips_of(folder, stored, window=5.0, step=1.0):
    savemat(folder / "datas.mat", stored)
    return dmer_signals.read_signals(folder, window, step)


@pytest.mark.parametrize("form", [dict, release_2024], ids=["2022", "2024"])
def test_windows_stay_within_clips(tmp_path, form):
    clips = clips_of(tmp_path, form(signals()))
    assert [clip.video for clip in clips] == list(VIDEOS)  # rest is dropped
    for clip in clips:
        np.testing.assert_array_equal(clip.start, np.arange(SECONDS - 4))
        shapes = {m: x.shape for m, x in clip.signals.items()}
        assert shapes == {"eeg": (8, 18, 5), "gsr": (8, 1, 28), "ppg": (8, 1, 27)}
        # GSR holds the code 100 * video + second, so the window from second s has min code + s, max code + s + 4.
        gsr = clip.signals["gsr"][:, 0]
        np.testing.assert_array_equal(gsr[:, 3], 100 * clip.video + clip.start)
        np.testing.assert_array_equal(gsr[:, 4], 100 * clip.video + clip.start + 4)
        # Every second of EEG is the one before times 2: entropy rises by ln 2 a second, in every clip alike.
        np.testing.assert_allclose(np.diff(clip.signals["eeg"], axis=0), np.log(2), rtol=1e-6)
        np.testing.assert_allclose(clip.signals["eeg"], clips[0].signals["eeg"])


def test_window_and_step_are_settings(tmp_path):
    clips = clips_of(tmp_path, signals(), window=2.0, step=0.5)
    np.testing.assert_array_equal(clips[1].start, np.arange(21) / 2)  # (12 - 2) / .5 + 1
    np.testing.assert_array_equal(clips[1].signals["gsr"][:, 0, 3], 300 + np.floor(clips[1].start))
    assert clips_of(tmp_path, signals(), window=12.5) == []
    assert "window_seconds" in refusal(clips_of, tmp_path, signals(), 0.5)
    assert [clip.video for clip in clips_of(tmp_path, signals(videos=(50, 0, 3)))] == [0, 3]  # 50 is practice


def lacking(key, video, samples, **settings):
    """Signals in which the first `samples` of a clip are lost in `key`, or in all."""
    stored = signals(**settings)
    for one in (key,) if key else RATES:
        at = np.flatnonzero(stored[one][-1] == video)[: round(samples * (1 if key else RATES[one]))]
        stored[one] = np.delete(stored[one], at, axis=1)
    return stored


def test_clip_shorter_than_a_window_is_left_out(tmp_path):
    clips = clips_of(tmp_path, lacking("", 8, samples=9))
    assert [clip.video for clip in clips] == [v for v in VIDEOS if v != 8]


def test_signals_are_cut_from_their_end(tmp_path):
    # One GSR sample is lost at the start: 11 whole seconds are left of all signals, the last ones.
    (whole,) = clips_of(tmp_path, signals(videos=(3,)))
    (clip,) = clips_of(tmp_path, lacking("gsr_datas", 3, 1, videos=(3,)))
    for m in ("gsr", "eeg"):
        np.testing.assert_array_equal(clip.signals[m], whole.signals[m][1:])


def test_signals_of_different_length_are_refused(tmp_path):
    text = refusal(clips_of, tmp_path, lacking("gsr_datas", 15, samples=8))  # 2 s
    assert "datas.mat" in text and "video 15" in text and "gsr 10 s" in text


def test_a_clip_without_ppg_keeps_its_other_signals(tmp_path):
    stored = signals()
    stored["ppg_datas"] = stored["ppg_datas"][:, stored["ppg_datas"][-1] != 8]
    clips = {clip.video: set(clip.signals) for clip in clips_of(tmp_path, stored)}
    assert clips == {v: {"eeg", "gsr", "ppg"} - ({"ppg"} if v == 8 else set()) for v in VIDEOS}


def with_eeg_rows(*rows):
    return signals() | {"eeg_datas": np.vstack([EEG[:18], *rows])}


EEG = signals()["eeg_datas"]
IDS, AT = EEG[-1], np.arange(EEG.shape[1])
SHIFTED = np.where(IDS == 40, 40, IDS // 2)  # as good an id row as any
FLAG = (IDS % 3 == 0) * 1.0  # 0 and 1, each in several stretches
TRIGGER, COUNTER = np.where(np.diff(IDS, prepend=-1) != 0, IDS, 0.0), AT // 300 % 32.0


@pytest.mark.parametrize("other", [0 * IDS, FLAG, TRIGGER, COUNTER, IDS + 60, IDS])
def test_the_id_row_is_found_among_other_rows(tmp_path, other):
    for rows in ((other, IDS), (IDS, other)):
        assert [clip.video for clip in clips_of(tmp_path, with_eeg_rows(*rows))] == list(VIDEOS)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((SHIFTED, IDS), "rows 18, 19 could all be the video ids"),
        ((FLAG,), "no row after the 18 signals holds video ids"),
        ((TRIGGER, COUNTER), "no row after the 18 signals holds video ids"),
    ],
)
def test_ambiguous_id_rows_are_refused(tmp_path, rows, reason):
    text = refusal(clips_of, tmp_path, with_eeg_rows(*rows))
    assert "datas.mat" in text and "eeg_datas" in text and reason in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"eeg_datas": np.zeros((18, 3000))}, "eeg_datas is"),
        ({"gsr_datas": np.zeros((400, 2))}, "no row after the 1 signals"),
        ({"fs_eeg": 0.0}, "fs_eeg = 0"),
        ({"fs_ppg": np.nan}, "fs_ppg = nan"),
        ({"fs_eeg": 90.0}, "at least 98 Hz"),
    ],
)
def test_broken_signals_are_named(tmp_path, change, reason):
    text = refusal(clips_of, tmp_path, signals() | change)
    assert "datas.mat" in text and reason in text


def test_rates_of_the_file_are_used(tmp_path):
    stored = {"gsr_datas": signals()["gsr_datas"], "fs_gsr": 2.0}  # twice as long clips
    assert {len(clip.start) for clip in clips_of(tmp_path, stored)} == {2 * SECONDS - 4}


def test_entropy_of_one_second_is_the_published_recipe():
    # Written out: Hann window of 300, FFT of 256 (the last 44 samples fall away), bins floor(f / 300 * 256) of both
    # ends of 1-4, 4-8, 8-14, 14-31, 31-49 Hz inclusive, 1/2 ln(mean |X|^2) + 1/2 ln(2 pi e / round(300 / 256)).
    x = np.random.default_rng(0).normal(size=(3, 18, 300)) * 20
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(300) / 299)
    spectrum = np.abs(np.fft.fft((x * hann)[..., :256])) ** 2
    bands = [(0, 3), (3, 6), (6, 11), (11, 26), (26, 41)]
    power = np.stack([spectrum[..., low : high + 1].mean(-1) for low, high in bands], -1)
    expected = 0.5 * np.log(power) + 0.5 * np.log(2 * np.pi * np.e / 1)
    np.testing.assert_allclose(dmer_signals.eeg_features(x, 300.0), expected)


def test_entropy_of_a_longer_window_averages_the_power_of_its_seconds():
    x = np.random.default_rng(1).normal(size=(2, 18, 1500))
    each = np.stack([dmer_signals.eeg_features(x[..., k : k + 300], 300.0) for k in range(0, 1500, 300)])
    expected = 0.5 * np.log(np.exp(2 * each).mean(0))
    np.testing.assert_allclose(dmer_signals.eeg_features(x, 300.0), expected)


def test_a_flat_channel_is_finite_and_lowers_the_quality(tmp_path):
    stored = signals()
    stored["eeg_datas"][4] = 0
    for clip in clips_of(tmp_path, stored):
        assert np.isfinite(clip.signals["eeg"]).all()
        np.testing.assert_allclose(clip.quality["eeg"], 17 / 18)
        np.testing.assert_array_equal(clip.quality["gsr"], 1)


def test_peripheral_statistics(tmp_path):
    # GSR window from second 0 of clip 3: 300 x4, 301 x4, ..., 304 x4. Differences: 4 ones among 19.
    gsr = clips_of(tmp_path, signals())[1].signals["gsr"][0, 0]
    level = np.repeat(np.arange(300.0, 305.0), 4)
    np.testing.assert_allclose(gsr[:7], [302, 302, level.std(), 300, 304, 4 / 20, 4 / 20])
    np.testing.assert_allclose(gsr[7:14], [0, 4 / 19, np.sqrt(4 / 19 * 15 / 19), 0, 1, 15 / 19, 4 / 19])
    magnitude = np.abs(np.fft.fft(level))[1:11]
    np.testing.assert_allclose(gsr[22], magnitude.mean())
    np.testing.assert_allclose(gsr[26], np.ptp(magnitude))


def test_pulse_is_filtered_within_its_clip(tmp_path):
    clips = clips_of(tmp_path, signals())
    for clip in clips:
        ppg = clip.signals["ppg"][2:6, 0]  # away from the ends of the clip
        assert np.abs(ppg[:, 1]).max() < 0.05 * (1 + clip.video)  # the level of 500 is gone
        # A sine of amplitude a has sd a / sqrt 2; 1.25 Hz lies inside the band.
        np.testing.assert_allclose(ppg[:, 2], (1 + clip.video) / np.sqrt(2), rtol=0.05)
    stronger = signals()
    stronger["ppg_datas"][0, stronger["ppg_datas"][-1] == 3] *= 100
    np.testing.assert_array_equal(clips_of(tmp_path, stronger)[2].signals["ppg"], clips[2].signals["ppg"])


@pytest.mark.parametrize(("key", "rate"), RATES.items())
def test_lost_samples_cost_only_their_windows(tmp_path, key, rate):
    stored = signals(videos=(3,))
    at = np.flatnonzero(stored[key][-1] == 3)[rate * 7]  # second 7: in the windows from 3 to 7
    stored[key][0, at] = np.nan
    (clip,) = clips_of(tmp_path, stored)
    for m, x in clip.signals.items():
        lost = np.flatnonzero(~np.isfinite(x).all((1, 2)))
        np.testing.assert_array_equal(lost, [3, 4, 5, 6, 7] if key.startswith(m) else [], err_msg=m)
        # Of EEG the channel alone, of the others every feature: shares of samples at the ends, too.
        of_lost = x[lost, :1] if m == "eeg" else x[lost]
        assert np.isnan(of_lost).all() and np.isfinite(x[:, 1:]).all()


def test_video_features_beside_the_signals_describe_the_last_second(tmp_path):
    ids, codes = seconds_of(VIDEOS, 2)  # the camera lost the first 2 s of each clip
    savemat(tmp_path / "videoFea.mat", {"lbps_all": row_features(codes, 32), "vids": ids})
    for clip in clips_of(tmp_path, signals(), window=2.0):
        video = clip.signals["video"][:, 0, 0]
        assert np.isnan(video[0]) and clip.quality["video"][0] == 0  # its last second is 1
        np.testing.assert_array_equal(video[1:], 100 * clip.video + clip.start[1:] + 1)
