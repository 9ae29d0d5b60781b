"""Features of skin conductance, skin temperature, movement, breathing and muscle; the heart is in cardiac.py.

The set is small on purpose. Fifteen people give 75 reports, so a feature that does not say the same of
everybody costs more than it brings: on the wrists of ten people of WESAD, each held out once, ridge regression
on the 22 features kept has a KL of .0627, on 86 candidates .0674. Amounts that spread over orders of magnitude
are logarithms.
"""

import numpy as np
import scipy  # its parts load when they are asked for

from mpcl_jax.data.windows import (
    LEAST_GOOD,
    Described,
    Kind,
    absent,
    band_pass,
    block_mean,
    described,
    repair,
    slope,
    slower,
)

RESPONSE_LEAST = 0.01  # microsiemens: smallest skin conductance response that counts (Boucsein 2012, 2.3)
SKIN_CELSIUS = (15.0, 45.0)  # outside this the thermometer is not on a skin
MOTION_FLOOR = 1e-3  # g, added before the logarithm: well below the steps of a wrist sensor (1/64 g)
STILL = 0.02  # g, rms of a second without movement
MUSCLE_FLOOR = 1e-4  # mV, added before the logarithm
BREATH_SECONDS = 1.25  # shortest breath

CONDUCTANCE_NEUTRAL = {
    "log_level": 0.5,  # log(1 + microsiemens), mean
    "slope": 0.0,  # microsiemens/min
    "log_range": 0.05,  # log(1 + microsiemens)
    "log_spread": 0.01,  # log(1 + microsiemens), sd around the straight line
    "response_rate": 1.0,  # skin conductance responses per minute
    "log_response_sum": 0.05,  # log(1 + microsiemens/min), all responses together
    "log_activity": 0.1,  # log(1 + microsiemens/min), all changes together
}


def conductance(x: np.ndarray, rate: float) -> Described:
    """Skin conductance x [n] in microsiemens. Quality: share of samples that are positive numbers.

    An exactly constant window counts as absent: the electrodes do not touch.
    """
    on_skin = np.isfinite(x) & (np.nan_to_num(x) > 0)
    x, good = repair(np.where(on_skin, x, np.nan))
    if good < LEAST_GOOD or np.ptp(x) == 0:
        return absent(CONDUCTANCE_NEUTRAL)
    x, rate = slower(x, rate, 4.0)
    minutes = len(x) / rate / 60
    smooth = scipy.ndimage.uniform_filter1d(x, max(1, round(1.25 * rate)), mode="nearest")
    heights = responses(smooth)
    values = {
        "log_level": np.log1p(x.mean()),
        "slope": slope(x, rate),
        "log_range": np.log1p(np.ptp(smooth)),
        "log_spread": np.log1p(scipy.signal.detrend(x).std()),
        "response_rate": len(heights) / minutes,
        "log_response_sum": np.log1p(heights.sum() / minutes),
        "log_activity": np.log1p(np.abs(np.diff(smooth)).sum() / minutes),
    }
    return described(CONDUCTANCE_NEUTRAL, values, good)


def responses(x: np.ndarray) -> np.ndarray:
    """Heights [k] of the peaks of x [n] that stand out by at least RESPONSE_LEAST, in the unit of x."""
    _, found = scipy.signal.find_peaks(x, prominence=RESPONSE_LEAST)
    return found["prominences"]


TEMPERATURE_NEUTRAL = {
    "level": 33.0,  # degrees Celsius, mean
    "slope": 0.0,  # degrees/min
    "log_spread": 0.02,  # log(1 + degrees), sd around the straight line
}


def temperature(x: np.ndarray, rate: float) -> Described:
    """Skin temperature x [n] in degrees Celsius. Quality: share of samples within SKIN_CELSIUS."""
    low, high = SKIN_CELSIUS
    x, good = repair(np.where((x > low) & (x < high), x, np.nan))
    if good < LEAST_GOOD:
        return absent(TEMPERATURE_NEUTRAL)
    x, rate = slower(x, rate, 4.0)
    values = {
        "level": x.mean(),
        "slope": slope(x, rate),
        "log_spread": np.log1p(scipy.signal.detrend(x).std()),
    }
    return described(TEMPERATURE_NEUTRAL, values, good)


# Without the mean of each axis: how a device is worn turns its axes, and so their meaning, from person to person.
MOTION_NEUTRAL = {
    "log_energy": -3.0,  # log(g), rms around the mean: any movement, posture included
    "log_jerk": -1.0,  # log(g/s), mean change
    "log_slow": -4.0,  # log(g), rms at 0.3-2 Hz: gestures
    "log_fast": -4.5,  # log(g), rms at 2-8 Hz: fidgeting, tremor
    "log_posture": -4.0,  # log(g), rms change of the mean from second to second
    "still": 0.8,  # share of seconds without movement
}


def motion(x: np.ndarray, rate: float) -> Described:
    """Acceleration x [n, 3] in g. Absent where there is no gravity (median length below 0.1 g).

    Quality: share of samples that are there.
    """
    x, good = repair(x)
    if good < LEAST_GOOD or np.median(np.linalg.norm(x, axis=1)) < 0.1:
        return absent(MOTION_NEUTRAL)
    x, rate = slower(x, rate, 32.0)
    second = max(1, round(rate))
    around = x - scipy.ndimage.uniform_filter1d(x, second, axis=0, mode="nearest")
    seconds = np.sqrt(block_mean((around**2).sum(1), second))
    values = {
        "log_energy": _log_rms(x - x.mean(0)),
        "log_jerk": float(np.log(MOTION_FLOOR + np.linalg.norm(np.diff(x, axis=0), axis=1).mean() * rate)),
        "log_slow": _log_rms(band_pass(x, 0.3, 2.0, rate)),
        "log_fast": _log_rms(band_pass(x, 2.0, 8.0, rate)),
        "log_posture": _log_rms(np.diff(block_mean(x, second), axis=0)),
        "still": float(np.mean(seconds < STILL)),
    }
    return described(MOTION_NEUTRAL, values, good)


def _log_rms(x: np.ndarray) -> float:
    """log(g) of the root mean square length of x [n, 3]."""
    return float(np.log(MOTION_FLOOR + np.sqrt((x**2).sum(1).mean())))


BREATHING_NEUTRAL = {
    "breath_rate": 15.0,  # breaths/min
    "length_variation": 0.2,  # sd / mean of the lengths of breaths
    "log_depth": 1.5,  # log(1 + unit of the belt), median from trough to peak
    "depth_variation": 0.3,  # sd / mean
    "inhale_share": 0.45,  # share of a breath spent inhaling
}


def breathing(x: np.ndarray, rate: float) -> Described:
    """Width of the chest x [n], any unit, growing when inhaling. Quality: share of the window in breaths."""
    x, good = repair(x)
    if good < LEAST_GOOD or np.ptp(x) == 0:
        return absent(BREATHING_NEUTRAL)
    x, rate = slower(x, rate, 25.0)
    wave = band_pass(x, 0.08, 0.8, rate)
    peaks, _ = scipy.signal.find_peaks(
        wave, prominence=0.5 * wave.std(), distance=max(1, BREATH_SECONDS * rate)
    )
    if len(peaks) < 3:
        return described(BREATHING_NEUTRAL, {}, 0.0)
    lengths = np.diff(peaks)
    troughs = np.array([a + int(np.argmin(wave[a:b])) for a, b in zip(peaks[:-1], peaks[1:], strict=True)])
    depths = wave[peaks[1:]] - wave[troughs]
    values = {
        "breath_rate": 60 * rate / np.median(lengths),
        "length_variation": lengths.std() / lengths.mean(),
        "log_depth": np.log1p(np.median(depths)),
        "depth_variation": depths.std() / depths.mean(),
        "inhale_share": np.median((peaks[1:] - troughs) / lengths),
    }
    # From the first to the last peak; up to one breath is always lost at each end.
    covered = (lengths.sum() + 2 * np.median(lengths)) / len(x)
    return described(BREATHING_NEUTRAL, values, good * min(1.0, covered))


MUSCLE_NEUTRAL = {
    "log_tone": -5.0,  # log(mV), rms
    "log_peak": -4.0,  # log(mV), 95th percentile of the envelope
    "burst": 0.5,  # sd / mean of the envelope
    "crossings": 100.0,  # zero crossings per second: the pitch of the activity
}


def muscle(x: np.ndarray, rate: float) -> Described:
    """Electromyogram x [n] in mV at >= 200 Hz. Quality: share of samples that are there."""
    x, good = repair(x)
    if good < LEAST_GOOD or np.ptp(x) == 0:
        return absent(MUSCLE_NEUTRAL)
    wave = band_pass(x, 20.0, 250.0, rate)
    envelope = np.sqrt(block_mean(wave**2, max(1, round(rate / 10))))
    values = {
        "log_tone": np.log(MUSCLE_FLOOR + wave.std()),
        "log_peak": np.log(MUSCLE_FLOOR + np.percentile(envelope, 95)),
        "burst": envelope.std() / envelope.mean(),
        "crossings": np.count_nonzero(np.diff(np.signbit(wave))) * rate / len(wave),
    }
    return described(MUSCLE_NEUTRAL, values, good)


CONDUCTANCE = Kind(CONDUCTANCE_NEUTRAL, conductance)
TEMPERATURE = Kind(TEMPERATURE_NEUTRAL, temperature)
MOTION = Kind(MOTION_NEUTRAL, motion)
BREATHING = Kind(BREATHING_NEUTRAL, breathing)
MUSCLE = Kind(MUSCLE_NEUTRAL, muscle)
