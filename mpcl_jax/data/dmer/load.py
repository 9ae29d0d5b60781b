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
    Part,
    distributions,
    find_subjects,
    read_labels,
    source_files,
)
from mpcl_jax.data.io import cache as disk
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.types import LARGEST_VALUE, DataFileError, Recordings, check_recordings, take

VERSION = 2  # of the numbers made of DMER's files; raised with each change, caches are made anew
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
    parts = [part for one in found if (part := _kept(one, settings, cache_dir))]
    _require_rows(root, found, parts, settings)
    signals, present = _joined_signals(parts)
    recordings = Recordings(
        name="DMER",
        emotions=EMOTIONS,
        valence=VALENCE,
        groups={m: GROUPS[m] for m in signals},
        signals=signals,
        present=present,
        quality={m: _joined_quality(parts, m) * present[m] for m in signals},
        labels=np.concatenate([p.labels for p in parts]).astype(np.float32),
        subject=np.concatenate([np.full(len(p.labels), p.subject) for p in parts]),
        trial=np.concatenate([p.trial for p in parts]),
        stimulus=np.concatenate([p.stimulus for p in parts]),
        start=np.concatenate([p.start for p in parts]),
        duration=_duration(layout, settings),
        notes=_notes(layout, found, parts, present),
        published_test=np.concatenate([p.published_test for p in parts]) if layout is Layout.SPLIT else None,
        protocols=_protocols(layout, found),
        trial_name="label groups" if layout is Layout.SPLIT else "trials",
    )
    some = np.any(list(present.values()), axis=0)
    return check_recordings(recordings if some.all() else take(recordings, some), root)


def _require_rows(root: str, found: list[Found], parts: list[Part], settings: DmerConfig) -> None:
    empty = [f.subject for f in found if all(p.subject != f.subject for p in parts)]
    if len(empty) == len(found) or (empty and settings.subjects):
        text = f"no clip of subject {', '.join(empty)} is long enough for one window"
        raise DataFileError(root, f"{text}; choose others with config.data.dmer.subjects")


def _kept(found: Found, settings: DmerConfig, cache_dir: Path | None) -> Part | None:
    """All windows of one subject from the cache or its files; None where no clip holds a window."""
    options = {name: value for name, value in dataclasses.asdict(settings).items() if name != "subjects"}
    key = hashlib.sha256(f"{found.path.resolve()} {found.layout} {sorted(options.items())}".encode())
    compute = partial(run_guarded, read_subject, found.path, found.subject, str(found.layout), options)
    arrays = disk.cached(
        cache_dir, key.hexdigest()[:20], source_files(found), options | {"version": VERSION}, compute
    )
    return _part_of(found, arrays) if arrays else None


def _part_of(found: Found, arrays: dict[str, np.ndarray]) -> Part:
    of = {
        kind: {m: arrays[f"{kind}/{m}"] for m in GROUPS if f"{kind}/{m}" in arrays}
        for kind in ("signals", "quality")
    }
    ids = {name: arrays[name] for name in ("labels", "trial", "stimulus", "start")}
    return Part(found.path, found.subject, **of, **ids, published_test=arrays.get("published_test"))


def read_subject(path: Path | str, subject: str, layout: str, settings: dict) -> dict[str, np.ndarray]:
    """The windows of one subject, clip by clip: for `run_guarded`, hence plain data in and out.

    Returns "signals/<modality>" [n, T_m, F_m], NaN where a clip lacks the modality, "quality/<modality>" [n] and
    the fields of `Part` from labels on; nothing at all where no clip is long enough for a window.
    """
    found = Found(subject, Layout(layout), Path(path))
    match found.layout:
        case Layout.SPLIT:
            return _arrays_of([dmer_features.read_split(found.path, found.subject)])
        case Layout.MERGED:
            clips = dmer_features.read_merged(found.path, settings["complex_part"])
        case Layout.FEATURES:
            clips = dmer_features.read_folder(found.path, settings["complex_part"])
        case Layout.SIGNALS:
            clips = dmer_signals.read_signals(
                found.path, settings["window_seconds"], settings["step_seconds"]
            )
    return _arrays_of(_labelled(found, clips)) if clips else {}


def _arrays_of(parts: list[Part]) -> dict[str, np.ndarray]:
    arrays = {}
    for m in GROUPS:
        if any(m in part.signals for part in parts):
            arrays[f"signals/{m}"] = _joined(parts, m)
            arrays[f"quality/{m}"] = _joined_quality(parts, m)
    for name in ("labels", "trial", "stimulus", "start"):
        arrays[name] = np.concatenate([part._asdict()[name] for part in parts])
    if parts[0].published_test is not None:
        arrays["published_test"] = parts[0].published_test
    return arrays


def _joined(parts: list[Part], modality: str) -> np.ndarray:
    """One modality of all `parts` [n, T_m, F_m]; NaN in those that lack it."""
    shapes = {part.signals[modality].shape[1:]: part.file for part in parts if modality in part.signals}
    if len(shapes) > 1:
        which = "; ".join(f"{list(shape)} in {file}" for shape, file in shapes.items())
        raise DataFileError(
            parts[0].file, f"{modality} differs between subjects ({which}); extract all alike"
        )
    (shape,) = shapes
    blocks = [part.signals.get(modality, np.full((len(part.labels), *shape), np.nan)) for part in parts]
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, hence missing
        return np.concatenate(blocks, dtype=np.float32, casting="unsafe")


def _labelled(found: Found, clips: list[Clip]) -> list[Part]:
    table, file = read_labels(found)
    videos = np.array([clip.video for clip in clips])
    names = np.array([f"subject {found.subject}, video {video}" for video in videos])
    labels = distributions(table[videos], names, file)
    parts = []
    for clip, label in zip(clips, labels, strict=True):
        n = len(clip.start)
        trial, stimulus = f"{found.subject}/{clip.video}", f"{clip.video}"
        parts.append(
            Part(
                file=found.path,
                subject=found.subject,
                signals=clip.signals,
                quality=clip.quality,
                labels=np.tile(label, (n, 1)),
                trial=np.full(n, trial),
                stimulus=np.full(n, stimulus),
                start=clip.start,
            )
        )
    return parts


def _joined_signals(parts: list[Part]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Signals m -> [N, T_m, F_m] float32, NaN where it is not finite, and present m -> [N]: something is."""
    signals, present = {}, {}
    for m in GROUPS:
        if any(m in part.signals for part in parts):
            joined = _joined(parts, m)
            joined[np.abs(joined) > LARGEST_VALUE] = np.nan
            present[m] = ~np.isnan(joined).all((1, 2))
            joined[~present[m]] = 0
            signals[m] = joined
    return signals, present


def _joined_quality(parts: list[Part], modality: str) -> np.ndarray:
    blocks = [part.quality.get(modality, np.zeros(len(part.labels))) for part in parts]
    return np.concatenate(blocks).astype(np.float32)


def _duration(layout: Layout, settings: DmerConfig) -> float:
    if layout is Layout.SIGNALS:
        return settings.window_seconds
    return dmer_features.SPLIT_WINDOW_SECONDS if layout is Layout.SPLIT else dmer_features.WINDOW_SECONDS


def _protocols(layout: Layout, found: list[Found]) -> tuple[str, ...]:
    if layout is not Layout.SPLIT:
        return ()
    with_others = ("loso", "subject_kfold", "fixed_48_12_13", "calibrated")
    return ("window80", "trial_kfold", *(with_others if len(found) > 1 else ()))


def _notes(layout: Layout, found: list[Found], parts: list[Part], present: dict[str, np.ndarray]):
    count = len({part.subject for part in parts})
    notes = [f"DMER, {count} {'subject' if count == 1 else 'subjects'}, layout: {layout}"]
    notes += SPLIT_NOTES if layout is Layout.SPLIT else _clip_notes(found, parts)
    if "video" not in present:
        notes.append(
            "no behavioural modality: extract videoFea.mat from the videos into the subjects' folders"
        )
    for m, here in present.items():
        if not here.all():
            notes.append(f"{m} is absent from {int((~here).sum())} of {len(here)} windows")
    return tuple(notes)


def _clip_notes(found: list[Found], parts: list[Part]) -> list[str]:
    clips = {part.subject: len(set(part.trial)) for part in parts}
    few = [f"{f.subject} ({clips.get(f.subject, 0)})" for f in found if clips.get(f.subject, 0) < CLIPS]
    notes = ["the length of a clip tells its valence: `start` and the number of windows are no features"]
    return notes + ([f"subjects with fewer than {CLIPS} clips: {', '.join(few)}"] if few else [])
