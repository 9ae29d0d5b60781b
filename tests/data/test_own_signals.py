"""Features of the signals that users bring: the numbers of WESAD's path, any device and rate, clear messages."""

import re
import warnings

import numpy as np
import pytest
from e4_fixture import REAL
from hypothesis import given
from hypothesis import strategies as st
from python_process import ROOT
from test_cardiac import ecg_wave, pulse_wave
from wesad_fixture import recording

from mpcl_jax.data import features
from mpcl_jax.data.features import own_signals
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.data.wesad.recording import SENSORS
from mpcl_jax.types import DataError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def feature(found, modality, name):
    """One feature of all windows [W]."""
    return found.values[modality][:, found.names[modality].index(name)]


def test_numbers_are_those_of_wesad(monkeypatch):
    data = recording(seconds=20, chest=True)
    monkeypatch.setattr(wesad, "parse_pickle", lambda file: data)
    wanted = wesad.convert("S2.pkl", "S2", "both", 10.0, 5.0)
    rows = wanted["condition"] == 0  # "Base": seconds 3 to 23
    signals = {s.modality: data["signal"][s.place][s.key][3 * s.rate : 23 * s.rate] * s.unit for s in SENSORS}
    found = features.extract(signals, {s.modality: s.rate for s in SENSORS}, 10.0, 5.0)
    for sensor in SENSORS:
        m = sensor.modality
        np.testing.assert_array_equal(found.values[m], wanted[f"{m}/values"][rows].astype(np.float32))
        np.testing.assert_array_equal(found.quality[m], wanted[f"{m}/quality"][rows].astype(np.float32))
        np.testing.assert_array_equal(found.present[m], np.isfinite(wanted[f"{m}/values"][rows]).any(1))
        assert found.names[m] == sensor.kind.names == features.names(found.kinds[m])
    np.testing.assert_array_equal(found.start, wanted["start"][rows])


@pytest.mark.parametrize("rate", [20, 50, 64, 128, 2000])
def test_heart_rate_of_a_pulse_at_any_rate(rate):
    # One beat every 0.8 s: intervals of 800 ms = 75 per minute.
    x = pulse_wave(np.arange(0.3, 60, 0.8), 60, rate)
    found = features.extract({"ppg": x}, rate, 30)
    assert feature(found, "ppg", "interval_median") == pytest.approx([800, 800], abs=2)
    assert found.kinds == {"ppg": "bvp"} and found.quality["ppg"].min() > 0.9


@pytest.mark.parametrize("rate", [100, 130, 256, 4000])
def test_heart_rate_of_an_ecg_at_any_rate(rate):
    found = features.extract({"ecg": ecg_wave(np.arange(0.2, 30, 0.75), 30, rate)}, rate, 30)
    assert feature(found, "ecg", "interval_median") == pytest.approx([750], abs=2)


@pytest.mark.parametrize("rate", [4, 10, 25, 400])
def test_length_of_breaths(rate):
    # A sine of 0.25 Hz: one breath every 4 s.
    t = np.arange(60 * rate) / rate
    found = features.extract({"breathing": np.sin(2 * np.pi * 0.25 * t)}, rate, 60)
    assert feature(found, "breathing", "breath_median") == pytest.approx([4], abs=0.1)


def test_muscle_crossings_do_not_depend_on_the_rate():
    # A sine of 100 Hz crosses zero 200 times per second.
    for rate in (256, 1000, 4000):
        x = 0.1 * np.sin(2 * np.pi * 100 * np.arange(10 * rate) / rate + 0.1)
        found = features.extract({"emg": x}, rate, 10)
        assert feature(found, "emg", "crossings_median") == pytest.approx([200], rel=0.01)


@pytest.mark.parametrize("rate", [128, 250, 1000])
def test_differential_entropy_of_eeg(rate):
    # A sine of 10 Hz and amplitude 20 microvolts has the power 200, all of it in the alpha band.
    t = np.arange(10 * rate) / rate
    x = 20 * np.sin(2 * np.pi * 10 * t)
    values, quality, names = features.of_windows(x[None], rate, "eeg")
    assert names[2] == "entropy_alpha" and quality == [1]
    assert values[0, 2] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 200), abs=0.01)
    noisy = x[None] + RNG.standard_normal((3, len(x)))
    louder, _, _ = features.of_windows(10 * noisy, rate, "eeg")
    np.testing.assert_allclose(louder - features.of_windows(noisy, rate, "eeg")[0], np.log(10), rtol=1e-5)


def test_generic_statistics_of_channels():
    # A line of 1 per second from 0 to 9: median 4.5, percentiles 10 and 90 are 0.9 and 8.1, 60 per minute.
    line = np.arange(10.0)
    found = features.extract({"gaze": np.stack([line, 7 + 0 * line], 1)}, 1.0, 10)
    assert found.names["gaze"] == features.names("generic", 2)
    assert found.names["gaze"][::5] == ("ch0_level_median", "ch1_level_median")
    wanted = [4.5, np.sqrt(8.25), 0.9, 8.1, 60, 7, 0, 7, 7, 0]
    np.testing.assert_allclose(found.values["gaze"][0], wanted, rtol=1e-6, atol=1e-6)
    assert found.present["gaze"].all() and found.quality["gaze"] == [1]


def test_modalities_of_different_rates_and_lengths_share_their_windows():
    signals = {"temp": 33 + RNG.random(100), "eda": 2 + RNG.random(4 * 61), "acc": RNG.random((32 * 95, 3))}
    found = features.extract(signals, {"temp": 1, "eda": 4, "acc": 32}, 30, 15, start=200.0)
    assert found.start.tolist() == [200, 215, 230, 245, 260]
    assert found.present["temp"].tolist() == [True] * 5 == found.present["acc"].tolist()
    assert found.present["eda"].tolist() == [True, True, True, False, False]
    assert np.isnan(found.values["eda"][3:]).all() and found.quality["eda"][3:].tolist() == [0, 0]
    third = features.of_windows(signals["eda"][None, 120:240], 4, "eda")
    np.testing.assert_array_equal(found.values["eda"][2], third[0][0])


def test_windows_of_a_fractional_rate_stay_at_their_seconds():
    # 25.6 samples per second; the value of a sample is its time, so that the median is the middle of the window.
    x = np.arange(2560) / 25.6
    found = features.extract({"gaze": x}, 25.6, 10, 2.5)
    assert len(found.start) == 37
    np.testing.assert_allclose(feature(found, "gaze", "level_median"), found.start + 5, atol=1 / 25.6)


def test_a_channel_without_signal_leaves_the_others():
    x = np.stack([np.sin(np.arange(2000) / 3), np.full(2000, np.nan)], 1)
    found = features.extract({"eeg": x}, 200, 10)
    assert found.present["eeg"].all() and found.quality["eeg"] == [0.5]
    assert np.isfinite(found.values["eeg"]).tolist() == [[True] * 5 + [False] * 5]


def test_acceleration_without_gravity_is_motion():
    x = 0.01 * RNG.standard_normal((320, 3))
    assert features.extract({"imu": x}, 32, 10).present["imu"].all()
    assert not features.extract({"imu": 0 * x}, 32, 10).present["imu"].any()


@pytest.mark.parametrize(
    ("kind", "names"),
    {
        "eda": ["eda", "chest_eda", "wristEDA", "GSR", "sc", "skin conductance", "electrodermal_1"],
        "bvp": ["BVP", "ppg_ear", "pulse", "photoplethysmogram"],
        "ecg": ["ECG1", "ekg", "electrocardiogram"],
        "resp": ["Resp", "RSP", "respiration", "breathing"],
        "temp": ["TEMP", "skt", "skin_temperature"],
        "emg": ["emg_trapezius", "electromyogram"],
        "acc": ["ACC", "imu", "motion", "accelerometer", "Acceleration"],
        "eeg": ["eeg", "EEG_Fp1"],
        "generic": ["HR", "ibi", "pulse_rate", "RespRate", "face", "attempt", "accuracy_eye", "", "人"],
    }.items(),
)
def test_kind_by_name(kind, names):
    assert {name: features.guess_kind(name) for name in names} == dict.fromkeys(names, kind)


GOOD = {"signals": {"eda": 1 + RNG.random(400)}, "rates": 4, "window": 30}
LONG = RNG.random(6000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signals": {}}, "^signals: is not a dict with at least one modality"),
        ({"rates": {"EDA": 4}}, r"^signals\['eda'\]: has no rate; add rates\['eda'\]"),
        ({"rates": 0}, r"has the rate 0; wanted 0\.001 to 100000 samples per second"),
        ({"rates": 0.5}, r"^signals\['eda'\]: 0\.5 Hz is too low for the kind 'eda', .* at least 1 Hz"),
        ({"signals": {"ecg": LONG}, "rates": 50}, r"signals\['ecg'\]: 50 Hz .* at least 100 Hz"),
        ({"kinds": {"eda": "GSR"}}, r"^signals\['eda'\]: has the unknown kind 'GSR'; known: generic, eda, "),
        ({"kinds": "eda"}, "^kinds: is 'eda'; wanted a dict"),
        ({"signals": {"eda": np.ones((2, 3, 4))}}, r"shape \(2, 3, 4\); wanted \[samples\] or \[samples, ch"),
        ({"signals": {"eda": ["a", "b"]}}, r"^signals\['eda'\]: does not hold real numbers"),
        ({"signals": {"eda": np.ones(9) * 1j}}, "does not hold real numbers"),
        ({"signals": {"acc": LONG}, "rates": 32}, r"signals\['acc'\]: has 1 channels; .* 3 axes x, y, z"),
        ({"window": 101}, r"^signals: last less than a window of 101 s \(eda 100 s\); set window lower"),
        ({"signals": {"eda": []}}, "last less than a window"),
        ({"window": 3}, r"signals\['eda'\]: windows of 3 s are too short for the kind 'eda' .* at least 5 s"),
        ({"signals": {"face": LONG}, "rates": 1, "window": 3.9}, "it needs at least 4 s"),
        ({"window": 0}, "^window: is 0; wanted a number of seconds above 0"),
        ({"step": -1}, "^step: is -1"),
        ({"step": 0.1}, "^step: 0.1 s is shorter than one sample at 4 Hz"),
        ({"start": np.nan}, "^start: is nan"),
    ],
)
def test_mistakes_are_named(change, words):
    assert features.extract(**GOOD).present["eda"].all()
    with pytest.raises(DataError, match=words):
        features.extract(**GOOD | change)


def test_mistakes_in_cut_windows_are_named():
    with pytest.raises(DataError, match=r"^X\['eda'\]: has shape \(6000,\); wanted \[windows, samples\]"):
        features.of_windows(LONG, 4, "eda", name="X['eda']")
    with pytest.raises(DataError, match=r"^x: windows of 2 s are too short"):
        features.of_windows(LONG.reshape(-1, 8), 4, "eda")
    with pytest.raises(DataError, match="^kind: has the unknown kind 'x'"):
        features.names("x")
    with pytest.raises(DataError, match="^channels: is 0"):
        features.names("eda", 0)
    values, quality, names = features.of_windows(np.ones((0, 240, 2)), 4, "eda")
    assert values.shape == (0, len(names)) and quality.shape == (0,)


def test_a_wrong_unit_is_a_warning():
    fahrenheit = 91 + RNG.random(400)
    with pytest.warns(UserWarning, match=r"signals\['temp'\]: no sample .*°C, 15 to 45.*convert"):
        found = features.extract({"temp": fahrenheit}, 4, 60)
    assert not found.present["temp"].any()
    features.extract({"temp": np.full(400, 382.18)}, 4, 60)  # a thermometer that is off: no warning


EXTREMES = st.sampled_from([0.0, -0.0, 1.0, -7.5, 1e-300, 1e30, -1e30, 1e31, 1e308, np.nan, np.inf, -np.inf])


@given(data=st.data())
def test_any_numbers_give_features_or_a_message(data):
    """Random kinds, rates, lengths and values: only DataError, documented shapes, no infinite value, no warning."""
    kind = data.draw(st.sampled_from(features.KINDS))
    least = own_signals.ACCEPTED[kind]
    rate = least.least_rate * data.draw(st.sampled_from([0.9, 1, 1.04, 2.5, 7, 32]))
    shortest = max(least.least_seconds, 4 / rate)
    window = shortest * data.draw(st.floats(0.9, 4))
    step, n = window * data.draw(st.floats(0.1, 2)), round(window * rate * data.draw(st.floats(0.9, 3)))
    channels = 3 if kind == "acc" else data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal((n, channels)) * data.draw(st.sampled_from([0, 1e-12, 1, 1e25])) + data.draw(
        st.sampled_from([0, 33])
    )
    x[rng.random(n) < data.draw(st.sampled_from([0, 0.3, 1]))] = data.draw(EXTREMES)
    warnings.filterwarnings("ignore", "signals.*no sample", UserWarning)
    try:
        found = features.extract({"m": x}, rate, window, step, kinds={"m": kind})
    except DataError:
        return
    w = len(found.start)
    assert found.values["m"].shape == (w, len(features.names(kind, channels)))
    assert found.quality["m"].shape == found.present["m"].shape == (w,)
    assert not np.isinf(found.values["m"]).any()
    assert (found.quality["m"] >= 0).all() and (found.quality["m"] <= 1).all()
    assert (found.present["m"] == np.isfinite(found.values["m"]).any(1)).all()
    assert found.values["m"].dtype == found.quality["m"].dtype == np.float32


def test_the_page_lists_every_kind():
    page = ROOT / "docs" / "features.md"
    text = page.read_text(encoding="utf-8")
    for kind, of in own_signals.ACCEPTED.items():
        shortest = f"{of.least_seconds:g} s" if of.least_seconds else "4 samples"
        row = rf"\W{kind}\W+{of.unit}\W+{of.least_rate:g} Hz\W+{shortest}\W"
        assert re.search(row, text), row


def test_real_wrist_recordings():
    """Six subjects with an Empatica E4: plausible hearts, and the rate that the device computed itself."""
    if not REAL.is_file():
        pytest.skip("real recordings are not at hand (../shared/data/emopaircompete.npz)")
    held = np.load(REAL)
    streams, rates = ("BVP", "EDA", "TEMP", "HR"), {"BVP": 64, "EDA": 4, "TEMP": 4, "HR": 1}
    held = {key: held[key] for key in (*streams, *(f"{s}_length" for s in streams), "subject")}
    ends = {s: np.cumsum(held[f"{s}_length"]) for s in streams}
    first = [int(np.flatnonzero(held["subject"] == s)[0]) for s in list(dict.fromkeys(held["subject"]))[:6]]
    differences = []
    for i in first:
        signals = {s: held[s][ends[s][i] - held[f"{s}_length"][i] : ends[s][i]] for s in streams}
        found = features.extract(signals, rates, 60, 30)
        assert found.kinds == {"BVP": "bvp", "EDA": "eda", "TEMP": "temp", "HR": "generic"}
        assert all(found.present[s].sum() >= len(found.start) - 1 for s in streams)
        heart, sure = 60_000 / feature(found, "BVP", "interval_median"), found.quality["BVP"] > 0.7
        assert ((heart > 50) & (heart < 120))[found.present["BVP"]].all()
        differences += list((heart - feature(found, "HR", "level_median"))[sure])
        level = np.expm1(feature(found, "EDA", "log_level_median"))
        assert (level > 0.05).all() and (level < 20).all() and found.quality["EDA"].min() > 0.9
        assert (np.abs(feature(found, "TEMP", "level_median") - 32) < 4).all()
    assert len(differences) > 20 and np.median(np.abs(differences)) < 6  # beats per minute
