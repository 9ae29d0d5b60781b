"""One source of any known kind to recordings."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.join import joined
from mpcl_jax.data.tables.e4 import find_sessions, read_sessions
from mpcl_jax.data.tables.edf import EDF, read_bids, read_edf
from mpcl_jax.data.tables.long_table import (
    feature_windows,
    holds_samples,
    own_columns,
    reports_in,
    sample_sessions,
)
from mpcl_jax.data.tables.modality_group import guess_group
from mpcl_jax.data.tables.read_table import SPREADSHEETS, SUFFIXES, Table, read_table, require_column
from mpcl_jax.data.tables.reports import Options, Reports, read_reports, some
from mpcl_jax.data.tables.sessions import WINDOW, Session, Windows, windows_of
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import GROUPS, DataError, Recordings, check_recordings


class Imported(NamedTuple):
    """A source as recordings."""

    recordings: Recordings
    assumed: tuple[str, ...]  # sentences: what was taken for what, and what was dropped with the reason
    names: dict[str, tuple[str, ...]]  # modality -> names of its features


def import_source(source: Path, options: Options) -> Imported:
    """Reads `source`: a table, a folder or zip file of E4 sessions, EDF or BDF files, or a BIDS folder.

    Raises DataError, one sentence that names file, row and column and what to do.
    """
    if not source.exists():
        raise DataError(source, "does not exist; give a table, or the folder of the recordings")
    check_options(options)
    if is_table(source):
        return _of_table(source, options)
    sessions, notes = sessions_at(source, options)
    if options.questionnaire is None:
        raise DataError(source, "holds no ratings; name the table with the reports: --questionnaire FILE")
    reports = _questionnaire(options)
    return _of_sessions(source, sessions, reports, options, notes)


def is_table(source: Path) -> bool:
    """Whether `source` is a file that is read as a table; spreadsheets are refused there."""
    return source.is_file() and source.name.lower().endswith(SUFFIXES + SPREADSHEETS)


def check_options(options: Options) -> None:
    """Raises DataError for a length or rate that is not above 0, and for an unknown group."""
    for name, value in (("rate", options.rate), ("window", options.window), ("step", options.step)):
        if value is not None and not 0 < value < np.inf:
            raise DataError(f"--{name} {value:g}", "is not above 0; give a number above 0")
    for m, group in options.groups.items():
        if group not in GROUPS:
            raise DataError(f"--group {m}={group}", f"names no group; write {m}={' or '.join(GROUPS)}")


def _of_table(source: Path, options: Options) -> Imported:
    table = read_table(source, options.columns.values())
    reports = _questionnaire(options, table.columns) if options.questionnaire else None
    if reports:  # columns of the questionnaire are checked there
        options = options._replace(columns=_within(options.columns, table))
        table = table._replace(columns={n: x for n, x in table.columns.items() if n not in reports.emotions})
    roles, labels, free = own_columns(table, options)
    reports = reports or reports_in(table, roles, options)
    found = ", ".join(f"{role} from column {name!r}" for role, name in roles.items())
    notes = [*table.notes, found or "no column of subject or trial was found: one subject"]
    if unused := [name for name in table.columns if name not in {*roles.values(), *labels, *free}]:
        notes.append(f"not used: columns {some(unused)}; --modality NAME=COLUMN uses a column")
    if holds_samples(table, options):
        sessions, of_table = sample_sessions(table, options)
        return _of_sessions(source, sessions, reports, options, notes + of_table)
    windows = feature_windows(table, reports, options)
    notes.append("one row is one window; for one row a sample give --rate or --time")
    return _imported(source, windows, reports, options, notes, options.window or np.nan)


def sessions_at(source: Path, options: Options) -> tuple[list[Session], list[str]]:
    """The E4, EDF or BIDS sessions of a file or folder, and what was assumed. DataError where there are none."""
    below = [source] if source.is_file() else sorted(source.rglob("*"))
    physio = [file for file in below if file.name.endswith("_physio.tsv.gz")]
    edf = [file for file in below if file.suffix.lower() in EDF]
    if physio:
        return read_bids(physio, source, options)
    if edf:
        return read_edf(edf, source, options)
    if find_sessions(source) and not options.modalities:
        return read_sessions(source)
    if find_sessions(source):
        raise DataError(
            source, "holds E4 sessions with the modalities eda, bvp, temp and acc; leave out --modality"
        )
    known = f"a table ({', '.join(SUFFIXES)}), Empatica E4 sessions, .edf or .bdf files, or *_physio.tsv.gz of BIDS"
    raise DataError(source, f"holds nothing that can be imported; wanted {known}")


def _questionnaire(options: Options, elsewhere: Iterable[str] = ()) -> Reports:
    """The reports of the questionnaire; options may also name columns `elsewhere`, in the table of the signals."""
    table = read_table(options.questionnaire, options.columns.values())
    for name in options.columns.values():
        if name not in elsewhere:
            require_column(table, name)
    reports = read_reports(table, options._replace(columns=_within(options.columns, table)))
    return reports._replace(notes=(*table.notes, *reports.notes))


def _within(columns: dict[str, str], table: Table) -> dict[str, str]:
    return {role: name for role, name in columns.items() if name in table.columns}


def _of_sessions(
    source: Path, sessions: Sequence[Session], reports: Reports, options: Options, notes: list[str]
) -> Imported:
    windows = windows_of(sessions, reports, options)
    return _imported(source, windows, reports, options, notes, options.window or WINDOW)


def _imported(
    source: Path, windows: Windows, reports: Reports, options: Options, notes: list[str], duration: float
) -> Imported:
    of_options = {"--modality": options.modalities, "--group": options.groups, "--kind": options.kinds}
    for option, given in of_options.items():
        if unknown := [m for m in given if m not in windows.names]:
            reason = f"{option} names the modality {unknown[0]!r}; {suggestion(unknown[0], windows.names)}"
            raise DataError(source, reason)
    groups = {m: options.groups.get(m) or guess_group(m) for m in windows.names}
    recordings = joined(
        windows.parts,
        groups,
        name=source.resolve().name.partition(".")[0] or "recordings",
        emotions=reports.emotions,
        valence=reports.valence,
        duration=float(duration),
    )
    in_words = ", ".join(f"{m} {group}" for m, group in groups.items())
    notes += [*windows.notes, f"groups: {in_words} (change them with --group NAME=behavioural)"]
    notes += [*reports.notes, *recordings.notes]
    return Imported(check_recordings(recordings, source), tuple(notes), windows.names)
