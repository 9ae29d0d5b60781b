"""The heart: beats of a pulse wave or an electrocardiogram, their rate and variability.

Beats are found where a fast moving average exceeds a slow one (Elgendi et al. 2013, PLoS ONE 8(10):e76585),
here on the squared rise of the signal. A beat of the pulse is put at its steepest rise: the peak of a wrist
pulse is a plateau on which the highest sample is unstable (on WESAD, rises halve the RMSSD of subjects at rest).
Variability follows the Task Force of the ESC and NASPE (1996, Circulation 93:1043-1065), on intervals from
which missed and false beats were taken out.
"""

from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax.data.features.windows import Kind, band_pass, names_of, slower, statistics

SHORTEST, LONGEST = 0.33, 1.6  # seconds between two beats of an adult without hard exercise
TOLERANCE = 0.25  # largest deviation of an interval from the median of its neighbourhood, as a share
NEIGHBOURHOOD = 9  # intervals of that neighbourhood
FEWEST = 4  # accepted intervals below which no heart rate is computed
REACH = 0.35  # seconds before and after a rise in which its foot and its peak are looked for
FASTEST = 1000.0  # Hz; a faster signal is averaged to about this rate, because the filters lose precision


class Rhythm(NamedTuple):
    """The accepted intervals between the beats of one window."""

    intervals: np.ndarray  # [k] milliseconds, empty where there are fewer than FEWEST
    at: np.ndarray  # [k] seconds, when each of them began
    rmssd: float  # milliseconds, root mean square of successive differences; NaN where there are too few
    coverage: float  # share of the window that accepted intervals explain, in [0, 1]


def pulse_beats(x: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Beats of a blood volume pulse x [n], any unit, at `rate` >= 20 Hz.

    Returns the times [k] of the steepest rises in seconds, finer than a sample, and the heights [k] from foot
    to peak in the unit of x.
    """
    wave = band_pass(x, 0.5, 5.0, rate)
    rise = np.gradient(wave) * rate
    tops = _tops(rise, np.maximum(rise, 0) ** 2, 0.111, 0.02, rate)
    reach = max(1, round(REACH * rate))
    heights = [wave[t : t + reach].max() - wave[max(0, t - reach) : t + 1].min() for t in tops]
    return (tops + _offset_of_top(rise, tops)) / rate, np.array(heights)


def ecg_beats(x: np.ndarray, rate: float) -> np.ndarray:
    """Times [k] in seconds of the R peaks of an electrocardiogram x [n], any polarity, at `rate` >= 100 Hz."""
    wave = band_pass(x, 5.0, 25.0, rate)
    if -np.percentile(wave, 0.5) > np.percentile(wave, 99.5):
        wave = -wave  # electrodes the other way round: the R peak points down
    tops = _tops(wave, np.gradient(wave) ** 2, 0.1, 0.1, rate)
    return (tops + _offset_of_top(wave, tops)) / rate


def _tops(wave: np.ndarray, energy: np.ndarray, fast: float, excess: float, rate: float) -> np.ndarray:
    """The highest sample of `wave` in every stretch where `energy` over `fast` seconds exceeds that of a beat.

    `excess`: by which share of the mean energy; keeps the noise between two beats out.
    """
    beat = scipy.ndimage.uniform_filter1d(energy, max(1, round(0.667 * rate)))
    peak = scipy.ndimage.uniform_filter1d(energy, max(1, round(fast * rate)))
    inside = np.concatenate(([False], peak > beat + excess * energy.mean(), [False]))
    edges = np.flatnonzero(np.diff(inside.astype(np.int8)))
    stretches = zip(edges[::2], edges[1::2], strict=True)
    tops = [a + int(np.argmax(wave[a:b])) for a, b in stretches if b - a >= 0.06 * rate]
    kept: list[int] = []
    for top in tops:
        if not 0 < top < len(wave) - 1:
            continue  # cut by the border of the window: the real top may lie outside
        if not kept or top - kept[-1] >= SHORTEST * rate:
            kept.append(top)
        elif wave[top] > wave[kept[-1]]:
            kept[-1] = top
    return np.array(kept, int)


def _offset_of_top(wave: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """Where the parabola through a top and its neighbours is highest, in samples from the top.

    A wrist is sampled at 64 Hz: without this, rounding to 15.6 ms would be a large part of RMSSD at rest.
    """
    left, middle, right = wave[tops - 1], wave[tops], wave[tops + 1]
    bend = left - 2 * middle + right
    round_top = bend < 0
    return np.where(
        round_top, np.clip(0.5 * (left - right) / np.where(round_top, bend, -1.0), -0.5, 0.5), 0.0
    )


def rhythm(times: np.ndarray, seconds: float) -> Rhythm:
    """The intervals of the beats at `times` [k] (seconds) in a window of `seconds`.

    Refused are intervals outside [SHORTEST, LONGEST] and those further than TOLERANCE from the median of
    their neighbours: a missed beat doubles an interval, a false one cuts it in two.
    """
    intervals = np.diff(times)
    index = np.flatnonzero((intervals >= SHORTEST) & (intervals <= LONGEST))
    accepted = np.zeros(len(intervals), bool)
    if len(index) >= FEWEST:
        usual = scipy.ndimage.median_filter(intervals[index], NEIGHBOURHOOD, mode="nearest")
        accepted[index] = np.abs(intervals[index] - usual) <= TOLERANCE * usual
    good = intervals[accepted]
    if len(good) < FEWEST:
        return Rhythm(np.empty(0), np.empty(0), np.nan, 0.0)
    steps = np.diff(intervals)[accepted[1:] & accepted[:-1]]
    return Rhythm(
        intervals=1000 * good,
        at=times[:-1][accepted],
        rmssd=1000 * np.sqrt(np.mean(steps**2)) if len(steps) >= FEWEST - 1 else np.nan,
        coverage=min(1.0, good.sum() / seconds),
    )


def _features(heart: Rhythm) -> dict[str, float]:
    return statistics("interval", heart.intervals, heart.at) | {"log_rmssd": np.log1p(heart.rmssd)}


def pulse(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """Blood volume pulse x [n] at >= 20 Hz. Quality: share of the window in intervals of a heart."""
    x, rate = slower(x, rate, FASTEST)
    times, heights = pulse_beats(x, rate)
    heart = rhythm(times, len(x) / rate)
    values = statistics("log_height", np.log1p(heights), times) if len(heights) >= FEWEST else {}
    return _features(heart) | values, heart.coverage


def electrocardiogram(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """Electrocardiogram x [n] at >= 100 Hz. Quality as for the pulse."""
    x, rate = slower(x, rate, FASTEST)
    heart = rhythm(ecg_beats(x, rate), len(x) / rate)
    return _features(heart), heart.coverage


# Intervals between beats in milliseconds (their sd is the SDNN), and log(1 + ms).
ECG = Kind((*names_of("interval"), "log_rmssd"), electrocardiogram)
# Also heights of the pulses: log(1 + unit of the sensor).
PULSE = Kind((*ECG.names, *names_of("log_height")), pulse)
