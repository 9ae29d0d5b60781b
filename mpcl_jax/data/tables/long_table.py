"""Long tables: one row a window with its features, or one row a sample of raw signals."""

import re
from collections.abc import Iterable

import numpy as np

from mpcl_jax.data.tables.read_table import IDS, Table, columns_like, is_measured, numbers, roles_of
from mpcl_jax.data.tables.reports import Options, Reports, label_columns, read_reports, seconds_of, some
from mpcl_jax.data.tables.sessions import Mark, Session, Signal, Windows, part_of, require_reports
from mpcl_jax.data.validate.signals import still_issue
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import DataError

# Channels of EEG in the 10-20 system.
ELECTRODE = re.compile(r"(?i:eeg)?[ _-]?(Fp|AF|F|FC|FT|C|T|TP|CP|P|PO|O)(z|[1-9]|10)([ _-]\w+)?")
# Columns of reports, which are not to be learned from.
RATING = re.compile(r"rating|valence|arousal|dominance|liking|familiarity")


def modality_columns(
    names: Iterable[str], table: Table, options: Options
) -> tuple[dict[str, list[str]], list[str]]:
    """modality -> its columns: those of the option, or `names` that begin with the same letters; and notes."""
    if options.modalities:
        chosen = {m: columns_like(table, patterns) for m, patterns in options.modalities.items()}
    else:
        chosen = {}
        for name in names:
            letters = re.match(r"[A-Za-z]+", name)
            word = "eeg" if ELECTRODE.fullmatch(name) else letters[0].lower() if letters else "signal"
            chosen.setdefault(word, []).append(name)
    if not chosen:
        raise DataError(table.source, "has no columns of signals; name them with --modality eda=eda_*")
    return chosen, [f"modality {m}: {some(columns)}" for m, columns in chosen.items()]


def own_columns(table: Table, options: Options) -> tuple[dict[str, str], list[str], list[str]]:
    """The columns by role, those of the labels, and those of signals or features.

    Without `options.modalities`, a column that differs between trials and never within one is left out: it may hold
    reports.
    """
    roles = roles_of(table, options.columns)
    labels = [] if options.questionnaire else columns_like(table, options.labels)
    taken = {*roles.values(), *labels}
    free = [name for name, x in table.columns.items() if name not in taken and is_measured(name, x)]
    if not options.modalities:
        index = _first_rows(table, roles)
        if len(np.unique(index)) < len(index):
            free = [name for name in free if not _of_trial(table.columns[name], index)]
        free = [name for name in free if not RATING.search(name.lower())]
    return roles, labels, free


def _first_rows(table: Table, roles: dict[str, str]) -> np.ndarray:
    """The first row [N] of the trial of each row."""
    first = {}
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys_of(table, roles))])


def _of_trial(x: np.ndarray, index: np.ndarray) -> bool:
    """Whether a column x [N] differs between trials and never within one."""
    return bool(np.all((x == x[index]) | (x != x)) and np.any(x != x[0]))  # NaN is not equal to itself


def reports_in(table: Table, roles: dict[str, str], options: Options) -> Reports:
    """The label columns of a table as one report a trial. Raises DataError where they differ within a trial."""
    if not options.labels:
        reason = "name its rating columns with --labels happy,sad, or a file of ratings with --questionnaire"
        raise DataError(table.source, reason)
    if "trial" not in roles:
        reason = f"names no trial; name its column with --trial; {suggestion('trial', table.columns)}"
        raise DataError(table.source, reason)
    names = label_columns(table, options)
    labels, index = numbers(table, names), _first_rows(table, roles)
    for row, column in zip(*np.nonzero((labels != labels[index]) & ~np.isnan(labels)), strict=True):
        reason = f"differs from row {table.row[index[row]]} of the same trial; a trial has one report"
        raise table.error(row, names[column], f"{reason}: correct it, or name two trials")
    ids = {role: roles[role] for role in IDS if role in roles}
    columns = {name: table.columns[name] for name in dict.fromkeys((*ids.values(), *names))}
    of_trials = table._replace(columns=columns).take(np.unique(index))
    return read_reports(of_trials, options._replace(columns=ids))


def keys_of(table: Table, roles: dict[str, str]) -> list[tuple[str, str, str]]:
    """Subject, session and trial of every row; "" without a column, and the name of the file for the subject."""
    columns = []
    for role, absent in (("subject", table.source.name.partition(".")[0]), ("session", ""), ("trial", "")):
        x = table.columns[roles[role]] if role in roles else [absent] * len(table.row)
        if role in roles and (empty := [i for i, value in enumerate(x) if not value]):
            raise table.error(empty[0], roles[role], f"is empty; name the {role} of every row")
        columns.append(x)
    return list(zip(*columns, strict=True))


def feature_windows(table: Table, reports: Reports, options: Options) -> Windows:
    """One row a window: the features of `table` with the reports of their trials."""
    roles, _, free = own_columns(table, options)
    chosen, notes = modality_columns(free, table, options)
    if not any(report.session for report in reports.of_trials):
        roles.pop("session", None)
    keys = keys_of(table, roles)
    start, _ = seconds_of(table, roles.get("start") or roles.get("time", ""))
    values = {m: numbers(table, names)[:, None] for m, names in chosen.items()}
    known = {(r.subject or keys[0][0], r.session, r.trial): r for r in reports.of_trials}
    order = {key: i for i, key in enumerate(known)}
    subjects = list(dict.fromkeys(subject for subject, _, _ in keys))
    parts = []
    for subject in subjects:
        require_reports(subject, reports, str(table.source), len(subjects))
        rows = [i for i, key in enumerate(keys) if key[0] == subject and key in known]
        rows = sorted(rows, key=lambda i: (order[keys[i]], np.nan_to_num(start[i])))
        signals = {m: x[rows] for m, x in values.items()}
        for m in [m for m, x in signals.items() if still_issue("", m, x)]:
            notes.append(f"{m} of subject {subject} is the same in all windows and counts as absent")
            del signals[m]
        if rows:
            own = [known[keys[i]] for i in rows]
            parts.append(part_of(str(table.source), subject, own, start[rows], signals))
    if lost := ["/".join(filter(None, key)) for key in dict.fromkeys(keys) if key not in known]:
        notes.append(f"dropped, without a report that can be used: {some(lost)}")
    if not parts:
        raise DataError(table.source, f"holds no window of a trial with a report; {notes[-1]}")
    return Windows(tuple(parts), {m: tuple(names) for m, names in chosen.items()}, tuple(notes))


def holds_samples(table: Table, options: Options) -> bool:
    """Whether one row is one sample: a rate or a column of times is given, or its times differ by less than 1 s."""
    column = roles_of(table, options.columns).get("time", "")
    if options.rate or "time" in options.columns or not column:
        return bool(options.rate or column)
    time, _ = seconds_of(table, column)
    return len(time) > 1 and float(np.nanmedian(np.abs(np.diff(time)))) < 1


def sample_sessions(table: Table, options: Options) -> tuple[list[Session], list[str]]:
    """One row a sample: one session a subject, or a subject and trial where the table names trials; and notes."""
    roles, _, free = own_columns(table, options)
    chosen, notes = modality_columns(free, table, options)
    values = {m: numbers(table, names) for m, names in chosen.items()}
    time, unix = seconds_of(table, roles.get("time", ""))
    rows_of = {}
    for i, key in enumerate(keys_of(table, roles)):
        rows_of.setdefault(key, []).append(i)
    sessions, rates = [], []
    for (subject, name, trial), rows in rows_of.items():
        rates.append(options.rate or _rate_of(table, np.array(rows), time, roles["time"]))
        zero = time[rows[0]] if "time" in roles else 0.0
        first = 0.0 if unix or trial else zero  # without trials, reports count in the seconds of the column
        signals = {m: Signal(x[rows], rates[-1], first) for m, x in values.items()}
        marks = (Mark(trial, 0.0, np.inf),) if trial else ()
        sessions.append(Session(str(table.source), subject, name, signals, zero if unix else np.nan, marks))
    spread = f"{min(rates):g}" if np.ptp(rates) < 1e-3 * max(rates) else f"{min(rates):g} to {max(rates):g}"
    source = "--rate" if options.rate else f"column {roles['time']!r}"
    return sessions, [*notes, f"one row is one sample; {spread} samples per second (from {source})"]


def _rate_of(table: Table, rows: np.ndarray, time: np.ndarray, column: str) -> float:
    """Samples per second of these rows. Raises DataError where they are not evenly spaced."""
    t = time[rows]
    if len(rows) < 2 or not t[-1] > t[0]:
        raise table.error(rows[0], column, "does not grow from row to row; sort the rows of a trial by time")
    grid = np.linspace(t[0], t[-1], len(t))
    step = grid[1] - grid[0]
    away = ~(np.abs(t - grid) <= 0.5 * step)
    if away.any():
        steps = np.diff(t)
        at = int(np.nanargmax(np.abs(steps - np.nanmedian(steps)))) if not np.isnan(steps).all() else 0
        reason = (
            f"the time steps {steps[at]:g} s here and usually {np.nanmedian(steps):g} s; resample it evenly, or "
            "split the trial where samples are missing"
        )
        raise table.error(rows[at + 1], column, reason)
    return float(f"{1 / step:.6g}")
