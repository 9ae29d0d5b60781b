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
from mpcl_jax.data.dmer import features, files
from mpcl_jax.data.dmer.files import CLIPS, Clip, Found, Layout
from mpcl_jax.data.dmer.signals import read_signals
from mpcl_jax.data.io import cache as disk
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.data.join import IDS, Part, joined, stacked
from mpcl_jax.types import LARGEST_VALUE, DataError, Recordings, check_recordings

VERSION = 3  # of the numbers made of DMER's files; raised with each change, so that caches are computed again
# Of layout D, where it has several subjects.
BY_SUBJECT = ("loso", "subject_kfold", "fixed_48_12_13", "calibrated")
GROUPS = {"eeg": "physiological", "gsr": "physiological", "ppg": "physiological", "video": "behavioural"}

SPLIT_NOTES = (
    "no clip ids in these files: a trial is a group of windows of one subject with equal labels",
    "window80 is the published split of shuffled windows and LEAKY: windows of one clip are in training and in "
    "test, so it measures memory of the clip",
    "trial_kfold holds out whole groups of equal labels; a group can hold several clips, so this is stricter than "
    "holding out clips",
)


def load(root: str, settings: DmerConfig, cache: str = "") -> Recordings:
    """All windows of DMER under `root`, a folder in one of the four layouts or one features file (C, D).

    Shapes: EEG [18 channels, 5 bands] (layout D: 4 bands), every other modality one token. `trial` is
    "subject/video", `stimulus` the video, `start` the seconds from the beginning of the clip; layout D has no
    clips and names groups of equal labels instead. What was read of a subject is kept in `cache`, a folder, "" =
    that of the user. Raises DataError naming file, key or video, and what to do.
    """
    found = files.find_subjects(Path(root), settings.subjects)
    layout = found[0].layout
    cache_dir = disk.folder_for("dmer", cache)
    read = {one: arrays for one in found if (arrays := _cached(one, settings, cache_dir))}
    empty = [f.subject for f in found if f not in read]
    if not read or (empty and settings.subjects):
        text = f"no clip of subject {', '.join(empty)} is long enough for one window"
        raise DataError(root, f"{text}; choose others with config.data.dmer.subjects")
    fields = {"duration": settings.window_seconds if layout is Layout.SIGNALS else features.WINDOW_SECONDS}
    if layout is Layout.SPLIT:
        published = np.concatenate([arrays["published_test"] for arrays in read.values()])
        fields = {"duration": features.SPLIT_WINDOW_SECONDS, "published_test": published}
        fields["trial_name"] = "label groups"
        fields["protocols"] = ("window80", "trial_kfold", *(BY_SUBJECT if len(found) > 1 else ()))
    parts = [_part(one, arrays) for one, arrays in read.items()]
    recordings = joined(parts, GROUPS, name="DMER", emotions=files.EMOTIONS, valence=files.VALENCE, **fields)
    clips = {one.subject: len(set(arrays["trial"])) for one, arrays in read.items()}
    notes = (*_notes(found, clips, recordings.present), *recordings.notes)
    return check_recordings(recordings._replace(notes=notes), root)


def _part(found: Found, arrays: dict[str, np.ndarray]) -> Part:
    held = {m: arrays[f"signals/{m}"] for m in GROUPS if f"signals/{m}" in arrays}
    signals = {m: np.where(np.abs(x) > LARGEST_VALUE, np.nan, x) for m, x in held.items()}
    quality = {m: arrays[f"quality/{m}"] for m in held if f"quality/{m}" in arrays}
    return Part(found.path, found.subject, *(arrays[name] for name in IDS), signals, quality)


def _cached(found: Found, settings: DmerConfig, cache_dir: Path | None) -> dict[str, np.ndarray]:
    """`read_subject` in a guarded child, or what it returned before."""
    options = {name: value for name, value in dataclasses.asdict(settings).items() if name != "subjects"}
    key = hashlib.sha256(f"{found.path.resolve()} {found.layout} {sorted(options.items())}".encode())
    compute = partial(run_guarded, read_subject, found.path, found.subject, str(found.layout), options)
    described = options | {"version": VERSION}
    return disk.cached(cache_dir, key.hexdigest()[:20], files.source_files(found), described, compute)


def read_subject(path: Path | str, subject: str, layout: str, settings: dict) -> dict[str, np.ndarray]:
    """The windows of one subject, clip by clip: for `run_guarded`, so with plain data as arguments and result.

    Returns "signals/<modality>" [n, T_m, F_m] float32, NaN where a clip lacks the modality, "quality/<modality>"
    [n] where it is not 1, and IDS [n]; of layout D "published_test" [n] too; nothing at all where no clip is long
    enough for a window.
    """
    found, clips = Found(subject, Layout(layout), Path(path)), []
    match found.layout:
        case Layout.SPLIT:
            return features.read_split(found.path, subject)
        case Layout.MERGED:
            clips = features.read_merged(found.path, settings["complex_part"])
        case Layout.FEATURES:
            clips = features.read_folder(found.path, settings["complex_part"])
        case Layout.SIGNALS:
            clips = read_signals(found.path, settings["window_seconds"], settings["step_seconds"])
    return _labelled(found, clips) if clips else {}


def _labelled(found: Found, clips: list[Clip]) -> dict[str, np.ndarray]:
    table, file = files.read_labels(found)
    videos, sizes = np.array([clip.video for clip in clips]), [len(clip.start) for clip in clips]
    names = np.array([f"video {video}" for video in videos])
    arrays = {
        "labels": np.repeat(files.distributions(table[videos], file, "dis_label", names), sizes, axis=0),
        "trial": np.repeat([f"{found.subject}/{video}" for video in videos], sizes),
        "stimulus": np.repeat([f"{video}" for video in videos], sizes),
        "start": np.concatenate([clip.start for clip in clips]),
    }
    for m in GROUPS:
        for field, fill in (("signals", np.nan), ("quality", 1.0)):
            blocks = [getattr(clip, field).get(m) for clip in clips]
            if any(x is not None for x in blocks):
                arrays[f"{field}/{m}"] = stacked(blocks, sizes, fill)
    return arrays


def _notes(found: list[Found], clips: dict[str, int], present: dict[str, np.ndarray]) -> list[str]:
    """What a reader of results has to know. `clips`: their number by subject."""
    layout = found[0].layout
    notes = [f"DMER, {len(clips)} {'subject' if len(clips) == 1 else 'subjects'}, layout: {layout}"]
    if layout is Layout.SPLIT:
        notes += SPLIT_NOTES
    else:
        few = [f"{f.subject} ({clips.get(f.subject, 0)})" for f in found if clips.get(f.subject, 0) < CLIPS]
        notes.append("the length of a clip reveals its valence: `start` and the window count are no features")
        notes += [f"subjects with fewer than {CLIPS} clips: {', '.join(few)}"] if few else []
    if "video" not in present:
        notes.append("no behavioural modality: extract videoFea.mat from the videos into the folders")
    lacking = {m: int((~here).sum()) for m, here in present.items() if not here.all()}
    return notes + [f"{m} is absent from {n} of {len(present[m])} windows" for m, n in lacking.items()]
