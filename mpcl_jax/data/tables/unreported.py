"""One source of any known kind without reports, to be predicted."""

from pathlib import Path

import numpy as np

from mpcl_jax.data.folder.load import read_subject
from mpcl_jax.data.folder.meta import Meta
from mpcl_jax.data.join import joined
from mpcl_jax.data.tables.import_source import Imported, check_options, is_table, sessions_at
from mpcl_jax.data.tables.long_table import (
    feature_windows,
    holds_samples,
    keys_of,
    own_columns,
    sample_sessions,
)
from mpcl_jax.data.tables.read_table import Table, read_table
from mpcl_jax.data.tables.reports import Options, Report, Reports
from mpcl_jax.data.tables.sessions import WINDOW, Session, windows_of
from mpcl_jax.types import DataError, DataSpec, check_recordings


def read_unreported(source: Path, spec: DataSpec, options: Options) -> Imported:
    """The windows of `source`: a table, a `.npz` file of one subject, or E4, EDF or BIDS recordings.

    A row of a table is a window, or a sample where `options` or its times state so; features of several tokens stand
    side by side. A recording is cut into windows from its beginning to its end. Labels are equal shares; only
    modalities of `spec` are kept. Raises DataError, one sentence that names file, row and column and what to do.
    """
    check_options(options)
    if not source.exists():
        raise DataError(source, "does not exist; give a file or a folder with recordings")
    notes: list[str] = []
    if source.suffix == ".npz":
        meta = Meta("", spec.emotions, spec.valence, spec.groups, {}, (), np.nan)
        parts, names = [read_subject(source, meta, labelled=False)[0]], {}
    else:
        windows = _windows(source, spec, options, notes)
        parts = [part._replace(signals=_known(part.signals, spec)) for part in windows.parts]
        parts, names = [part for part in parts if part.signals], _known(windows.names, spec)
        notes += windows.notes
        if not parts:
            reason = f"has the modalities {', '.join(windows.names)}; the model has {', '.join(spec.shapes)}"
            raise DataError(
                source, f"{reason}: name columns with --modality {next(iter(spec.shapes))}=COLUMN"
            )
    recordings = joined(
        parts,
        spec.groups,
        name=source.name,
        emotions=spec.emotions,
        valence=spec.valence,
        duration=options.window or np.nan,
    )
    for m, x in recordings.signals.items():
        (t, f), (wanted_t, wanted_f) = x.shape[1:], spec.shapes[m]
        if t * f != wanted_t * wanted_f or t not in (1, wanted_t):
            held = f" ({', '.join(names[m])})" if m in names else ""
            reason = f"{m} has {t} × {f} values per window{held}; the model has {wanted_t} × {wanted_f}"
            raise DataError(source, f"{reason}; name its columns with --modality {m}=A,B")
    signals = {m: x.reshape(len(x), *spec.shapes[m]) for m, x in recordings.signals.items()}
    recordings = recordings._replace(signals=signals)
    return Imported(check_recordings(recordings, source), tuple(notes), names)


def _known(tree: dict, spec: DataSpec) -> dict:
    return {m: x for m, x in tree.items() if m in spec.shapes}


def _windows(source: Path, spec: DataSpec, options: Options, notes: list[str]):
    if not is_table(source):
        sessions, found = sessions_at(source, options)
    else:
        table = read_table(source, options.columns.values())
        if not holds_samples(table, options):
            return feature_windows(table, _of_rows(source, table, spec, options), options)
        sessions, found = sample_sessions(table, options)
    notes += [*found, f"windows of {options.window or WINDOW:g} s over the whole recordings"]
    return windows_of(sessions, _of_sessions(source, sessions, spec), options)


def _of_rows(source: Path, table: Table, spec: DataSpec, options: Options) -> Reports:
    """One trial for each subject, session and trial that the table names."""
    keys = dict.fromkeys(keys_of(table, own_columns(table, options)[0]))
    return _reports(source, spec, [_report(spec, *key) for key in keys])


def _of_sessions(source: Path, sessions: list[Session], spec: DataSpec) -> Reports:
    """One trial for each session, from its beginning to its end, or for each trial that the session names."""
    found = []
    for s in sessions:
        names = [mark.trial for mark in s.marks]
        found += (
            [_report(spec, s.subject, s.name, name) for name in names]
            if names
            else [_report(spec, s.subject, s.name, s.name or "recording", 0.0, s.ends)]
        )
    return _reports(source, spec, found)


def _report(
    spec: DataSpec, subject: str, session: str, trial: str, begin: float = np.nan, end: float = np.nan
) -> Report:
    labels = np.full(len(spec.emotions), 1 / len(spec.emotions))
    return Report(subject, session, trial, "", begin, end, False, np.nan, np.nan, 0, 1, labels)


def _reports(source: Path, spec: DataSpec, found: list[Report]) -> Reports:
    subjects = frozenset(report.subject for report in found)
    return Reports(source, spec.emotions, spec.valence, tuple(found), subjects, ())
