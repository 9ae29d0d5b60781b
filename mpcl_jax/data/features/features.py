"""Features of skin conductance, skin temperature, movement, breathing, muscle and EEG; the heart is in cardiac.py.

The rule of `windows.py` decides which features there are; added are only the rate and the sum of skin conductance
responses, which psychophysiology counts (Boucsein 2012). Amounts that spread over orders of magnitude are logarithms.
"""

import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax.data.features.windows import Kind, band_pass, block_mean, names_of, series, slower, statistics

RESPONSE_LEAST = 0.01  # microsiemens: smallest skin conductance response that counts (Boucsein 2012, 2.3)
SKIN_CELSIUS = (15.0, 45.0)  # outside this the thermometer is not on a skin
MOTION_FLOOR = 1e-3  # g, or g/s, added before the logarithm: well below the steps of a wrist sensor (1/64 g)
MUSCLE_FLOOR = 1e-4  # mV, added before the logarithm
BREATH_SECONDS = 1.25  # shortest breath


def conductance(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """Skin conductance x [n] in microsiemens. Samples that are not positive are lost."""
    x, rate = slower(x, rate, 4.0)
    minutes = len(x) / rate / 60
    smooth = scipy.ndimage.uniform_filter1d(x, max(1, round(1.25 * rate)), mode="nearest")
    change = np.log1p(60 * rate * np.abs(np.diff(smooth)))
    heights = responses(smooth)
    responses_of = {
        "response_rate": len(heights) / minutes,
        "log_response_sum": np.log1p(heights.sum() / minutes),
    }
    return series(rate, log_level=np.log1p(smooth), log_change=change) | responses_of, 1.0


def _positive(x: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(x) & (np.nan_to_num(x) > 0), x, np.nan)


def responses(x: np.ndarray) -> np.ndarray:
    """Heights [k] of the peaks of x [n] that stand out by at least RESPONSE_LEAST, in the unit of x."""
    _, found = scipy.signal.find_peaks(x, prominence=RESPONSE_LEAST)
    return found["prominences"]


CONDUCTANCE = Kind(
    (
        *names_of("log_level"),  # log(1 + microsiemens)
        *names_of("log_change"),  # log(1 + microsiemens/min), size of the change
        "response_rate",  # skin conductance responses per minute
        "log_response_sum",  # log(1 + microsiemens/min), all responses together
    ),
    conductance,
    clean=_positive,  # constant: the electrodes do not touch
)


def temperature(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """Skin temperature x [n] in degrees Celsius. Samples outside SKIN_CELSIUS are lost."""
    x, rate = slower(x, rate, 4.0)
    return series(rate, level=x), 1.0


def _on_skin(x: np.ndarray) -> np.ndarray:
    low, high = SKIN_CELSIUS
    return np.where((x > low) & (x < high), x, np.nan)


# Degrees Celsius.
TEMPERATURE = Kind(names_of("level"), temperature, clean=_on_skin, off=lambda x: False)


def motion(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """Acceleration x [n, 3] in g."""
    x, rate = slower(x, rate, 32.0)
    jerk = np.log(MOTION_FLOOR + np.linalg.norm(np.diff(x, axis=0), axis=1) * rate)
    axes = dict(zip("xyz", x.T, strict=True))
    return series(rate, **axes, length=np.linalg.norm(x, axis=1), log_jerk=jerk), 1.0


def _without_gravity(x: np.ndarray) -> bool:
    return bool(np.median(np.linalg.norm(x, axis=1)) < 0.1)


# g; of the size of the change log(g/s).
MOTION = Kind(names_of(*"xyz", "length", "log_jerk"), motion, off=_without_gravity)


def breathing(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """Width of the chest x [n], any unit, growing when inhaling. Quality: share of the window in breaths."""
    x, rate = slower(x, rate, 25.0)
    wave = band_pass(x, 0.08, 0.8, rate)
    peaks, _ = scipy.signal.find_peaks(
        wave, prominence=0.5 * wave.std(), distance=max(1, BREATH_SECONDS * rate)
    )
    if len(peaks) < 3:
        return {}, 0.0
    lengths = np.diff(peaks)
    troughs = np.array([a + int(np.argmin(wave[a:b])) for a, b in zip(peaks[:-1], peaks[1:], strict=True)])
    depths = wave[peaks[1:]] - wave[troughs]
    at = peaks[1:] / rate
    values = {
        **statistics("breath", lengths / rate, at),
        **statistics("log_depth", np.log1p(depths), at),
        **statistics("inhale_share", (peaks[1:] - troughs) / lengths, at),
    }
    # From the first to the last peak; up to one breath is always lost at each end.
    covered = (lengths.sum() + 2 * np.median(lengths)) / len(x)
    return values, min(1.0, covered)


# Seconds from peak to peak; log(1 + unit of the belt) from trough to peak; share of a breath spent inhaling.
BREATHING = Kind(names_of("breath", "log_depth", "inhale_share"), breathing)


def muscle(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """Electromyogram x [n] in mV at >= 200 Hz."""
    x, rate = slower(x, rate, 1000.0)
    wave = band_pass(x, 20.0, 250.0, rate)
    tenth, second = round(rate / 10), round(rate)  # samples
    envelope = np.log(MUSCLE_FLOOR + np.sqrt(block_mean(wave**2, tenth)))
    crossings = block_mean(rate * np.abs(np.diff(np.signbit(wave).astype(float))), second)
    return series(rate / tenth, log_tone=envelope) | series(rate / second, crossings=crossings), 1.0


# log(mV) of the envelope; zero crossings per second, second by second: the pitch of the activity.
MUSCLE = Kind(names_of("log_tone", "crossings"), muscle)

BANDS = {
    "delta": (1, 4),
    "theta": (4, 8),
    "alpha": (8, 14),
    "beta": (14, 31),
    "gamma": (31, 49),
}  # Hz, as DMER


def electroencephalogram(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """One channel of EEG x [n] in microvolts at >= 100 Hz, at least 1 s of it.

    Differential entropy 1/2 ln(2 pi e P) of every band (Duan et al. 2013, IEEE/EMBS NER, 81-84). P is the power of
    the band, from Welch's method with segments of 1 s.
    """
    frequency, density = scipy.signal.welch(x, rate, nperseg=round(rate))
    values = {}
    for name, (low, high) in BANDS.items():
        power = density[(frequency >= low) & (frequency < high)].mean() * (high - low)
        values[f"entropy_{name}"] = 0.5 * np.log(2 * np.pi * np.e * power)
    return values, 1.0


EEG = Kind(tuple(f"entropy_{band}" for band in BANDS), electroencephalogram)  # nats, of microvolts


def generic(x: np.ndarray, rate: float) -> tuple[dict[str, float], float]:
    """A signal x [n] of any meaning and unit."""
    return series(rate, level=x), 1.0


GENERIC = Kind(names_of("level"), generic, off=lambda x: False)  # the unit of the signal
