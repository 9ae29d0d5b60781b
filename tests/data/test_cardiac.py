"""Beats and rhythm on signals whose beats are known."""

import numpy as np
import pytest

from mpcl_jax.data.features import cardiac
from mpcl_jax.data.features.windows import describe_window


def pulse_wave(times, seconds, rate=64, heights=None):
    """A steep rise and a slow fall with a second, lower hump, as a wrist pulse has; one at each of `times`."""
    t = np.arange(round(seconds * rate)) / rate
    heights = np.full(len(times), 60.0) if heights is None else heights
    wave = np.zeros(len(t))
    for at, height in zip(times, heights, strict=True):
        wave += height * np.exp(-0.5 * ((t - at - 0.15) / 0.07) ** 2)
        wave += 0.4 * height * np.exp(-0.5 * ((t - at - 0.42) / 0.1) ** 2)
    return wave


def ecg_wave(times, seconds, rate=700):
    """R peaks of 1 mV, 20 ms wide, with lower T waves, over a drifting baseline."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 0.2 * t)
    for at in times:
        wave += np.exp(-0.5 * ((t - at) / 0.01) ** 2) + 0.2 * np.exp(-0.5 * ((t - at - 0.25) / 0.05) ** 2)
    return wave


def test_rhythm_of_alternating_intervals():
    # Intervals .8 .9 .8 .9 s, equally often: every successive difference 100 ms -> RMSSD 100.
    times = np.concatenate(([0.0], np.cumsum(np.tile([0.8, 0.9], 20))))
    heart = cardiac.rhythm(times, seconds=40.0)
    np.testing.assert_allclose(heart.intervals, np.tile([800.0, 900.0], 20))
    np.testing.assert_allclose(heart.at, times[:-1])
    assert heart.rmssd == pytest.approx(100.0)
    assert heart.coverage == pytest.approx(34 / 40)


@pytest.mark.parametrize("change", ["missed", "false"])
def test_one_wrong_beat_does_not_change_variability(change):
    # Without cleaning the doubled (or cut) interval alone would give an RMSSD of about 150 ms.
    rng = np.random.default_rng(0)
    times = np.cumsum(0.8 + 0.01 * rng.standard_normal(60))
    wrong = np.delete(times, 30) if change == "missed" else np.sort(np.append(times, times[30] + 0.3))
    clean, heart = cardiac.rhythm(times, 48.0), cardiac.rhythm(wrong, 48.0)
    assert heart.rmssd == pytest.approx(clean.rmssd, rel=0.1)
    assert heart.intervals.std() == pytest.approx(clean.intervals.std(), rel=0.1)
    assert heart.coverage < clean.coverage - 0.01


def pulse(times, seconds=60, **changes):
    row = describe_window(cardiac.PULSE, pulse_wave(times, seconds, **changes), 64)
    return row, dict(zip(cardiac.PULSE.names, row.values, strict=True))


def test_pulse_of_72_per_minute():
    row, values = pulse(np.arange(0.3, 60, 60 / 72))
    assert row.present and row.quality > 0.95
    assert 60_000 / values["interval_median"] == pytest.approx(72, abs=0.2)
    assert values["interval_sd"] < 3 and np.expm1(values["log_rmssd"]) < 3  # ms; a sample lasts 15.6
    assert values["log_height_high"] - values["log_height_low"] < 0.05


def test_variability_and_height_of_a_pulse():
    # Intervals uniform in .7 ... 1.0 s and heights alternating 40, 80: half their logarithms' difference is .347.
    times = np.cumsum(np.random.default_rng(1).uniform(0.7, 1.0, 65))
    times = times[times < 59]
    _, values = pulse(times, heights=np.where(np.arange(len(times)) % 2, 80.0, 40.0))
    assert values["interval_sd"] == pytest.approx(1000 * np.diff(times).std(), rel=0.1)
    truth = 1000 * np.sqrt(np.mean(np.diff(times, 2) ** 2))
    assert np.expm1(values["log_rmssd"]) == pytest.approx(truth, rel=0.1)
    assert values["log_height_sd"] == pytest.approx(np.log(2) / 2, abs=0.08)


@pytest.mark.parametrize("sign", [1, -1])
def test_ecg_of_80_per_minute_either_way_round(sign):
    times = np.arange(0.2, 30, 0.75)
    wave = sign * ecg_wave(times, 30)
    found = cardiac.ecg_beats(wave + 0.02 * np.random.default_rng(2).standard_normal(30 * 700), 700)
    assert len(found) == len(times) and np.abs(found - times).max() < 0.004
    row = describe_window(cardiac.ECG, wave, 700)
    assert 60_000 / row.values[0] == pytest.approx(80, abs=0.2) and row.quality > 0.95


def test_noise_and_two_beats_are_no_heart():
    rng = np.random.default_rng(3)
    noise = [describe_window(cardiac.PULSE, rng.standard_normal(3840), 64).quality for _ in range(5)]
    assert max(noise) < 0.75
    row, _ = pulse(np.array([1.0, 2.0]), 10)
    assert row.present and row.quality == 0.0 and np.isnan(row.values[0])
