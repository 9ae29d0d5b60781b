"""DMER: mixed emotions of 73 subjects watching 32 clips (Yang et al., Sci Data 11:847, 2024).

EEG, GSR and PPG are physiological, face video is behavioural. Each subject rated every clip on ten emotions; the
ratings divided by their sum are the distribution. `files.py` describes the four layouts in which the data
are found; `load` recognises them.
"""

import dataclasses
import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from mpcl_jax.config.data import DmerConfig
from mpcl_jax.data.dmer import features as dmer_features
from mpcl_jax.data.dmer import signals as dmer_signals
from mpcl_jax.data.dmer.files import (
    CLIPS,
    EMOTIONS,
    VALENCE,
    Clip,
    Found,
    Layout,
    distributions,
    find_subjects,
    read_labels,
    source_files,
)
from mpcl_jax.data.io import cache as disk
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.types import LARGEST_VALUE, DataFileError, Recordings, check_recordings, take

VERSION = 2  # of the numbers made of DMER's files; raised with each change, so that caches are computed again
IDS = ("labels", "trial", "stimulus", "start")
GROUPS = {"eeg": "physiological", "gsr": "physiological", "ppg": "physiological", "video": "behavioural"}

SPLIT_NOTES = (
    "no clip ids in these files: a trial is a group of windows of one subject with equal labels",
    "window80 is the published split of shuffled windows and LEAKY: windows of one clip are on both sides, so it "
    "measures memory of the clip",
    "trial_kfold holds out whole groups of equal labels; a group can hold several clips, so this is stricter than "
    "holding out clips",
)


def load(root: str, settings: DmerConfig, cache: str = "") -> Recordings:
    """All windows of DMER under `root`, a folder in one of the four layouts or one features file (C, D).

    Shapes: EEG [18 channels, 5 bands] (layout D: 4 bands), every other modality one token. `trial` is
    "subject/video", `stimulus` the video, `start` the seconds from the beginning of the clip; layout D has no
    clips and names groups of equal labels instead. What was read of a subject is kept in `cache`, a folder, "" =
    that of the user. Raises DataFileError naming file, key or video, and what to do.
    """
    found = find_subjects(Path(root), settings.subjects)
    layout = found[0].layout
    cache_dir = disk.folder_for("dmer", cache)
    read = {one: arrays for one in found if (arrays := _cached(one, settings, cache_dir))}
    _require_rows(root, found, list(read), settings)
    signals, present, quality = _joined(read)
    ids = {name: np.concatenate([arrays[name] for arrays in read.values()]) for name in IDS}
    recordings = Recordings(
        name="DMER",
        emotions=EMOTIONS,
        valence=VALENCE,
        groups={m: GROUPS[m] for m in signals},
        signals=signals,
        present=present,
        quality=quality,
        labels=ids["labels"].astype(np.float32),
        subject=np.concatenate([np.full(len(x["labels"]), one.subject) for one, x in read.items()]),
        trial=ids["trial"],
        stimulus=ids["stimulus"],
        start=ids["start"],
        duration=_duration(layout, settings),
        notes=_notes(layout, found, read, present),
        published_test=_published_test(list(read.values())) if layout is Layout.SPLIT else None,
        protocols=_protocols(layout, found),
        trial_name="label groups" if layout is Layout.SPLIT else "trials",
    )
    some = np.any(list(present.values()), axis=0)
    return check_recordings(recordings if some.all() else take(recordings, some), root)


def _published_test(read: list[dict[str, np.ndarray]]) -> np.ndarray:
    return np.concatenate([arrays["published_test"] for arrays in read])


def _require_rows(root: str, found: list[Found], read: list[Found], settings: DmerConfig) -> None:
    empty = [f.subject for f in found if f not in read]
    if not read or (empty and settings.subjects):
        text = f"no clip of subject {', '.join(empty)} is long enough for one window"
        raise DataFileError(root, f"{text}; choose others with config.data.dmer.subjects")


def _cached(found: Found, settings: DmerConfig, cache_dir: Path | None) -> dict[str, np.ndarray]:
    """`read_subject` in a guarded child, or what it returned before."""
    options = {name: value for name, value in dataclasses.asdict(settings).items() if name != "subjects"}
    key = hashlib.sha256(f"{found.path.resolve()} {found.layout} {sorted(options.items())}".encode())
    compute = partial(run_guarded, read_subject, found.path, found.subject, str(found.layout), options)
    described = options | {"version": VERSION}
    return disk.cached(cache_dir, key.hexdigest()[:20], source_files(found), described, compute)


def read_subject(path: Path | str, subject: str, layout: str, settings: dict) -> dict[str, np.ndarray]:
    """The windows of one subject, clip by clip: for `run_guarded`, hence plain data in and out.

    Returns "signals/<modality>" [n, T_m, F_m] float32, NaN where a clip lacks the modality, "quality/<modality>"
    [n] and IDS [n]; of layout D "published_test" [n] too; nothing at all where no clip is long enough for a window.
    """
    found = Found(subject, Layout(layout), Path(path))
    match found.layout:
        case Layout.SPLIT:
            return dmer_features.read_split(found.path, subject)
        case Layout.MERGED:
            clips = dmer_features.read_merged(found.path, settings["complex_part"])
        case Layout.FEATURES:
            clips = dmer_features.read_folder(found.path, settings["complex_part"])
        case Layout.SIGNALS:
            clips = dmer_signals.read_signals(
                found.path, settings["window_seconds"], settings["step_seconds"]
            )
    return _labelled(found, clips) if clips else {}


def _labelled(found: Found, clips: list[Clip]) -> dict[str, np.ndarray]:
    table, file = read_labels(found)
    videos, sizes = np.array([clip.video for clip in clips]), [len(clip.start) for clip in clips]
    names = np.array([f"subject {found.subject}, video {video}" for video in videos])
    arrays = {
        "labels": np.repeat(distributions(table[videos], names, file), sizes, axis=0),
        "trial": np.repeat([f"{found.subject}/{video}" for video in videos], sizes),
        "stimulus": np.repeat([f"{video}" for video in videos], sizes),
        "start": np.concatenate([clip.start for clip in clips]),
    }
    for m in GROUPS:
        if any(m in clip.signals for clip in clips):
            arrays[f"signals/{m}"] = _filled([clip.signals.get(m) for clip in clips], sizes, np.nan)
            arrays[f"quality/{m}"] = _filled([clip.quality.get(m) for clip in clips], sizes, 0.0)
    return arrays


def _filled(blocks: list[np.ndarray | None], sizes: list[int], fill: float) -> np.ndarray:
    """All `blocks` [n, ...] in one float32 array; a missing one becomes rows of `fill`, as many as in `sizes`."""
    shape = next(x.shape[1:] for x in blocks if x is not None)
    whole = [np.full((n, *shape), fill) if x is None else x for x, n in zip(blocks, sizes, strict=True)]
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, hence missing
        return np.concatenate(whole, dtype=np.float32, casting="unsafe")


def _joined(read: dict[Found, dict[str, np.ndarray]]) -> tuple[dict, dict, dict]:
    """Signals m -> [N, T_m, F_m] float32, NaN where not finite, present m -> [N] and quality m -> [N] of all."""
    signals, present, quality = {}, {}, {}
    sizes = [len(arrays["labels"]) for arrays in read.values()]
    for m in GROUPS:
        blocks = [arrays.get(f"signals/{m}") for arrays in read.values()]
        shapes = {x.shape[1:]: one.path for one, x in zip(read, blocks, strict=True) if x is not None}
        if len(shapes) > 1:
            which = "; ".join(f"{list(shape)} in {path}" for shape, path in shapes.items())
            reason = f"{m} differs between subjects ({which}); extract all alike"
            raise DataFileError(next(iter(read)).path, reason)
        if shapes:
            joined = _filled(blocks, sizes, np.nan)
            joined[np.abs(joined) > LARGEST_VALUE] = np.nan
            present[m] = ~np.isnan(joined).all((1, 2))
            joined[~present[m]] = 0
            signals[m] = joined
            quality[m] = _filled([x.get(f"quality/{m}") for x in read.values()], sizes, 0.0) * present[m]
    return signals, present, quality


def _duration(layout: Layout, settings: DmerConfig) -> float:
    if layout is Layout.SIGNALS:
        return settings.window_seconds
    return dmer_features.SPLIT_WINDOW_SECONDS if layout is Layout.SPLIT else dmer_features.WINDOW_SECONDS


def _protocols(layout: Layout, found: list[Found]) -> tuple[str, ...]:
    if layout is not Layout.SPLIT:
        return ()
    with_others = ("loso", "subject_kfold", "fixed_48_12_13", "calibrated")
    return ("window80", "trial_kfold", *(with_others if len(found) > 1 else ()))


def _notes(layout: Layout, found: list[Found], read: dict, present: dict[str, np.ndarray]) -> tuple[str, ...]:
    count = len(read)
    notes = [f"DMER, {count} {'subject' if count == 1 else 'subjects'}, layout: {layout}"]
    if layout is Layout.SPLIT:
        notes += SPLIT_NOTES
    else:
        clips = {one.subject: len(set(arrays["trial"])) for one, arrays in read.items()}
        few = [f"{f.subject} ({clips.get(f.subject, 0)})" for f in found if clips.get(f.subject, 0) < CLIPS]
        notes.append(
            "the length of a clip tells its valence: `start` and the number of windows are no features"
        )
        notes += [f"subjects with fewer than {CLIPS} clips: {', '.join(few)}"] if few else []
    if "video" not in present:
        notes.append(
            "no behavioural modality: extract videoFea.mat from the videos into the subjects' folders"
        )
    for m, here in present.items():
        if not here.all():
            notes.append(f"{m} is absent from {int((~here).sum())} of {len(here)} windows")
    return tuple(notes)
