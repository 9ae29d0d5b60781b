"""The pickle of a WESAD subject: its sensors, the condition at every moment, and what can be wrong with it."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.features import cardiac, features
from mpcl_jax.data.features.windows import Kind
from mpcl_jax.data.issues import Issue

LABEL_RATE = 700  # Hz, of the labels and of the chest
GRID = 4  # Hz, the slowest signal: windows begin and end on its samples
CODES = {"Base": 1, "TSST": 2, "Fun": 3, "Medi 1": 4, "Medi 2": 4}  # condition -> code in `label`
AGAIN = "unpack the official archive again"


class Sensor(NamedTuple):
    """One signal of the pickle and the modality that is made of it."""

    modality: str
    place: str  # "wrist" (Empatica E4) or "chest" (RespiBAN)
    key: str  # name in the pickle
    rate: int  # Hz
    axes: int
    unit: float  # multiplied with this, the signal is in the unit of its features
    kind: Kind
    group: str


SENSORS = (
    Sensor("bvp", "wrist", "BVP", 64, 1, 1.0, cardiac.PULSE, "physiological"),
    Sensor("eda", "wrist", "EDA", 4, 1, 1.0, features.CONDUCTANCE, "physiological"),
    Sensor("temp", "wrist", "TEMP", 4, 1, 1.0, features.TEMPERATURE, "physiological"),
    Sensor("chest_ecg", "chest", "ECG", 700, 1, 1.0, cardiac.ECG, "physiological"),
    Sensor("chest_eda", "chest", "EDA", 700, 1, 1.0, features.CONDUCTANCE, "physiological"),
    Sensor("chest_emg", "chest", "EMG", 700, 1, 1.0, features.MUSCLE, "physiological"),
    Sensor("chest_resp", "chest", "Resp", 700, 1, 1.0, features.BREATHING, "physiological"),
    Sensor("chest_temp", "chest", "Temp", 700, 1, 1.0, features.TEMPERATURE, "physiological"),
    Sensor("acc", "wrist", "ACC", 32, 3, 1 / 64, features.MOTION, "behavioural"),  # stored in 1/64 g
    Sensor("chest_acc", "chest", "ACC", 700, 3, 1.0, features.MOTION, "behavioural"),
)


def sensors_of(devices: str) -> list[Sensor]:
    """The sensors of `devices`: "wrist", "chest" or "both"."""
    return [sensor for sensor in SENSORS if devices in ("both", sensor.place)]


def signals_in(data: Any) -> dict[str, dict]:
    """The signals of a pickle by place and key; a place without signals is empty."""
    signals = data.get("signal") if isinstance(data, dict) else None
    held = {x: signals.get(x) if isinstance(signals, dict) else None for x in ("wrist", "chest")}
    return {place: x if isinstance(x, dict) else {} for place, x in held.items()}


def pickle_issues(data: Any, subject: str, sensors: list[Sensor], file: str) -> list[Issue]:
    """Everything for which the content of a pickle cannot be used as the recording of `subject`."""
    if not isinstance(data, dict):
        return [Issue(file, "", f"holds {type(data).__name__}; wanted signal, label and subject", AGAIN)]
    issues = [
        Issue(file, key, "is missing", AGAIN) for key in ("signal", "label", "subject") if key not in data
    ]
    if "subject" in data and data["subject"] != subject:
        what = f"belongs to {str(data['subject'])[:40]!r}; wanted {subject!r}"
        issues.append(Issue(file, "subject", what, "move the file into the folder of its subject"))
    signals = signals_in(data)
    seconds = _agreed_seconds(signals)
    if "label" in data:
        of_label = _label_issues(data["label"], seconds, file)
        issues += of_label
        seconds = seconds if of_label or seconds else len(data["label"]) // LABEL_RATE
    for place in dict.fromkeys(sensor.place for sensor in sensors if "signal" in data):
        if not signals[place]:
            other = "wrist" if place == "chest" else "chest"
            fix = f"set config.data.wesad.devices to {other!r}, or {AGAIN}" if signals[other] else AGAIN
            issues.append(Issue(file, f"signal[{place!r}]", "is missing or empty", fix))
            continue
        for sensor in (s for s in sensors if s.place == place):
            issues += _signal_issues(signals[place], sensor, seconds, file)
    return issues


def signal_of(data: dict, sensor: Sensor) -> np.ndarray:
    """One signal [n] or [n, 3] of a pickle without issues."""
    x = data["signal"][sensor.place][sensor.key]
    return x[:, 0] if sensor.axes == 1 else x


def label_runs(label: np.ndarray) -> list[tuple[int, int, int]]:
    """(code, first, last) of the conditions in time order, in whole samples of GRID inside them."""
    edges = np.flatnonzero(np.diff(label)) + 1
    bounds = zip(np.r_[0, edges], np.r_[edges, len(label)], strict=True)
    ratio = LABEL_RATE // GRID
    return [(int(label[a]), -(-int(a) // ratio), int(b) // ratio) for a, b in bounds if 1 <= label[a] <= 4]


def order_issues(codes: list[int], conditions: tuple[str, ...], quest: str, file: str) -> list[Issue]:
    """Whether the conditions of the recording are those of the questionnaire file named `quest`."""
    found, wanted = [int(code) for code in codes], [CODES[name] for name in conditions]
    if found == wanted:
        return []
    what = f"its conditions have the codes {found}, but {quest} lists {', '.join(conditions)} = {wanted}"
    return [Issue(file, "label", what, "the two files do not belong together")]


def length_issues(seconds: list[float], window_seconds: float, file: str) -> list[Issue]:
    """Conditions that are shorter than a window."""
    fix = f"set config.data.wesad.window_seconds (now {window_seconds:g}) lower"
    return [
        Issue(file, "label", f"condition {number} lasts {length:g} s, less than one window", fix)
        for number, length in enumerate(seconds, 1)
        if length < window_seconds
    ]


def _agreed_seconds(signals: dict[str, dict]) -> float | None:
    """How long most signals last; None where no two, or no majority of them, agree.

    What deviates from the majority is the part that is wrong.
    """
    held = [(signals[sensor.place].get(sensor.key), sensor.rate) for sensor in SENSORS]
    lengths = Counter(len(x) / rate for x, rate in held if isinstance(x, np.ndarray) and x.ndim)
    seconds, votes = lengths.most_common(1)[0] if lengths else (None, 0)
    return seconds if votes > max(1, lengths.total() / 2) else None


def _label_issues(label: Any, seconds: float | None, file: str) -> list[Issue]:
    if not isinstance(label, np.ndarray) or label.ndim != 1 or label.dtype.kind not in "iu":
        return [Issue(file, "label", "is not a row of whole numbers", AGAIN)]
    if seconds and abs(len(label) / LABEL_RATE - seconds) >= 1:
        what = (
            f"has {len(label)} samples for {seconds:g} s of signals = {len(label) / seconds:.4g} per second"
        )
        return [Issue(file, "label", f"{what}; wanted {LABEL_RATE} per second", AGAIN)]
    if len(label) == 0 or len(label) % LABEL_RATE:
        what = f"has {len(label)} samples; wanted whole seconds of {LABEL_RATE}"
        return [Issue(file, "label", what, f"the file may be cut: {AGAIN}")]
    codes = [code for code, _, _ in label_runs(label)]
    if sorted(codes) != sorted(CODES.values()):
        what = f"its runs have the codes {codes}; wanted one run of 1, 2 and 3 and two runs of 4"
        return [Issue(file, "label", what, AGAIN)]
    return []


def _signal_issues(held: dict, sensor: Sensor, seconds: float | None, file: str) -> list[Issue]:
    """Issues of one signal among those `held` of its place."""
    x, fix = held.get(sensor.key), AGAIN
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu":
        what = (
            f"is {type(x).__name__}, no numbers"
            if sensor.key in held
            else f"is missing; found {', '.join(held)}"
        )
    elif x.ndim != 2 or x.shape[1] != sensor.axes:
        what = f"has shape {x.shape}; wanted [samples, {sensor.axes}]"
    elif seconds and len(x) != sensor.rate * seconds:
        what = (
            f"has {len(x)} samples for {seconds:g} s = {len(x) / seconds:.6g} Hz; wanted "
            f"{sensor.rate * seconds:g} = {sensor.rate} Hz"
        )
        fix = f"resample it to {sensor.rate} Hz, or {AGAIN}"
    else:
        return []
    return [Issue(file, f"signal[{sensor.place!r}][{sensor.key!r}]", what, fix)]
