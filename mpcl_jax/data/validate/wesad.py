"""All issues of a WESAD folder: every subject's pickle and questionnaire, signal by signal and line by line."""

from pathlib import Path

import numpy as np

from mpcl_jax.config.data import WesadConfig
from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.io.safe_read import read_text, run_guarded
from mpcl_jax.data.issues import SAME_SUBJECT, Examined, Issue, Summary, attempt, digest_of, duplicate_issues
from mpcl_jax.data.validate.signals import channel_issues
from mpcl_jax.data.wesad import recording
from mpcl_jax.data.wesad.load import OFFICIAL, find_subjects
from mpcl_jax.data.wesad.questionnaire import LABEL_SETS, examine_questionnaire
from mpcl_jax.data.wesad.recording import AGAIN, GRID, Sensor, sensors_of

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


def examine(root: str, settings: WesadConfig) -> Examined:
    """Every issue below `root`, and what it holds. Reads each pickle once, in a guarded child."""
    issues: list[Issue] = []
    folders = attempt(issues, find_subjects, Path(root), settings.subjects) or []
    recordings, reports, windows, chest = {}, {}, 0, False
    for folder in folders:
        pickle, quest = folder / f"{folder.name}.pkl", folder / f"{folder.name}_quest.csv"
        issues += [Issue(str(x), "", "is missing", AGAIN) for x in (pickle, quest) if not x.is_file()]
        answers, text = None, attempt(issues, read_text, quest, 2**16) if quest.is_file() else None
        if text is not None:
            answers, found = examine_questionnaire(text, str(quest), folder.name)
            issues += found
        if answers:
            reports[str(quest)] = digest_of([answers.ratings])
        guarded = (run_guarded, read_pickle_issues, pickle, folder.name)
        if not pickle.is_file() or not (result := attempt(issues, *guarded)):
            continue
        found, recordings[str(pickle)], codes, seconds, has_chest = result
        chest |= has_chest
        issues += [Issue(*issue) for issue in found]
        issues += recording.length_issues(seconds, settings.window_seconds, str(pickle))
        counts = (int((x - settings.window_seconds) / settings.step_seconds) + 1 for x in seconds)
        windows += sum(max(0, count) for count in counts)
        if answers and codes:
            issues += recording.order_issues(codes, answers.conditions, quest.name, str(pickle))
    issues += duplicate_issues(recordings, "signals", SAME_SUBJECT)
    issues += duplicate_issues(reports, "answers", "find the questionnaire of this subject")
    names = [folder.name for folder in folders]
    absent = [name for name in OFFICIAL if name not in names and not settings.subjects]
    missing = [f"subjects of the release: {', '.join(absent)}"] if absent else []
    missing += [] if chest else ["chest signals"]
    sensors = sensors_of("both" if chest else "wrist") if recordings else []
    groups, emotions = {s.modality: s.group for s in sensors}, LABEL_SETS[settings.labels]
    return Examined(tuple(issues), Summary(len(names), windows, groups, emotions, tuple(missing)))


def read_pickle_issues(path: Path, subject: str) -> tuple:
    """For `run_guarded`: (issues, digest of the signals, codes and seconds of the conditions, has a chest)."""
    data, file = parse_pickle(path), str(path)
    signals = recording.signals_in(data)
    sensors = sensors_of("both" if signals["chest"] else "wrist")
    issues, arrays, runs = recording.pickle_issues(data, subject, sensors, file), [], []
    wrong = {issue.place for issue in issues}
    if isinstance(data, dict) and "label" in data and "label" not in wrong:
        runs = recording.label_runs(data["label"])
    for sensor in sensors:
        x, place = signals[sensor.place].get(sensor.key), f"signal[{sensor.place!r}][{sensor.key!r}]"
        if x is not None and place not in wrong:
            arrays.append(x)
            issues += _quality_issues(x, sensor, file, place)
    seconds, codes = [(last - first) / GRID for _, first, last in runs], [code for code, _, _ in runs]
    return [tuple(x) for x in issues], digest_of(arrays), codes, seconds, bool(signals["chest"])


def _quality_issues(x: np.ndarray, sensor: Sensor, file: str, place: str) -> list[Issue]:
    """What the loader accepts: a sensor that was off, or numbers in another unit."""
    longest = np.inf if sensor.key == "ACC" else STILL
    issues = channel_issues(file, place, x, sensor.rate, longest)
    finite = x[np.isfinite(x).all(1)]
    if (sensor.place, sensor.key) not in USUAL or not len(finite) or issues:
        return issues
    low, high, unit = USUAL[sensor.place, sensor.key]
    middle = float(np.median(np.linalg.norm(finite, axis=1) if sensor.axes > 1 else finite))
    if not low <= middle <= high:
        what = f"has the median {middle:.4g}, a worn sensor {low:g} to {high:g} {unit}"
        issues.append(Issue(file, place, what, f"convert it to {unit}; if it was not worn, give NaN"))
    return issues
