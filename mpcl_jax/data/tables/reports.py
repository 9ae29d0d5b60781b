"""Ratings of trials: the rows of a questionnaire, or the label columns of a table, as label distributions."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mpcl_jax.data.io.refusals import refusing
from mpcl_jax.data.tables.read_table import IDS, Table, columns_like, is_measured, numbers, roles_of
from mpcl_jax.data.wesad.questionnaire import POSITIVE
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import DataError

POSITIVE_WORDS = {word.lower() for word in POSITIVE} | {
    "amused", "amusement", "awe", "calm", "content", "contentment", "delight", "happiness", "happy", "hope",
    "interest", "joy", "joyful", "love", "pleased", "pleasure", "pride", "relaxed", "relief", "tender", "tenderness",
}  # fmt: skip
NEUTRAL_WORDS = {"neutral", "surprise", "surprised"}
UNIX = 1e8  # a larger number of seconds counts from 1970 and not from the beginning of a recording
UNIX_MILLISECONDS = 1e11  # a larger number is in milliseconds


class Options(NamedTuple):
    """What the user states about a source; empty where it is to be taken from the names in the files."""

    labels: tuple[str, ...] = ()  # columns with the ratings, also patterns such as "emo_*"
    floor: float = 0.0  # the rating that means "not at all"
    positive: tuple[str, ...] = ()  # the emotions of positive valence
    modalities: dict[str, tuple[str, ...]] = {}  # modality -> columns or channels, also patterns
    groups: dict[str, str] = {}  # modality -> "physiological" or "behavioural"
    kinds: dict[str, str] = {}  # modality -> kind of signal (`data.features.KINDS`)
    columns: dict[str, str] = {}  # role (`read_table.WORDS`) -> column
    rate: float | None = None  # samples per second of a table with one row a sample
    window: float | None = None  # seconds; default 60
    step: float | None = None  # seconds; default half a window
    questionnaire: Path | None = None
    timezone: str = "UTC"  # of times in the questionnaire that state none


class Report(NamedTuple):
    """The report of one trial."""

    subject: str
    session: str  # "" where it is not given, as for trial and stimulus
    trial: str
    stimulus: str
    begin: float  # seconds since the recording began or, if `unix`, since 1970; NaN where it is not given
    end: float
    unix: bool
    tag: float  # number of the tag at which the trial begins, 1 for the first; NaN where not given
    end_tag: float
    place: int  # among all rows of its subject and session, from 0
    places: int  # the number of these rows
    labels: np.ndarray  # [C], sums to 1


class Reports(NamedTuple):
    """All reports that can be used."""

    source: Path
    emotions: tuple[str, ...]  # C names
    valence: tuple[str, ...]
    of_trials: tuple[Report, ...]
    subjects: frozenset[str]  # also those without a report that can be used
    notes: tuple[str, ...]  # what was assumed, and which trials were dropped


def label_columns(table: Table, options: Options) -> list[str]:
    """The columns with the ratings: those of the option, or all columns of numbers without another meaning."""
    if options.labels:
        return columns_like(table, options.labels)
    roles = roles_of(table, options.columns).values()
    found = [name for name, x in table.columns.items() if name not in roles and is_measured(name, x)]
    if len(found) < 2:
        reason = "has fewer than two columns of ratings; name them with --labels happy,sad"
        raise DataError(table.source, reason)
    return found


def read_reports(table: Table, options: Options) -> Reports:
    """One report a row of `table`; the roles of its columns are in `options.columns`, or guessed by name.

    Raises DataError naming row and column: text in a rating, a rating below the floor, one trial twice, no subject.
    """
    names = label_columns(table, options)
    if len(names) < 2:
        raise DataError(table.source, f"{names[0]!r} is one emotion; name at least two with --labels")
    roles = roles_of(table, options.columns)
    text = {role: _texts(table, roles.get(role, "")) for role in IDS}
    rows = pd.DataFrame(text).groupby(["subject", "session"])
    place, places = rows.cumcount().tolist(), rows["subject"].transform("size").tolist()
    if "trial" not in roles:
        text["trial"] = [str(number + 1) for number in place]
    above = numbers(table, names) - options.floor
    for index, column in zip(*np.nonzero(np.isinf(above) | (above < 0)), strict=True):
        bound = "infinite" if np.isinf(above[index, column]) else f"below the floor {options.floor:g}"
        reason = f"is {bound}; correct it, or --floor"
        raise table.error(index, names[column], f"{above[index, column] + options.floor:g} {reason}")
    begin, unix = seconds_of(table, roles.get("start", ""), options.timezone)
    end, _ = seconds_of(table, roles.get("end", ""), options.timezone)
    empty = np.full(len(table.row), np.nan)
    tag, end_tag = (
        numbers(table, [roles[role]])[:, 0] if role in roles else empty for role in ("tag", "end_tag")
    )
    reports, dropped, first = [], {}, {}
    for i in range(len(table.row)):
        key = tuple(text[role][i] for role in ("subject", "session", "trial"))
        if "subject" in roles and not key[0]:
            raise table.error(i, roles["subject"], "is empty; name the subject of every row")
        if key[2] and (other := first.setdefault(key, i)) != i:
            whose = f" of subject {key[0]!r}" if key[0] else ""
            reason = f"trial {key[2]!r}{whose} is in row {table.row[other]} too; give one row a trial"
            raise table.error(i, roles["trial"], reason)
        missing, total = np.isnan(above[i]), above[i].sum()
        if missing.any() or total == 0:
            floor = f"every rating is at the floor {options.floor:g}"
            reason = "a rating is missing" if missing.any() else floor
            dropped.setdefault(reason, []).append(f"{key[0]}/{key[2]}")
            continue
        shares, stimulus = above[i] / total, text["stimulus"][i]
        times = (begin[i], end[i], unix, tag[i], end_tag[i], place[i], places[i])
        reports.append(Report(*key, stimulus, *times, shares))
    notes = [f"{len(names)} emotions: {', '.join(names)}; label = (rating - {options.floor:g}) / sum"]
    if options.floor == 0 and np.nanmin(above, initial=np.inf) == 1:
        notes.append("the lowest rating is 1: if it means 'not at all', give --floor 1")
    notes += [f"dropped, {reason}: {some(trials)}" for reason, trials in dropped.items()]
    if not reports:
        raise DataError(table.source, f"has no report that can be used; {notes[-1]}")
    subjects = frozenset(text["subject"])
    return _used(Reports(table.source, tuple(names), (), tuple(reports), subjects, tuple(notes)), options)


def _used(reports: Reports, options: Options) -> Reports:
    """The emotions that some report rates above the floor, with their valence."""
    kept = np.flatnonzero(np.max([report.labels for report in reports.of_trials], axis=0) > 0)
    names = [reports.emotions[i] for i in kept]
    notes = list(reports.notes)
    if lost := [name for name in reports.emotions if name not in names]:
        notes.append(f"left out, no report is above the floor: {', '.join(lost)}")
    if len(names) < 2:
        reason = f"only {names[0]!r} is rated above the floor; two emotions are needed"
        raise DataError(reports.source, reason)
    if unknown := [name for name in options.positive if name not in reports.emotions]:
        reason = f"--positive: {unknown[0]!r} is no emotion; {suggestion(unknown[0], names)}"
        raise DataError(reports.source, reason)
    valence = tuple(_valence(name, options.positive) for name in names)
    for word in dict.fromkeys(valence):
        own = [name for name, of in zip(names, valence, strict=True) if of == word]
        notes.append(f"valence {word}: {', '.join(own)} (change it with --positive)")
    of_trials = tuple(report._replace(labels=report.labels[kept]) for report in reports.of_trials)
    return reports._replace(emotions=tuple(names), valence=valence, of_trials=of_trials, notes=tuple(notes))


def _valence(name: str, positive: tuple[str, ...]) -> str:
    if positive:
        return "positive" if name in positive else "negative"
    words = set(re.findall(r"[a-z]+", name.lower()))
    return "positive" if words & POSITIVE_WORDS else "neutral" if words & NEUTRAL_WORDS else "negative"


def _texts(table: Table, name: str) -> list[str]:
    if not name:
        return [""] * len(table.row)
    return [x if isinstance(x, str) else "" if np.isnan(x) else f"{x:g}" for x in table.columns[name]]


def seconds_of(table: Table, name: str, timezone: str = "UTC") -> tuple[np.ndarray, bool]:
    """The times [N] in a column, in seconds, and whether they count from 1970; NaN without a `name`.

    Raises DataError for text that is no ISO date and time.
    """
    x = table.columns[name] if name else np.full(len(table.row), np.nan)
    if is_measured("", x) or not name:
        x = numbers(table, [name])[:, 0] if name else x
        x = x / 1000 if np.nanmax(x, initial=0) > UNIX_MILLISECONDS else x
        return x, bool(np.nanmax(x, initial=0) > UNIX)
    with refusing(table.source, f"column {name!r}: the times cannot be placed in --timezone {timezone}"):
        stamps = pd.to_datetime(pd.Series(np.where(x == "", None, x)), format="ISO8601", errors="coerce")
        stamps = stamps.dt.tz_localize(timezone) if stamps.dt.tz is None else stamps
        seconds = ((stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(np.float64)
    for index in np.flatnonzero(np.isnan(seconds) & (x != "")):
        raise table.error(index, name, f"{x[index]!r} is no time; write seconds, or 2024-05-31T14:05:00")
    return seconds, True


def some(names: list[str], most: int = 6) -> str:
    """The first few names and, where there are more, how many in all."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
