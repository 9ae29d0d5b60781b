"""Recordings from arrays in memory, and label distributions from what subjects report."""

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np

from mpcl_jax.data.folder.files import spelling
from mpcl_jax.data.folder.load import WITHOUT_TRIALS
from mpcl_jax.data.join import Part, joined, runs_of
from mpcl_jax.data.tables.arguments import RECORDINGS, refuse_arguments
from mpcl_jax.data.tables.modality_group import guess_group
from mpcl_jax.data.tables.raw_signals import features_of, rates_of
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
    """A data set from arrays of N windows.

    Args:
        signals: modality -> features [N, F] or [N, T, F], NaN where one is missing; a window of NaN alone is absent.
        labels: [N, C], see `distributions`.
        subject: [N] ids. Two windows with one id come from one subject.
        trial: [N] ids of the uninterrupted recordings that carry one report each, unique within a subject. Without
            them, neighbouring windows of a subject with equal labels and stimulus count as one trial, and protocols
            that hold out trials are refused.
        stimulus: [N] ids of clips or conditions, the same for all subjects.
        start: [N] seconds since the trial began.
        modality_groups: modality -> "physiological" or "behavioural"; a missing one is guessed from the name.
        emotions: C names; default: the columns of a DataFrame, else "emotion 1", "emotion 2", ...
        valence: emotion -> name of its valence group, or C such names; default: one group.
        label_kind, floor: what `labels` holds, see `distributions`.
        rates: samples per second of raw signals, one number or modality -> number. Signals with 32 or more values
            along the time axis then become features (`mpcl_jax.features`).
        kinds: modality -> kind of such a signal (`mpcl_jax.features.KINDS`); default: guessed from the name.
        raw: keep the samples instead.
        name: for titles and logs.
        window_seconds: length of a window.

    Raises DataError naming the array, the first wrong row and what to do.
    """
    given = {"labels": labels, "subject": subject, "trial": trial, "stimulus": stimulus}
    require_same_order({f"signals[{m!r}]": x for m, x in _named(signals).items()} | given)
    shares = distributions(labels, label_kind, floor)
    count = len(shares)
    ids = {
        key: ids_of(key, values, count)
        for key, values in (("subject", subject), ("trial", trial), ("stimulus", stimulus))
    }
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
        start=_seconds(start, count),
        signals=arrays,
    )
    _require_something(part.signals)
    recordings = joined(
        [part],
        {m: guess_group(m) for m in part.signals} | _known_groups(modality_groups or {}, part.signals),
        name=name,
        emotions=names,
        valence=valence_of(names, valence),
        duration=float(window_seconds),
        protocols=() if ids["trial"] is not None else WITHOUT_TRIALS,
    )
    some = np.any(
        [~np.isnan(x).all((1, 2)) for x in part.signals.values()], axis=0
    )  # `joined` drops the others
    return check_recordings(recordings._replace(subject=ids["subject"][some]), name)


def distributions(
    labels: Any, label_kind: Labels = "auto", floor: float | None = None, name: str = "labels"
) -> np.ndarray:
    """Reports as distributions over C >= 2 emotions, [N, C] float64, rows sum to 1.

    `labels` [N, C] by `label_kind`:

    - "distribution": shares that sum to 1 (to 100, for percentages);
    - "ratings" on any scale from `floor`, the rating of an emotion that is not felt: (rating − floor) / Σ;
    - "counts", e.g. votes: count / Σ;
    - "multi_hot", 0 and 1: equal shares of the emotions that are marked;
    - "auto": ratings if `floor` is given, else x / Σ, which is all of the others.

    Raises DataError naming the first row that is not finite, lies below the floor, or sums to 0.
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
    _refuse_rows(name, ~np.isfinite(x).all(1), "is not finite; drop windows without a report")
    above = x - (floor or 0.0)
    low = (
        "is below the floor"
        if floor is not None
        else "is negative; give floor, the lowest rating of the scale"
    )
    _refuse_rows(name, (above < 0).any(1), low)
    if label_kind == "multi_hot":
        _refuse_rows(name, ~np.isin(x, (0, 1)).all(1), "is not 0 or 1, but label_kind is 'multi_hot'")
    if label_kind == "distribution":
        sums = x.sum(1)
        wrong = np.minimum(np.abs(sums - 1), np.abs(sums - 100) / 100) > 1e-3
        _refuse_rows(name, wrong, "does not sum to 1 or 100, but label_kind is 'distribution'")
    nothing = "has no emotion above the floor; drop the window, or lower the floor"
    _refuse_rows(name, above.sum(1) <= 0, nothing)
    return above / above.sum(1, keepdims=True)


def tokens(name: str, x: Any, count: int | None = None) -> np.ndarray:
    """Features of a modality as [N, T, F] float32, [N, F] as one token. Raises DataError naming the array `name`."""
    x = numbers(name, x)
    if x.ndim not in (2, 3) or 0 in x.shape[1:]:
        raise DataError(
            name, f"has shape {x.shape}; wanted [windows, features] or [windows, samples, features]"
        )
    if count is not None and len(x) != count:
        raise DataError(name, f"has {len(x)} rows; wanted {count}, one per window")
    with np.errstate(over="ignore"):  # what does not fit is refused as infinite
        x = x.astype(np.float32)
    return x[:, None] if x.ndim == 2 else x


def numbers(name: str, x: Any) -> np.ndarray:
    """`x` (array, DataFrame or list) as float64; missing values are NaN. Raises DataError naming the array `name`."""
    if hasattr(x, "toarray"):
        raise DataError(name, "is a sparse matrix; use .toarray()")
    try:
        array = np.asarray(x)
        if array.dtype.kind in "mM":
            raise DataError(name, f"holds {array.dtype}; wanted numbers, e.g. seconds")
        if array.dtype.kind == "c":
            raise DataError(name, "holds complex numbers; use the real part or the magnitude")
        if isinstance(x, np.ma.MaskedArray):
            x = np.ma.filled(x.astype(np.float64), math.nan)
        elif hasattr(x, "iloc"):  # pandas, whose missing values are no float
            x = x.to_numpy("float64", na_value=math.nan)
        return np.asarray(x, np.float64)
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(
            name, f"cannot be read as numbers ({reason}); wanted numbers, NaN where missing"
        ) from error


def require_same_order(given: Mapping[str, Any]) -> None:
    """Raises DataError where two objects of pandas have the same index in another order: it is not used."""
    indices = {name: x.index for name, x in given.items() if hasattr(getattr(x, "index", None), "equals")}
    first = next(iter(indices), "")
    for name, index in indices.items():
        other = indices[first]
        if len(index) == len(other) and not index.equals(other) and set(index) == set(other):
            reason = f"has the index of {first} in another order, and rows are taken by position"
            raise DataError(name, f"{reason}; sort both alike, or call reset_index(drop=True) on both")


def emotion_names(labels: Any, count: int, emotions: Sequence[str] | None) -> tuple[str, ...]:
    """C names: `emotions`, or the columns of a DataFrame, or "emotion 1", "emotion 2", ... Raises DataError."""
    if emotions is None:
        columns = getattr(labels, "columns", [f"emotion {c + 1}" for c in range(count)])
        emotions = list(columns)
    if isinstance(emotions, str):
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
    if isinstance(valence, str) or len(valence) != len(emotions):
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


def ids_of(key: str, values: Any, count: int) -> np.ndarray | None:
    """[N] ids as text, or None. Raises DataError naming the argument `key` and the row without an id."""
    if values is None:
        return None
    if isinstance(values, Mapping | Set | Iterator):
        raise DataError(key, f"is {type(values).__name__}; wanted a list or array of {count} ids")
    listed = isinstance(values, list | tuple)  # as objects: NumPy makes the id "nan" of a NaN among texts
    array = np.asarray(values, object if listed and any(isinstance(x, str) for x in values) else None)
    if array.ndim == 0:
        array = np.full(count, array)
    if array.shape != (count,):
        raise DataError(key, f"has shape {array.shape}; wanted {count} ids, one per window")
    if array.dtype.kind == "f" or array.dtype.kind == "O":
        missing = np.array([x is None or not isinstance(x == x, bool) or x != x for x in array.tolist()])
        _refuse_rows(key, missing, "is missing; give an id or drop the window")
    if (
        array.dtype.kind == "f" and (array == np.floor(array)).all()
    ):  # a column of integers that pandas read as floats
        array = array.astype(np.int64)
    return array.astype(str)


def _seconds(start: Any, count: int) -> np.ndarray:
    if start is None:
        return np.full(count, np.nan)
    seconds = numbers("start", start)
    if seconds.shape != (count,):
        raise DataError("start", f"has shape {seconds.shape}; wanted {count} numbers of seconds")
    return seconds


def _require_something(signals: dict[str, np.ndarray]) -> None:
    for m, x in signals.items():
        if np.isnan(x).all():
            raise DataError(f"signals[{m!r}]", "holds no number at all; leave the modality out")


def _refuse_rows(name: str, bad: np.ndarray, what: str) -> None:
    if bad.any():
        more = f" ({int(bad.sum())} rows in all)" if bad.sum() > 1 else ""
        raise DataError(name, f"row {int(bad.argmax())} {what}{more}")
