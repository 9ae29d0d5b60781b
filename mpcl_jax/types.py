"""The data contract: what a data set is on the host, and what the model sees on the device.

Every loader in `mpcl_jax.data` returns one `Recordings`; everything after it (protocols, normalisation,
baselines, training, reports) reads only the fields named here.

Letters: N windows, T_m tokens and F_m features of modality m, C emotions, B batch. They are defined in
`mpcl_jax/__init__.py`, once for the whole package.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

GROUPS = ("physiological", "behavioural")
# The largest absolute value of a signal. Beyond it float32 overflows, or a device flushes 1 / spread to 0.
LARGEST_VALUE = 1e30
FARTHEST = 1e15  # spreads of a feature from its centre; beyond it squares overflow float32 inside the model


class DataError(ValueError):
    """Data that cannot be used: which file, folder or array, why, and what to do about it."""

    def __init__(self, file: Any, reason: str):
        """`file`: its path, or the name of an array · `reason`: one sentence, with what to do."""
        super().__init__(f"{file}: {reason}")
        self.file, self.reason = str(file), reason

    def __reduce__(self):
        """Keeps file and reason when the error crosses a process boundary."""
        return (DataError, (self.file, self.reason))


class DataSpec(NamedTuple):
    """What the model needs to know of a data set; written into every run as `data.json`."""

    emotions: tuple[str, ...]  # C names
    valence: tuple[str, ...]  # C valence groups, e.g. "positive", one of each emotion
    groups: dict[str, str]  # modality -> "physiological" | "behavioural"
    shapes: dict[str, tuple[int, int]]  # modality -> (T_m, F_m)


class Recordings(NamedTuple):
    """A whole data set as NumPy arrays on the host, one row a window.

    A row whose modality m is absent has `present[m]` False and zeros in `signals[m]`. A feature that is missing
    from a row whose modality is present is NaN: normalisation replaces it by the median of the training part, so
    every reader of signals either goes through `data/normalise.py` or leaves NaN out. Two rows with the same
    `subject` come from one subject, with the same `trial` from one uninterrupted recording that carries one
    report, with the same `stimulus` from the same clip or condition of any subject. Splits are made of
    these ids and of nothing else.
    """

    name: str  # for titles and logs
    emotions: tuple[str, ...]  # C names
    valence: tuple[str, ...]  # C valence groups
    groups: dict[str, str]  # modality -> "physiological" | "behavioural", in the order of `signals`
    signals: dict[str, np.ndarray]  # m -> [N, T_m, F_m] float32, NaN where a feature is missing
    present: dict[str, np.ndarray]  # m -> [N] bool
    quality: dict[str, np.ndarray]  # m -> [N] float32 in [0, 1], 1 = nothing wrong with this window
    labels: np.ndarray  # [N, C] float32, >= 0, rows sum to 1
    subject: np.ndarray  # [N] str
    trial: np.ndarray  # [N] str, unique over the whole data set, not only within a subject
    stimulus: np.ndarray  # [N] str, "" where it is not known
    start: np.ndarray  # [N] float64 seconds since the trial began, NaN where it is not known
    duration: float  # seconds covered by one window, NaN where it is not known
    notes: tuple[str, ...] = ()  # what a reader of the results has to know; printed at the start of a run
    published_test: np.ndarray | None = None  # [N] bool, the test rows of a split published with the files
    protocols: tuple[str, ...] = ()  # the only protocols these ids can support; () = all
    of_stimulus: tuple[str, ...] = ()  # modalities of the stimulus: equal for all subjects
    # What one `trial` is, in tables: "label groups" where clips are not known.
    trial_name: str = "trials"


class Batch(NamedTuple):
    """B windows on the device, normalised with statistics of the training part."""

    signals: dict[str, Any]  # m -> [B, T_m, F_m] float32, about mean 0 and sd 1
    present: dict[str, Any]  # m -> [B] bool
    labels: Any  # [B, C] float32, rows sum to 1
    weight: Any  # [B] float32, 0 for padding, else 1


def spec_of(recordings: Recordings) -> DataSpec:
    """Names and shapes of a data set, without its rows."""
    shapes = {m: (int(x.shape[1]), int(x.shape[2])) for m, x in recordings.signals.items()}
    return DataSpec(recordings.emotions, recordings.valence, dict(recordings.groups), shapes)


def groups_in(groups: dict[str, str]) -> tuple[str, ...]:
    """The modality groups that a data set has, one or two, in the order of `GROUPS`. `groups`: modality -> group."""
    return tuple(group for group in GROUPS if group in groups.values())


def knows_trials(recordings: Recordings) -> bool:
    """Whether each `trial` is one recording; groups of equal labels, where clips are not known, are no trials."""
    return recordings.trial_name == Recordings._field_defaults["trial_name"]


def take(recordings: Recordings, rows: np.ndarray) -> Recordings:
    """The same data set with only `rows` (indices or a boolean mask) of it."""
    by_modality = {
        field: {m: x[rows] for m, x in getattr(recordings, field).items()}
        for field in ("signals", "present", "quality")
    }
    by_row = {f: getattr(recordings, f)[rows] for f in ("labels", "subject", "trial", "stimulus", "start")}
    published = None if recordings.published_test is None else recordings.published_test[rows]
    return recordings._replace(published_test=published, **by_modality, **by_row)


def with_modalities(recordings: Recordings, names: Iterable[str]) -> Recordings:
    """The same windows with only the modalities `names`, in that order."""
    names = tuple(names)
    fields = ("groups", "signals", "present", "quality")
    kept = {field: {m: getattr(recordings, field)[m] for m in names} for field in fields}
    of_stimulus = tuple(m for m in recordings.of_stimulus if m in names)
    return recordings._replace(of_stimulus=of_stimulus, **kept)


def is_text(text: str) -> bool:
    """Whether `text` can be written as UTF-8: names of files that are none hold lone surrogates."""
    return as_text(text) == text


def as_text(text: str) -> str:
    r"""`text` with `\udce4` for what is no UTF-8, fit to be printed."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def check_recordings(recordings: Recordings, file: Any) -> Recordings:
    """Returns `recordings` if they keep the contract of this module.

    Raises DataError naming `file`, the field and the first bad row otherwise.
    """
    for reason in _violations(recordings):
        raise DataError(file, reason)
    return recordings


def _violations(recordings: Recordings) -> Iterator[str]:
    """Every violation of the contract in words; one may make the next ones impossible to check."""
    n, c = recordings.labels.shape
    if n == 0:
        yield "holds no usable window"
    if not (len(recordings.emotions) == len(recordings.valence) == c):
        yield f"{len(recordings.emotions)} emotion names, {len(recordings.valence)} valence groups, {c} labels"
    for field in ("subject", "trial", "stimulus", "start"):
        if len(getattr(recordings, field)) != n:
            yield f"{field} has {len(getattr(recordings, field))} rows, labels have {n}"
    fields = ("emotions", "valence", "notes", "subject", "trial", "stimulus")
    texts = {"name": [recordings.name], "modality": recordings.groups} | {
        f: getattr(recordings, f) for f in fields
    }
    for field, text in (
        (field, text) for field, held in texts.items() for text in dict.fromkeys(map(str, held))
    ):
        if not is_text(text):
            yield f"{field}: '{as_text(text)}' is not UTF-8 text and could not be written into a result; rename it"
    labels = recordings.labels
    yield from _row("labels", ~np.isfinite(labels).all(1), "not finite")
    yield from _row("labels", (labels < 0).any(1), "negative")
    yield from _row("labels", np.abs(labels.sum(1) - 1) > 1e-4, "does not sum to 1")
    fields = (recordings.signals, recordings.present, recordings.groups, recordings.quality)
    if not fields[0] or any(set(field) != set(fields[0]) for field in fields):
        yield "signals, present, quality and groups must name the same modalities"
    for m, x in recordings.signals.items():
        if recordings.groups[m] not in GROUPS:
            yield f"modality {m!r} belongs to {recordings.groups[m]!r}; allowed: {', '.join(GROUPS)}"
        if x.ndim != 3 or len(x) != n or 0 in x.shape:
            yield f"signals[{m!r}] has shape {x.shape}; wanted [{n}, tokens, features]"
        present, missing = recordings.present[m], np.isnan(x)
        if present.shape != (n,) or recordings.quality[m].shape != (n,):
            yield f"present[{m!r}] and quality[{m!r}] must have shape [{n}]"
        key = f"signals[{m!r}]"
        yield from _row(key, *beyond(x))
        yield from _row(key, present & missing.all((1, 2)), "holds no number; mark the window absent")
        yield from _row(key, ~present & missing.any((1, 2)), "holds NaN where it is absent; wanted zeros")
    nothing = ~np.stack(list(recordings.present.values())).any(0)
    yield from _row("present", nothing, "no modality at all; drop the window")


def _row(key: str, bad: np.ndarray, what: str) -> Iterator[str]:
    """The first of the rows where `bad` [N] is True, and how many: "labels, row 4: negative (1 row in all)"."""
    if bad.any():
        count = int(bad.sum())
        yield f"{key}, row {int(bad.argmax())}: {what} ({count} {'row' if count == 1 else 'rows'} in all)"


def feature_name(shape: tuple[int, int], token: int, feature: int) -> str:
    """The name in messages of one feature of a modality of `shape` (T, F): "feature 3", "token 2, feature 3"."""
    return f"feature {feature}" if shape[0] == 1 else f"token {token}, feature {feature}"


def beyond(x: np.ndarray, most: float = LARGEST_VALUE, unit: str = "") -> tuple[np.ndarray, str]:
    """The rows [N] of `x` [N, T, F] that hold a value that is infinite or beyond ±`most`, and the first one in words.

    "feature 3 is inf; allowed: up to ±1e+30, or NaN where the feature is missing"; "" where there is none. `unit`
    follows the number: "feature 3 is 7e19 standard deviations from the training mean; at most 1e15 are allowed".
    """
    bad = x > most
    bad |= x < -most
    if not bad.any():
        return np.zeros(len(x), bool), ""
    row, token, feature = np.unravel_index(bad.argmax(), bad.shape)
    name, value = feature_name(x.shape[1:], token, feature), x[row, token, feature]
    text = f"{name} is {value:g}; allowed: up to ±{most:g}, or NaN where the feature is missing"
    if unit:
        text = f"{name} is {value:.3g}{unit}; at most {most:g} are allowed".replace("e+", "e")
    return bad.any((1, 2)), text
