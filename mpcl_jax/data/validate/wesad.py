"""All faults of a WESAD folder: every person's files, signal by signal and answer by answer."""

from pathlib import Path
from typing import Any

import numpy as np

from mpcl_jax.config.data import WesadConfig
from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.io.safe_read import read_text, run_guarded
from mpcl_jax.data.issues import (
    Examined,
    Issue,
    Summary,
    attempt,
    channel_issues,
    print_of,
    twin_issues,
)
from mpcl_jax.data.wesad import label as wesad_label
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.data.wesad import questionnaire as wesad_quest
from mpcl_jax.types import DataFileError

RELEASE = tuple(f"S{n}" for n in range(2, 18) if n != 12)  # the people of the published data set
STILL = 120.0  # seconds; the longest in the real recordings are 25 (TEMP), 4 (EDA), 0.1 (BVP)
# (place, signal) -> the median that a worn sensor has, in the unit of the file; of axes, of their length.
USUAL = {
    ("wrist", "ACC"): (40.0, 90.0, "1/64 g"),
    ("wrist", "EDA"): (0.0, 60.0, "microsiemens"),
    ("wrist", "TEMP"): (20.0, 45.0, "degrees Celsius"),
    ("chest", "ACC"): (0.6, 1.4, "g"),
    ("chest", "EDA"): (0.0, 60.0, "microsiemens"),
    ("chest", "Temp"): (20.0, 45.0, "degrees Celsius"),
}
AGAIN = "unpack the official archive again"


def examine(root: str, settings: WesadConfig) -> Examined:
    """Every fault below `root`, and what it holds. Reads each pickle once, in a guarded child."""
    issues: list[Issue] = []
    folders = attempt(issues, wesad.find_people, Path(root), settings.subjects) or []
    recordings, reports, windows, chest = {}, {}, 0, 0
    for folder in folders:
        pickle, quest = folder / f"{folder.name}.pkl", folder / f"{folder.name}_quest.csv"
        for path in (pickle, quest):
            if not path.is_file():
                issues.append(Issue(str(path), "", "is missing", AGAIN))
        order = _check_quest(issues, quest, folder.name, reports) if quest.is_file() else None
        if pickle.is_file() and (
            answer := attempt(issues, run_guarded, read_pickle_issues, pickle, folder.name)
        ):
            found, digest, codes, seconds, has_chest = answer
            issues += [Issue(*issue) for issue in found]
            recordings[str(pickle)], chest = digest, chest + has_chest
            windows += sum(_windows(length, settings) for length in seconds)
            issues += _length_issues(pickle, seconds, settings)
            wanted = [wesad_label.CODES[name] for name in order or ()]
            if order and codes and list(codes) != wanted:
                what = f"its conditions have the codes {list(codes)}, {quest.name} lists {wanted}"
                issues.append(Issue(str(pickle), "label", what, "bring the files of one person together"))
    issues += twin_issues(recordings, "holds the same signals", "keep one of them: one person may not be two")
    issues += twin_issues(reports, "holds the same answers", "find the person's own questionnaire")
    people = [folder.name for folder in folders]
    missing = [name for name in RELEASE if name not in people and not settings.subjects]
    notes = [f"people of the release: {', '.join(missing)}"] if missing else []
    notes += [] if chest else ["chest signals"]
    sensors = [s for s in wesad.SENSORS if chest or s.place == "wrist"]
    modalities = {s.modality: s.group for s in sensors} if recordings else {}
    emotions = wesad_quest.LABEL_SETS[settings.labels]
    return Examined(tuple(issues), Summary(len(people), windows, modalities, emotions, tuple(notes)))


def _windows(seconds: float, settings: WesadConfig) -> int:
    return max(0, int((seconds - settings.window_seconds) / settings.step_seconds) + 1)


def _length_issues(file: Path, seconds: tuple[float, ...], settings: WesadConfig) -> list[Issue]:
    issues = []
    for number, length in enumerate(seconds, 1):
        if length < settings.window_seconds:
            what = f"condition {number} lasts {length:g} s, less than one window of {settings.window_seconds:g} s"
            issues.append(Issue(str(file), "label", what, "set config.data.wesad.window_seconds lower"))
    return issues


def _check_quest(issues: list[Issue], file: Path, subject: str, reports: dict) -> tuple[str, ...] | None:
    """Adds the faults of a questionnaire; returns its conditions in time order."""
    text = attempt(issues, read_text, file, 2**16)
    if text is None:
        return None
    errors = wesad_quest.find_issues(text, str(file), subject)
    issues += [Issue(str(file), "", error.reason, AGAIN) for error in errors]
    if errors:
        return None
    answers = wesad_quest.parse_questionnaire(text, str(file))
    reports[str(file)] = print_of([answers.ratings])
    return answers.conditions


def read_pickle_issues(path: Path, subject: str) -> tuple:
    """For `run_guarded`: (faults, print of the signals, codes and seconds of the conditions, has a chest)."""
    data = parse_pickle(path)
    file = str(path)
    if not isinstance(data, dict):
        raise DataFileError(file, f"holds {type(data).__name__}; wanted signal, label and subject")
    issues = [
        Issue(file, key, "is missing", AGAIN) for key in ("signal", "label", "subject") if key not in data
    ]
    if "subject" in data and data["subject"] != subject:
        what = f"belongs to {str(data['subject'])[:40]!r}, the folder to {subject!r}"
        issues.append(Issue(file, "subject", what, "move the file into the folder of its person"))
    label = data.get("label")
    total = voted = wesad_label.voted_seconds(data.get("signal"), wesad.RATES)
    codes, seconds = (), ()
    if "label" in data:
        found = attempt(issues, wesad_label.check_label, label, file, voted)
        if found is not None:
            total = voted or len(label) // wesad_label.LABEL_RATE
            runs = attempt(issues, wesad_label.label_runs, label, file) or []
            codes = tuple(code for code, _, _ in runs)
            seconds = tuple((last - first) / wesad_label.GRID for _, first, last in runs)
    places = data.get("signal")
    prints, has_chest = [], False
    if "signal" in data and not isinstance(places, dict):
        issues.append(Issue(file, "signal", f"is {type(places).__name__}, no dict", AGAIN))
    elif "signal" in data:
        has_chest = bool(places.get("chest"))
        for sensor in wesad.SENSORS:
            if sensor.place == "wrist" or has_chest:
                issues += _sensor_issues(places.get(sensor.place), sensor, total, file, prints)
    return [tuple(f) for f in issues], print_of(prints) if prints else "", codes, seconds, has_chest


def _sensor_issues(
    signals: Any, sensor: wesad.Sensor, total: float | None, file: str, prints: list
) -> list[Issue]:
    """Faults of one signal; its numbers are added to `prints`."""
    place = f"signal[{sensor.place!r}][{sensor.key!r}]"
    x = signals.get(sensor.key) if isinstance(signals, dict) else None
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu":
        what = "is missing" if x is None else f"is {type(x).__name__}, no numbers"
        return [Issue(file, place, what, AGAIN)]
    if x.ndim != 2 or x.shape[1] != sensor.axes:
        return [Issue(file, place, f"has shape {x.shape}, wanted [samples, {sensor.axes}]", AGAIN)]
    prints.append(x)
    issues = []
    if total and len(x) != sensor.rate * total:
        what = f"has {len(x)} samples for {total:g} s = {len(x) / total:g} Hz, wanted {sensor.rate} Hz"
        issues.append(Issue(file, place, what, f"resample it to {sensor.rate} Hz, or {AGAIN}"))
    longest = np.inf if sensor.key == "ACC" else STILL
    issues += channel_issues(file, place, x, sensor.rate, longest)
    usual = USUAL.get((sensor.place, sensor.key))
    finite = x[np.isfinite(x).all(1)]
    if usual and len(finite) and not any(f.place.startswith(place) for f in issues):
        low, high, unit = usual
        middle = float(np.median(np.linalg.norm(finite, axis=1) if sensor.axes > 1 else finite))
        if not low <= middle <= high:
            what = f"has the median {middle:.4g}, a worn sensor {low:g} to {high:g} {unit}"
            issues.append(Issue(file, place, what, f"convert it to {unit}; if it was not worn, give NaN"))
    return issues
