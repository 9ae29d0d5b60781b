"""Tables of other programs: CSV as spreadsheets and R save it, TSV and Parquet, read in the guarded child."""

import fnmatch
import gzip
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mpcl_jax.data.io.refusals import refusing
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import DataError

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".parquet", ".pq")
SPREADSHEETS = (".xlsx", ".xls", ".ods")
# What a column is taken for by its name, where no option names it; the first word that fits decides.
WORDS = {
    "subject": ("subject", "participant", "subj", "sub", "sid", "pid"),
    "session": ("session", "ses", "visit"),
    "trial": ("trial", "task", "block", "run"),
    "stimulus": ("stimulus", "stim", "clip", "video", "movie", "condition"),
    "start": ("start", "onset", "begin", "window_start", "start_time"),
    "end": ("end", "stop", "offset", "end_time"),
    "tag": ("tag", "start_tag"),
    "end_tag": ("end_tag",),
    "time": ("time", "timestamp", "seconds", "time_s"),
}
IDS = ("subject", "session", "trial", "stimulus")  # kept as they are written: 007 is not 7
# Columns of numbers that are neither signals nor ratings.
NOT_MEASURED = frozenset(("age", "gender", "sex", "index", "row", "window", "date", "order"))


class Table(NamedTuple):
    """N rows of a file."""

    source: Path
    columns: dict[str, np.ndarray]  # name -> [N] float64, NaN where empty, or [N] text, "" where empty
    row: np.ndarray  # [N] number of each row in the file, where the header is row 1
    notes: tuple[str, ...] = ()  # what was assumed about the file

    def take(self, rows: np.ndarray) -> "Table":
        """The same table with only these `rows` (indices or a mask)."""
        columns = {name: x[rows] for name, x in self.columns.items()}
        return self._replace(columns=columns, row=self.row[rows])

    def error(self, index: int, column: str, reason: str) -> DataError:
        """The error for one cell, named by its row in the file."""
        return DataError(self.source, f"row {self.row[index]}, column {column!r}: {reason}")


def read_table(path: Path, ids: Iterable[str] = ()) -> Table:
    """All rows of a CSV, TSV or Parquet file; blank rows and columns without a name are left out.

    Columns `ids`, and those that `WORDS` takes for ids, are text. Raises DataError naming the file and what to do.
    """
    held = run_guarded(parse_table, str(path), list(ids))
    columns = {n: np.array(x, object) if isinstance(x, list) else x for n, x in held["columns"].items()}
    return Table(path, columns, held["row"], tuple(held["notes"]))


def parse_table(path: str, ids: list[str]) -> dict[str, Any]:
    """Reads a table into plain data: run this in a guarded child process only."""
    if path.lower().endswith(SPREADSHEETS):
        raise DataError(path, "is a spreadsheet; save the sheet as CSV and give that file")
    with refusing(path, "is not a readable table; save it again as CSV"):
        frame, notes = _parquet(path) if path.lower().endswith((".parquet", ".pq")) else _csv(path, ids)
    if not len(frame):
        raise DataError(path, "holds no rows below its header; add them, or give another file")
    columns = {}
    for name in frame:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) and not _is_id(name, ids):
            columns[str(name)] = column.to_numpy(np.float64, na_value=np.nan)
            continue
        if pd.api.types.is_float_dtype(column):  # whole numbers, of which some are missing
            column = column.astype("Int64") if (column.dropna() % 1 == 0).all() else column
        columns[str(name)] = column.astype("string").str.strip().fillna("").tolist()
    return {"columns": columns, "row": np.asarray(frame.index, np.int64) + 2, "notes": notes}


def _parquet(path: str) -> tuple[pd.DataFrame, list[str]]:
    try:
        import pyarrow  # noqa: F401  # pandas reads Parquet with it
    except ImportError as error:
        raise DataError(path, "needs pip install 'mpcl-jax[parquet]'; or save it as CSV") from error
    frame = pd.read_parquet(path, engine="pyarrow").reset_index(drop=True)
    return frame.rename(columns=str), []


def _csv(path: str, ids: list[str]) -> tuple[pd.DataFrame, list[str]]:
    with open(path, "rb") as file:
        encodings = ("utf-16",) if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    try:
        frame, notes = _decoded(path, ids, encodings[0])
    except UnicodeDecodeError:
        frame, notes = _decoded(path, ids, encodings[-1])
        notes.insert(0, "is no UTF-8 and was read as Windows-1252 text")
    return frame, [f"{Path(path).name} {note}" for note in notes]


def _decoded(path: str, ids: list[str], encoding: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows of a CSV file, and what was assumed about them."""
    with (gzip.open if path.lower().endswith(".gz") else open)(path, "rt", encoding=encoding) as file:
        line = file.readline(2**20)
    separator = max(",;\t", key=line.count)
    how = {"sep": separator, "encoding": encoding, "index_col": False, "skipinitialspace": True}
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, **how).iloc[0].fillna("").str.strip().tolist()
    for name in header:
        if name and header.count(name) > 1:
            raise DataError(path, f"has two columns {name!r}; rename one")
    text = {i: str for i, name in enumerate(header) if _is_id(name, ids)}
    how |= {"dtype": text, "low_memory": False, "skip_blank_lines": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(path, header=None, names=range(len(header)), skiprows=1, **how)
        except pd.errors.ParserWarning as error:
            reason = f"has rows with more than the {len(header)} cells of its header; correct them"
            raise DataError(path, reason) from error
    frame = frame.dropna(how="all").loc[:, [bool(name) for name in header]]
    frame.columns = [name for name in header if name]
    notes = {";": ["has columns separated by semicolons"], "\t": ["has columns separated by tabs"]}.get(
        separator, []
    )
    for name in frame if separator != "," else ():
        if not pd.api.types.is_numeric_dtype(frame[name]) and not _is_id(name, ids):
            number = pd.to_numeric(frame[name].str.replace(",", ".", regex=False), errors="coerce")
            if number.notna().equals(frame[name].notna()):
                frame[name] = number
                notes += ["has decimal commas"] * ("has decimal commas" not in notes)
    return frame, notes


def _is_id(name: str, ids: Iterable[str]) -> bool:
    return name in ids or any(_fits(name, word) for role in IDS for word in WORDS[role])


def _fits(name: str, word: str) -> bool:
    return bool(re.fullmatch(rf"{word}([ _.-]?(id|no|nr|number|name|code))?", name.strip().lower()))


def is_measured(name: str, x: np.ndarray) -> bool:
    """Whether a column without another meaning holds signals or ratings: most of its cells are numbers."""
    number = x if x.dtype.kind == "f" else pd.to_numeric(pd.Series(x), errors="coerce")
    return name.lower() not in NOT_MEASURED and (x.dtype.kind == "f" or np.mean(np.isfinite(number)) > 0.5)


def roles_of(table: Table, given: dict[str, str]) -> dict[str, str]:
    """role -> its column: the `given` one, or by its name (`WORDS`).

    Where no column names the trial, the one of the stimulus does, or else that of the session. Raises DataError where
    a given column does not exist.
    """
    roles = {}
    for role, words in WORDS.items():
        free = [name for name in table.columns if name not in given.values()]
        found = next((name for word in words for name in free if _fits(name, word)), "")
        if name := require_column(table, given[role]) if role in given else found:
            roles[role] = name
    if "trial" not in roles and ("stimulus" in roles or "session" in roles):
        roles["trial"] = roles.get("stimulus") or roles.pop("session")
    return roles


def require_column(table: Table, name: str) -> str:
    """`name`, if the table has such a column; else DataError with the nearest names."""
    if name in table.columns:
        return name
    raise DataError(table.source, f"has no column {name!r}; {suggestion(name, table.columns)}")


def columns_like(table: Table, patterns: Iterable[str]) -> list[str]:
    """The columns that `patterns` name, such as "au*", in their order. DataError where one names no column."""
    found = {}
    for pattern in patterns:
        names = fnmatch.filter(table.columns, pattern) if pattern not in table.columns else [pattern]
        found |= dict.fromkeys(names or [require_column(table, pattern)])
    return list(found)


def numbers(table: Table, names: Iterable[str]) -> np.ndarray:
    """The columns `names` as numbers [N, K], NaN where empty. Raises DataError naming the first cell with text."""
    columns = [_numbers_of(table, name) for name in names]
    return np.stack(columns, 1) if columns else np.empty((len(table.row), 0))


def _numbers_of(table: Table, name: str) -> np.ndarray:
    x = table.columns[name]
    if x.dtype.kind == "f":
        return x
    number = pd.to_numeric(pd.Series(np.where(x == "", "nan", x)), errors="coerce").to_numpy(np.float64)
    for index in np.flatnonzero(np.isnan(number) & (x != "")):
        reason = f"{x[index][:60]!r} is not a number; write it as 1.5, or leave it empty"
        raise table.error(index, name, reason)
    return number
