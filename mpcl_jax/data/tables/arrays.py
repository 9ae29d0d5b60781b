"""Recordings from arrays in memory, and label distributions from what subjects report."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, Literal

import numpy as np

from mpcl_jax.data.folder.files import spelling
from mpcl_jax.data.folder.load import WITHOUT_TRIALS
from mpcl_jax.data.join import Part, joined, runs_of
from mpcl_jax.data.one_report import require_one_report
from mpcl_jax.data.tables.arguments import RECORDINGS, refuse_arguments
from mpcl_jax.data.tables.modality_group import guess_group
from mpcl_jax.data.tables.raw_signals import features_of, rates_of
from mpcl_jax.data.tables.read_arrays import (
    ids_of,
    numbers,
    refuse_rows,
    require_same_order,
    seconds_of,
    seconds_of_window,
    tokens,
)
from mpcl_jax.types import GROUPS, DataError, Recordings, check_recordings

Labels = Literal["auto", "distribution", "ratings", "counts", "multi_hot"]
LABELS = ("auto", "distribution", "ratings", "counts", "multi_hot")


@refuse_arguments(RECORDINGS)
def from_arrays(
    signals: Mapping[str, Any],
    labels: Any,
    *,
    subject: Sequence,
    trial: Sequence | None = None,
    stimulus: Sequence | None = None,
    start: Sequence | None = None,
    modality_groups: Mapping[str, str] | None = None,
    emotions: Sequence[str] | None = None,
    valence: Mapping[str, str] | Sequence[str] | None = None,
    label_kind: Labels = "auto",
    floor: float | None = None,
    rates: Mapping[str, float] | float | None = None,
    kinds: Mapping[str, str] | None = None,
    raw: bool = False,
    name: str = "arrays",
    window_seconds: float = math.nan,
) -> Recordings:
    """Recordings from arrays of N windows::

        data = mpcl.from_arrays({"eda": eda, "face": face}, ratings, subject=subjects, trial=trials, floor=1)

    Args:
        signals: modality -> features [N, F] or [N, T, F], in any unit. NaN where a value is missing; a modality is
            absent from a window in which all its values are NaN.
        labels: [N, C] reports of C emotions, 2 or more, see `label_kind`.
        subject: [N] ids of the subjects, or one id for all windows.
        trial: [N] ids of the uninterrupted recordings that have one report each, unique within a subject. Where the
            report changes within a recording, give each report its own id. Without
            them, neighbouring windows of a subject with equal labels and stimulus count as one trial, and protocols
            that hold out trials are refused.
        stimulus: [N] ids of clips or conditions, the same ids for all subjects.
        start: [N] seconds from the beginning of the trial.
        modality_groups: modality -> "physiological" or "behavioural". Default: guessed from the name.
        emotions: C names. Default: the columns of a DataFrame, else "emotion 1", "emotion 2", ...
        valence: valence group of each emotion: emotion -> name, or C names. Default: one group.
        label_kind, floor: what `labels` holds, see `distributions`.
        rates: samples per second of raw signals, one number or modality -> number. Signals with 32 or more values
            along the time axis then become features (`mpcl_jax.features`).
        kinds: modality -> kind of a raw signal (`mpcl_jax.features.KINDS`). Default: guessed from the name.
        raw: True keeps the samples of raw signals and extracts no features.
        name: name of the data set in titles.
        window_seconds: length of a window in seconds.

    Warns of signals that look like raw samples and have no rate. Raises DataError in one line that names the array,
    the first wrong row and what to do.
    """
    if not isinstance(name, str):
        raise DataError("name", f"is {name!r}; wanted text")
    given = {"labels": labels, "subject": subject, "trial": trial, "stimulus": stimulus}
    require_same_order({f"signals[{m!r}]": x for m, x in _named(signals).items()} | given)
    shares = distributions(labels, label_kind, floor)
    notes = _notes_on(labels, label_kind, floor)
    count = len(shares)
    ids = {key: ids_of(key, given[key], count) for key in ("subject", "trial", "stimulus")}
    if ids["subject"] is None:
        raise DataError("subject", "is missing; give one id per window, or one id for all")
    names = emotion_names(labels, shares.shape[1], emotions)
    arrays = {m: tokens(f"signals[{m!r}]", x, count) for m, x in signals.items()}
    of_rates, of_kinds = rates_of(arrays, rates, kinds, raw, "signals")
    arrays |= {m: features_of(f"signals[{m!r}]", arrays[m], of_rates[m], of_kinds[m]) for m in of_rates}
    held = ids["stimulus"] if ids["stimulus"] is not None else np.full(count, "")
    own = ids["trial"] if ids["trial"] is not None else runs_of(shares, ids["subject"], held)
    part = Part(
        source=name,
        subject="",
        labels=shares,
        trial=np.array([f"{s}/{t}" for s, t in zip(ids["subject"], own, strict=True)]),
        stimulus=held,
        start=seconds_of(start, count),
        signals=arrays,
    )
    _require_something(part.signals)
    require_one_report("labels", shares, part.trial, ids["subject"])
    recordings = joined(
        [part],
        {m: guess_group(m) for m in part.signals} | _known_groups(modality_groups or {}, part.signals),
        name=name,
        emotions=names,
        valence=valence_of(names, valence),
        duration=seconds_of_window(window_seconds),
        protocols=() if ids["trial"] is not None else WITHOUT_TRIALS,
        notes=notes,
    )
    some = _with_any_value(part.signals)  # `joined` drops the others
    return check_recordings(recordings._replace(subject=ids["subject"][some]), name)


def _notes_on(labels: Any, label_kind: Labels, floor: float | None) -> tuple[str, ...]:
    """How labels of a kind that is not given were read; a warning where they may be ratings."""
    if label_kind != "auto" or floor is not None:
        return ()
    x = numbers("labels", labels)
    if _are_shares(x).all():
        return ("labels read as distributions, because each row sums to 1 or 100",)
    if np.isin(x, (0, 1)).all():
        return ("labels read as multi_hot, because all are 0 or 1: equal shares of the marked emotions",)
    note = "labels read as counts: share = value / sum"
    if may_be_ratings(x):
        remedy = (
            f"floor={x.min():g}, the rating of an emotion that is not felt; else give label_kind='counts'"
        )
        warnings.warn(f"{note}. If they are ratings, give {remedy}", UserWarning, stacklevel=4)  # from_arrays
    return (note,)


def may_be_ratings(x: np.ndarray) -> bool:
    """Whether labels [N, C] are whole numbers from 1; with a rating of 0, a floor of 0 would change nothing."""
    return bool((x == np.floor(x)).all() and x.min() > 0 and not _are_shares(x).all())


def _are_shares(x: np.ndarray) -> np.ndarray:
    """[N] bool: rows that sum to 1 or 100."""
    sums = x.sum(1)
    return np.minimum(np.abs(sums - 1), np.abs(sums - 100) / 100) <= 1e-3


def _with_any_value(signals: dict[str, np.ndarray]) -> np.ndarray:
    """[N] bool: windows with at least one modality."""
    return np.any([~np.isnan(x).all((1, 2)) for x in signals.values()], axis=0)


def distributions(
    labels: Any, label_kind: Labels = "auto", floor: float | None = None, name: str = "labels"
) -> np.ndarray:
    """Reports as distributions over C >= 2 emotions, [N, C] float64; rows sum to 1.

    `labels` [N, C] holds, by `label_kind`:

    - "distribution": shares that sum to 1, or percentages that sum to 100;
    - "ratings" on any scale. `floor` is the rating of an emotion that is not felt: (rating − floor) / sum;
    - "counts", for example votes: count / sum;
    - "multi_hot", 0 and 1: equal shares of the marked emotions;
    - "auto": "ratings" if `floor` is given, else value / sum, which is right for all other kinds. Recordings then
      have a note on how the labels were read, and whole numbers from 1, which may be ratings, cause a warning.

    `name` is what messages call `labels`. Raises DataError that names the first row that is not finite, lies below
    the floor, or sums to 0.
    """
    if label_kind not in LABELS:
        raise DataError(
            "label_kind", f"is {label_kind!r}; wanted {', '.join(map(repr, LABELS[:-1]))} or {LABELS[-1]!r}"
        )
    if label_kind == "ratings" and floor is None:
        raise DataError(name, "holds ratings; give floor, the rating of an emotion that is not felt, e.g. 1")
    if floor is not None and label_kind not in ("auto", "ratings"):
        raise DataError("floor", f"is {floor}, which is for ratings only; label_kind is {label_kind!r}")
    if floor is not None and (isinstance(floor, bool | str) or not np.isfinite(floor)):
        raise DataError("floor", f"is {floor!r}; wanted the rating of an emotion that is not felt, e.g. 1")
    x = numbers(name, labels)
    if x.ndim != 2 or x.shape[1] < 2 or not len(x):
        wanted = "one row per window and one column for each of at least two emotions"
        raise DataError(name, f"has shape {x.shape}; wanted [windows, emotions], {wanted}")
    refuse_rows(name, ~np.isfinite(x).all(1), "is not finite; drop windows without a report")
    above = x - (floor or 0.0)
    low = (
        "is below the floor"
        if floor is not None
        else "is negative; give floor, the lowest rating of the scale"
    )
    refuse_rows(name, (above < 0).any(1), low)
    if label_kind == "multi_hot":
        refuse_rows(name, ~np.isin(x, (0, 1)).all(1), "is not 0 or 1, but label_kind is 'multi_hot'")
    if label_kind == "distribution":
        refuse_rows(name, ~_are_shares(x), "does not sum to 1 or 100, but label_kind is 'distribution'")
    nothing = "has no emotion above the floor; drop the window, or lower the floor"
    refuse_rows(name, above.sum(1) <= 0, nothing)
    return above / above.sum(1, keepdims=True)


def emotion_names(labels: Any, count: int, emotions: Sequence[str] | None) -> tuple[str, ...]:
    """C names: `emotions`, or the columns of a DataFrame, or "emotion 1", "emotion 2", ... Raises DataError."""
    if emotions is None:
        columns = getattr(labels, "columns", [f"emotion {c + 1}" for c in range(count)])
        emotions = list(columns)
    if isinstance(emotions, str) or not isinstance(emotions, Iterable):
        raise DataError("emotions", f"is {emotions!r}; wanted a list of {count} names")
    names = tuple(map(str, emotions))
    if len(names) != count:
        raise DataError("emotions", f"holds {len(names)} names; wanted {count}, one per column of labels")
    spelt = [spelling(name) for name in names]
    for i, name in enumerate(names):
        if not spelt[i]:
            raise DataError("emotions", f"name {i} is blank; give the emotion a name")
        if spelt[i] in spelt[:i]:
            raise DataError("emotions", f"{name!r} is there twice (capitals and blanks aside); rename one")
    return names


def valence_of(
    emotions: tuple[str, ...], valence: Mapping[str, str] | Sequence[str] | None
) -> tuple[str, ...]:
    """The valence group of each emotion. Raises DataError naming the emotion that lacks one."""
    if valence is None:
        return ("all",) * len(emotions)
    if isinstance(valence, Mapping):
        if missing := [name for name in emotions if name not in valence]:
            raise DataError("valence", f"has no entry for {missing[0]!r}")
        valence = [valence[name] for name in emotions]
    if isinstance(valence, str) or not isinstance(valence, Sized) or len(valence) != len(emotions):
        raise DataError("valence", f"wanted {len(emotions)} names of valence groups, one per emotion")
    return tuple(map(str, valence))


def _named(signals: Any) -> Mapping[str, Any]:
    if not isinstance(signals, Mapping) or not signals:
        raise DataError("signals", f"is {type(signals).__name__}; wanted a dict, modality -> array")
    if wrong := [m for m in signals if not isinstance(m, str) or not m.strip()]:
        raise DataError("signals", f"has the key {wrong[0]!r}; wanted the name of a modality")
    return signals


def _known_groups(groups: Mapping[str, str], signals: Mapping) -> dict[str, str]:
    if not isinstance(groups, Mapping):
        raise DataError("modality_groups", f"is {type(groups).__name__}; wanted a dict, modality -> group")
    for m, group in groups.items():
        if m not in signals:
            raise DataError("modality_groups", f"names {m!r}; the signals are {', '.join(signals)}")
        if group not in GROUPS:
            raise DataError("modality_groups", f"{m!r} is {group!r}; wanted {' or '.join(map(repr, GROUPS))}")
    return dict(groups)


def _require_something(signals: dict[str, np.ndarray]) -> None:
    for m, x in signals.items():
        if np.isnan(x).all():
            raise DataError(f"signals[{m!r}]", "holds no number at all; leave the modality out")
