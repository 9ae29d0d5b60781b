"""What goes into a stream and what comes out of it."""

from typing import NamedTuple

import numpy as np


class Samples(NamedTuple):
    """One chunk of one sensor. All sensors of a stream share one clock; n may be 0."""

    sensor: str  # a modality of the model
    times: np.ndarray  # [n] float64 seconds, of each sample
    values: np.ndarray  # [n] or [n, channels] float32, NaN where a sample is lost


class Report(NamedTuple):
    """A self-report of the wearer."""

    time: float  # seconds, on the clock of the samples
    label: np.ndarray  # [C] >= 0, at least one above 0; made to sum to 1


class StreamPrediction(NamedTuple):
    """What the model predicts for the window that ends at one hop."""

    distribution: np.ndarray  # [C] float32, sums to 1
    emotions: tuple[str, ...]  # C names
    sensors: dict[str, str]  # modality of the model -> "present" or "absent" in this window
    recalled: list[tuple[str, float]]  # (written trial, its weight in the correction), largest weight first
    # Seconds of the wearer's own data in the normalisation; 0: training statistics.
    normalised_from: float = 0.0
    notes: tuple[str, ...] = ()  # sentences about the stream, each said once
