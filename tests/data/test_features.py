"""Features of signals whose truth is known, and of signals that are broken."""

import csv

import numpy as np
import pytest
from python_process import ROOT
from test_cardiac import ecg_wave, pulse_wave

from mpcl_jax.data.features import cardiac, features, windows
from mpcl_jax.data.features.windows import STATISTICS, VERSION, describe_window, statistics

KINDS = {  # each with its rate in Hz
    "pulse": (cardiac.PULSE, 64),
    "ecg": (cardiac.ECG, 700),
    "conductance": (features.CONDUCTANCE, 4),
    "temperature": (features.TEMPERATURE, 4),
    "motion": (features.MOTION, 32),
    "breathing": (features.BREATHING, 25),
    "muscle": (features.MUSCLE, 700),
}
GOLDEN = ROOT / "tests" / "golden" / "features.csv"
MINUTE = np.arange(240) / 4  # seconds, at 4 Hz


def named(kind, x, rate):
    row = describe_window(kind, x, rate)
    return dict(zip(kind.names, row.values, strict=True)), row


def response_wave(t, at, height):
    """A skin conductance response: one second up, five seconds half way down."""
    since = np.maximum(t - at, 0)
    shape = (1 - np.exp(-since / 0.7)) * np.exp(-since / 4)
    return height * shape / shape.max()


def example(name, seconds=60):
    """A clean, deterministic window of each kind of signal."""
    rate = KINDS[name][1]
    t = np.arange(round(seconds * rate)) / rate
    if name == "pulse":
        return pulse_wave(np.arange(0.4, seconds, 0.9), seconds)
    if name == "ecg":
        return ecg_wave(np.arange(0.4, seconds, 0.9), seconds)
    if name == "conductance":
        return 2 + 0.005 * t + sum(response_wave(t, at, 0.2) for at in np.arange(5, seconds - 5, 12))
    if name == "temperature":
        return 32 + 0.003 * t + 0.01 * np.sin(t)
    if name == "motion":
        wave = np.stack([np.sin(2 * np.pi * 1.1 * t), np.sin(2 * np.pi * 5.3 * t), 0 * t], 1)
        return np.array([0.6, 0.0, 0.8]) + 0.1 * wave * (t < seconds / 2)[:, None]
    if name == "breathing":
        return 5 * np.sin(2 * np.pi * 0.25 * t)
    return 0.05 * np.sin(2 * np.pi * 100 * t) * (1 + 0.5 * np.sin(2 * np.pi * 0.5 * t))


def test_statistics_of_a_straight_line():
    # 0, 1, ... 10 at 0, 2, ... 20 s: median 5, sd sqrt(10), percentiles 10 and 90 are 1 and 9, 30 per minute.
    x = np.arange(11.0)
    found = statistics("line", x, 2 * x + 100)
    assert list(found) == [f"line_{of}" for of in STATISTICS]
    np.testing.assert_allclose(list(found.values()), [5, np.sqrt(10), 1, 9, 30])
    assert statistics("line", x[:1], x[:1]) == {} == statistics("line", x[:0], x[:0])


def test_planted_skin_conductance_responses_are_counted():
    planted = 1.0 + sum(response_wave(MINUTE, at, 0.3) for at in range(6, 50, 10))
    values, row = named(features.CONDUCTANCE, planted, 4)
    assert values["response_rate"] == 5.0
    # Smoothing over 1.25 s and the tail of the response before take a part of each rise.
    assert np.expm1(values["log_response_sum"]) == pytest.approx(5 * 0.3, rel=0.25)
    assert row.quality == 1.0 and row.present
    tiny = 1.0 + sum(response_wave(MINUTE, at, 0.005) for at in (6, 16, 26))
    assert named(features.CONDUCTANCE, tiny, 4)[0]["response_rate"] == 0.0


def test_lost_contact_is_no_response():
    """Zeros are what an electrode without skin gives; drawn over, they neither lower the level nor count."""
    x = np.full(240, 2.0) + 1e-4 * np.arange(240)
    x[60:84] = 0.0
    values, row = named(features.CONDUCTANCE, x, 4)
    assert values["response_rate"] == 0.0 and values["log_level_sd"] < 0.01
    assert np.expm1(values["log_level_median"]) == pytest.approx(x[x > 0].mean(), rel=1e-3)
    assert row.quality == pytest.approx(0.9)


def test_level_and_slope_of_skin_conductance():
    values, _ = named(features.CONDUCTANCE, 2.0 + 0.6 * (MINUTE - MINUTE.mean()) / 60, 4)
    assert values["log_level_median"] == pytest.approx(np.log(3), rel=0.01)  # log(1 + 2)
    assert values["log_level_slope"] == pytest.approx(0.6 / 3, rel=0.03)  # the slope of log(1 + x) at x = 2
    assert np.expm1(values["log_change_median"]) == pytest.approx(0.6, rel=0.02)


def test_temperature_level_slope_and_garbage():
    x = 33.0 + 0.5 * (MINUTE - MINUTE.mean()) / 60
    values, row = named(features.TEMPERATURE, x, 4)
    assert (values["level_median"], values["level_slope"]) == (pytest.approx(33.0), pytest.approx(0.5))
    assert row.quality == 1.0
    x[:24] = 382.18  # what an Empatica writes before its thermometer answers
    values, row = named(features.TEMPERATURE, x, 4)
    assert values["level_median"] == pytest.approx(33.0, abs=0.05) and row.quality == pytest.approx(0.9)
    assert not describe_window(features.TEMPERATURE, np.full(240, 382.18), 4).present
    assert describe_window(features.TEMPERATURE, np.full(240, 33.0), 4).present  # steps of 0.02


def test_motion_of_a_sine():
    # Amplitude a on one axis: sd a / sqrt 2.
    t = np.arange(32 * 60) / 32
    jerk = {}
    for hertz in (1.0, 4.0):
        x = np.stack([0.2 * np.sin(2 * np.pi * hertz * t), 0 * t, np.ones(len(t))], 1)
        values, row = named(features.MOTION, x, 32)
        assert values["x_sd"] == pytest.approx(0.2 / np.sqrt(2), rel=0.01)
        assert values["y_sd"] == 0.0 and values["z_median"] == 1.0 and row.quality == 1.0
        assert values["length_median"] == pytest.approx(np.median(np.sqrt(1 + x[:, 0] ** 2)))
        jerk[hertz] = values["log_jerk_high"]
    assert jerk[4.0] - jerk[1.0] == pytest.approx(np.log(4), abs=0.1)


def test_stillness_and_gravity():
    still = np.tile([0.0, 0.0, 1.0], (32 * 60, 1))
    values, row = named(features.MOTION, still, 32)
    assert row.present and values["log_jerk_high"] == pytest.approx(np.log(1e-3))  # the floor
    still[960:] = [1.0, 0.0, 0.0]
    values, _ = named(features.MOTION, still, 32)
    assert values["x_sd"] == pytest.approx(0.5) and values["length_sd"] == 0.0


def test_breathing_fifteen_times_a_minute():
    # Inhaling 1.5 s, exhaling 2.5 s: 15/min, share .375, from -1 to 1 by straight lines, belt in percent * 10.
    t = np.arange(0, 60, 1 / 700)
    phase = t % 4
    x = 10 * np.where(phase < 1.5, -1 + 2 * phase / 1.5, 1 - 2 * (phase - 1.5) / 2.5)
    values, row = named(features.BREATHING, x, 700)
    assert values["breath_median"] == pytest.approx(4, abs=0.03)
    assert values["breath_sd"] < 0.08
    assert np.expm1(values["log_depth_median"]) == pytest.approx(20, rel=0.2)  # the band rounds the corners
    assert 0.35 < values["inhale_share_median"] < 0.5 and row.quality > 0.9
    assert describe_window(features.BREATHING, x[: 5 * 700], 700).quality == 0.0  # 5 s hold no two breaths


def test_muscle_tone_and_pitch():
    t = np.arange(700 * 20) / 700
    x = 0.1 * np.sin(2 * np.pi * 100 * t)
    values, _ = named(features.MUSCLE, x, 700)
    assert np.exp(values["log_tone_median"]) == pytest.approx(0.1 / np.sqrt(2), rel=0.02)
    assert values["crossings_median"] == pytest.approx(200, rel=0.01)  # a sine of 100 Hz
    assert values["log_tone_sd"] < 0.05
    bursts, _ = named(features.MUSCLE, x * (t % 2 < 1), 700)
    assert bursts["log_tone_high"] - bursts["log_tone_low"] > 3  # half on, half off


@pytest.mark.parametrize("name", KINDS)
def test_lost_samples_and_noise_cost_quality_and_dead_sensors_are_absent(name):
    kind, rate = KINDS[name]
    x = example(name)
    whole = describe_window(kind, x, rate)
    assert whole.present and np.isfinite(whole.values).all() and whole.quality > 0.85
    broken = x.copy()
    broken[: int(0.3 * len(x))] = np.nan
    row = describe_window(kind, broken, rate)
    assert row.present and np.isfinite(row.values).all() and row.quality <= 0.71
    broken[: int(0.6 * len(x))] = np.inf
    for dead in (broken, np.full(x.shape, np.nan), np.zeros(x.shape)):
        row = describe_window(kind, dead, rate)
        assert not row.present and row.quality == 0.0 and np.isnan(row.values).all()
    row = describe_window(kind, np.random.default_rng(0).standard_normal(example(name, 5).shape), rate)
    assert row.values.shape == (len(kind.names),) and not np.isinf(row.values).any() and 0 <= row.quality <= 1


@pytest.mark.parametrize("name", KINDS)
def test_numbers_belong_to_their_version(name):
    """`golden/features.csv` holds the values of `example` under VERSION 2.

    When this test fails because a feature was changed on purpose, raise windows.VERSION: caches of users hold the old
    numbers and are computed again only then.
    """
    assert VERSION == 2
    (wanted,) = [row[1:] for row in csv.reader(GOLDEN.read_text().splitlines()) if row[0] == name]
    found = describe_window(KINDS[name][0], example(name), KINDS[name][1]).values
    np.testing.assert_allclose(found, np.float64(wanted), rtol=1e-3, atol=1e-3)


def test_gaps_are_drawn_over_by_lines_and_a_sample_is_lost_with_any_of_its_axes():
    mended, good = windows.repair(np.array([np.nan, 1.0, np.nan, np.inf, 4.0, np.nan]))
    assert mended.tolist() == [1, 1, 2, 3, 4, 4]  # a line between 1 and 4, the nearest value at the ends
    assert good == pytest.approx(2 / 6)
    mended, good = windows.repair(np.array([[0.0, 0.0], [np.nan, 5.0], [2.0, 4.0]]))
    assert mended.tolist() == [[0, 0], [1, 2], [2, 4]] and good == pytest.approx(2 / 3)
