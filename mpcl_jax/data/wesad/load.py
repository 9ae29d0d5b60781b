"""WESAD (Schmidt et al. 2018, ICMI, doi 10.1145/3242969.3242985): the official folders to `Recordings`.

    <root>/S<id>/S<id>.pkl          body signals and the condition of every moment, 0.9-1.0 GB
    <root>/S<id>/S<id>_quest.csv    one report of feelings after each of five conditions

A pickle is read once, in a child process with limits, and reduced there to the features of its windows; these
are kept in a cache. A report is the label of every window of its condition: a data set of fifteen subjects has
75 reports, however many windows are cut from it.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from mpcl_jax.config.data import WesadConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.features.windows import VERSION, describe
from mpcl_jax.data.io import cache as disk
from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.io.safe_read import read_text, run_guarded
from mpcl_jax.data.issues import refuse
from mpcl_jax.data.join import Part, joined
from mpcl_jax.data.wesad.questionnaire import (
    ITEMS,
    LABEL_SETS,
    POSITIVE,
    distributions,
    parse_questionnaire,
)
from mpcl_jax.data.wesad.recording import (
    AGAIN,
    CODES,
    GRID,
    label_runs,
    length_issues,
    order_issues,
    pickle_issues,
    sensors_of,
    signal_of,
)
from mpcl_jax.types import DataError, Recordings, check_recordings

# Both meditations follow the same instruction: a protocol that holds out one must hold out both.
STIMULUS = {name: name.split()[0] for name in CODES}
LEAST_SECONDS = 5.0
OFFICIAL = tuple(f"S{n}" for n in (*range(2, 12), *range(13, 18)))  # the fifteen subjects of the release
AT_ONCE = 2  # pickles read at the same time; more would wait for the disk


def load(root: str, settings: WesadConfig, cache: str = "") -> Recordings:
    """All windows of the subjects in `root`.

    One modality a signal, one token a window: signals[m] is [N, 1, F_m] with the features named in
    `features.py`. A feature that a window does not support is NaN and lowers `quality`; where a window supports
    none, the modality is absent. Trials are "S2/Medi 1", stimuli "Medi" for both meditations; `start` counts from
    the begin of the condition. Windows in which no sensor measured anything are left out. `cache` is a folder, "" =
    that of the user. Raises DataError for files that cannot be used and ConfigError for window lengths that
    the signals do not allow.
    """
    _check_windows(settings)
    folders = find_subjects(Path(root), settings.subjects)
    cache_dir = disk.folder_for("wesad", cache)
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        read = list(pool.map(partial(_subject, settings=settings, cache_dir=cache_dir), folders))
    finally:
        pool.shutdown(cancel_futures=True)
    emotions = LABEL_SETS[settings.labels]
    recordings = joined(
        [part for part, _ in read],
        {sensor.modality: sensor.group for sensor in sensors_of(settings.devices)},
        name=f"WESAD {settings.devices} {settings.labels}",
        emotions=emotions,
        valence=tuple("positive" if e in POSITIVE else "negative" for e in emotions),
        duration=float(settings.window_seconds),
        notes=_notes({part.subject: lost for part, lost in read}),
    )
    return check_recordings(recordings, root)


def _check_windows(settings: WesadConfig) -> None:
    for name in ("window_seconds", "step_seconds"):
        value = getattr(settings, name)
        if value * GRID != round(value * GRID):
            raise ConfigError(f"config.data.wesad.{name} = {value}: must be a multiple of {1 / GRID} s")
    if settings.window_seconds < LEAST_SECONDS:
        raise ConfigError(
            f"config.data.wesad.window_seconds = {settings.window_seconds}: must be >= {LEAST_SECONDS}; a "
            "shorter window holds too few heart beats"
        )


def find_subjects(root: Path, wanted: tuple[str, ...]) -> list[Path]:
    """The folders S2, S3, ... S17 of `root` in the order of their numbers, or those `wanted`."""
    if not root.is_dir():
        raise DataError(root, "is not a folder; give the folder that holds S2, S3, ...")
    found = [path for path in root.iterdir() if re.fullmatch(r"S\d+", path.name) and path.is_dir()]
    found.sort(key=lambda path: int(path.name[1:]))
    if not found:
        raise DataError(root, "holds no folder S2, S3, ...; give the folder that does")
    names = [path.name for path in found]
    for name in wanted:
        if name not in names:
            raise DataError(root, f"holds no folder {name}; found {', '.join(names)}")
    return [path for path in found if not wanted or path.name in wanted]


def _subject(folder: Path, settings: WesadConfig, cache_dir: Path | None) -> tuple[Part, int]:
    """The windows of one subject, and how many answers are missing from its reports."""
    subject = folder.name
    quest, pickle = folder / f"{subject}_quest.csv", folder / f"{subject}.pkl"
    for path in (quest, pickle):
        if not path.is_file():
            raise DataError(path, f"is missing; {AGAIN}")
    answers = parse_questionnaire(read_text(quest, max_bytes=2**16), str(quest), subject)
    chosen = {name: getattr(settings, name) for name in ("devices", "window_seconds", "step_seconds")}
    key = sha256(f"{pickle.resolve()} {sorted(chosen.items())}".encode()).hexdigest()[:12]
    compute = partial(run_guarded, convert, str(pickle), subject, *chosen.values())
    arrays = disk.cached(cache_dir, f"{subject}-{key}", (pickle,), chosen | {"version": VERSION}, compute)
    refuse(order_issues(list(arrays["codes"]), answers.conditions, quest.name, str(pickle)))
    emotions, condition = LABEL_SETS[settings.labels], arrays["condition"]
    names = [answers.conditions[index] for index in condition]
    modalities = [sensor.modality for sensor in sensors_of(settings.devices)]
    part = Part(
        folder,
        subject,
        labels=distributions(answers.ratings, emotions)[condition],
        trial=np.array([f"{subject}/{name}" for name in names]),
        stimulus=np.array([STIMULUS[name] for name in names]),
        start=arrays["start"].astype(np.float64),
        signals={m: arrays[f"{m}/values"][:, None] for m in modalities},
        quality={m: arrays[f"{m}/quality"] for m in modalities},
    )
    return part, int(np.isnan(answers.ratings[:, [ITEMS.index(name) for name in emotions]]).sum())


def convert(file: str, subject: str, devices: str, window_seconds: float, step_seconds: float) -> dict:
    """Reads one pickle and reduces it to arrays: run this in a guarded child process only.

    Returns "codes" [5] of the conditions in time order; "condition" and "start" [N] of the windows; and
    "<modality>/values" [N, F], "<modality>/quality" [N], "<modality>/present" [N] for each signal.
    Raises DataError.
    """
    data = parse_pickle(file)
    sensors = sensors_of(devices)
    refuse(pickle_issues(data, subject, sensors, file))
    runs = label_runs(data["label"])
    refuse(length_issues([(last - first) / GRID for _, first, last in runs], window_seconds, file))
    condition, begins, since = [], [], []
    size, step = round(window_seconds * GRID), round(step_seconds * GRID)
    for index, (_, first, last) in enumerate(runs):
        starts = np.arange(first, last - size + 1, step)
        condition += [index] * len(starts)
        begins += list(starts)
        since += list((starts - first) / GRID)
    arrays = {"codes": np.array([code for code, _, _ in runs])}
    arrays |= {"condition": np.array(condition), "start": np.array(since)}
    for sensor in sensors:
        at = np.array(begins) * (sensor.rate // GRID)
        x = signal_of(data, sensor)
        rows = describe(sensor.kind, x, sensor.rate, at, window_seconds, sensor.unit)
        arrays |= {f"{sensor.modality}/{name}": values for name, values in rows._asdict().items()}
    return arrays


def _notes(lost: dict[str, int]) -> tuple[str, ...]:
    """What a reader of results has to know. `lost`: subject -> answers that are missing."""
    missing = ", ".join(f"{subject} {n}" for subject, n in lost.items() if n)
    count = f"{len(set(lost) & set(OFFICIAL))} of the {len(OFFICIAL)} official ones"
    return (
        f"subjects {', '.join(lost)} ({count}) gave {5 * len(lost)} reports; all windows of a condition share one "
        "label",
        "both meditations count as one stimulus",
        "WESAD may be used for scientific, non-commercial purposes, with credit to Schmidt et al. 2018",
        *([f"answers missing, replaced by the median of the same report: {missing}"] if missing else []),
    )
