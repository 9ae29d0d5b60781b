"""Recomputes the tables of a run from its saved predictions and compares them with the stored files.

The recomputation uses the functions that made the tables, intervals and tests included. It needs neither the model,
the recordings nor JAX.
"""

import csv
import io
import math
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpcl_jax.evaluate import statistics_text, table_text
from mpcl_jax.evaluate.leaderboard import METHOD, Result, Table, make_table
from mpcl_jax.runs.read_run import AGAIN, Tested, read_csv, read_tested, read_text
from mpcl_jax.types import DataFileError

# Sums in another order, on another machine.
RELATIVE, ABSOLUTE = 1e-9, 1e-12
# Files that another researcher needs to recompute and repeat the results.
PACK = ("config.json", "data.json", "manifest.json", "made_with.json", "environment.json", "metrics.jsonl")
KEYS = ("method", "subject", "a", "b")


class Difference(NamedTuple):
    """A stored value that does not follow from the predictions."""

    file: str
    cell: str  # "MPCL, kl"
    stored: str
    computed: str


class Checked(NamedTuple):
    """What was compared."""

    differences: tuple[Difference, ...]
    compared: int  # values
    windows: int  # predictions they were computed from


def check_run(folder: pathlib.Path) -> Checked:
    """Compares table.md, the CSV files and predictions.csv of a finished run with its saved predictions.

    Raises DataFileError naming a file that is missing, damaged or of an unfinished run.
    """
    folder = pathlib.Path(folder)
    tested = read_tested(folder)
    for name in PACK:
        if not (folder / name).exists():
            raise DataFileError(folder / name, f"does not exist; {AGAIN}")
    names = ("table.csv", "subjects.csv", "statistics.csv", "pairs.csv")
    table, found, compared = _check_tables([folder / name for name in names], [tested])
    title = f"{tested.data['name']}, {tested.manifest['protocol']}"
    for check in (_check_text(folder / "table.md", table, title), _check_ids(tested), _check_saved(tested)):
        found, compared = [*found, *check[0]], compared + check[1]
    return Checked(tuple(found), compared, len(tested.id))


def check_shipped(table: pathlib.Path, runs: pathlib.Path) -> Checked:
    """Compares NAME.csv, NAME_subjects.csv, NAME_statistics.csv and NAME_pairs.csv with `runs`/seed_*, one a seed.

    Raises DataFileError where a file or a run is missing, and where the runs are of different splits.
    """
    folders = [place for place in runs.glob("seed_*") if place.is_dir()]
    if not folders:
        raise DataFileError(
            runs, "holds no seed_0, seed_1, …: name the folder of the table's runs with --runs"
        )
    tested = [read_tested(folder) for folder in sorted(folders, key=lambda p: (len(p.name), p.name))]
    for one in tested[1:]:
        if one.manifest["sha256"] != tested[0].manifest["sha256"]:
            raise DataFileError(
                one.folder, f"has another split than {tested[0].folder}; name runs of one table"
            )
    endings = ("", "_subjects", "_statistics", "_pairs")
    files = [table.with_name(f"{table.stem}{ending}.csv") for ending in endings]
    _, found, compared = _check_tables(files, tested)
    return Checked(tuple(found), compared, sum(len(one.id) for one in tested))


def _check_tables(files: Sequence[pathlib.Path], tested: list[Tested]) -> tuple[Table, list[Difference], int]:
    """The recomputed table, its differences from the four `files`, and the number of compared values."""
    stored, _ = read_csv(files[0])
    table = _recompute(files[0], stored, tested)
    made_by = {"command": "", "commit": ""}
    again = statistics_text.files_of(table, tested[0].emotions, title="", **made_by)
    texts = (table_text.to_csv(table, **made_by), table_text.to_subject_csv(table, **made_by))
    found, compared = [], 0
    for file, text in zip(files, (*texts, again["statistics.csv"], again["pairs.csv"]), strict=True):
        if not file.exists() and file not in files[:2]:  # runs and tables of older versions have none
            continue
        before = _cells(read_csv(file)[0])
        now = _cells(csv.DictReader(io.StringIO(text.partition("\n")[2])))
        compared += len(now)
        for cell in sorted(before.keys() | now.keys()):
            was, computed = before.get(cell, "nothing"), now.get(cell, "nothing")
            if not _same(was, computed):
                found.append(Difference(file.name, cell, was, computed))
    return table, found, compared


def _recompute(file: pathlib.Path, stored: list[dict[str, str]], tested: list[Tested]) -> Table:
    """The table of the methods and seeds that `file` names, from predictions."""
    first, results = tested[0], []
    try:
        units = re.fullmatch(r"\d+ (.+?)(?: of \d+ subjects?)?", stored[0]["interval_over"])[1]
        for row in stored:
            name, seeds = row["method"], int(row["seeds"])
            runs = [run for run in tested[:seeds] if name == METHOD or name in run.baselines]
            if len(runs) < seeds:
                reason = f"{name} stands for {seeds} seed(s); its runs hold fewer, or not this method"
                raise DataFileError(file, reason)
            predicted = [run.predicted if name == METHOD else run.baselines[name] for run in runs]
            tried = int(row["tried"]) if row.get("tried") else None
            results.append(Result(name, predicted, first.manifest["sha256"], tried))
    except (KeyError, ValueError, TypeError) as error:
        raise DataFileError(file, f"is no table of a run ({error!r})") from error
    try:
        return make_table(
            results,
            first.reported,
            first.subject,
            first.trial,
            first.manifest["sha256"],
            leaky=first.manifest["protocol"] == "window80",
            unit_name=units if units.endswith("s") else f"{units}s",
        )
    except ValueError as error:
        raise DataFileError(first.folder, f"its predictions make no table ({error}); {AGAIN}") from error


def _cells(rows) -> dict[str, str]:
    """ "MPCL, kl" -> value, of every cell."""
    return {
        f"{', '.join(row[key] for key in KEYS if key in row)}, {name}": value
        for row in rows
        for name, value in row.items()
        if name not in KEYS
    }


def _same(stored: str, computed: str) -> bool:
    if stored == computed:
        return True
    try:
        return math.isclose(float(stored), float(computed), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except ValueError:
        return False


def _check_text(file: pathlib.Path, table: Table, title: str) -> tuple[list[Difference], int]:
    """The lines of table.md down to the verdicts; notes and command below them are not compared."""
    computed = table_text.to_markdown(table, title=title).rstrip("\n").split("\n")
    stored = read_text(file).split("\n")
    stored += ["nothing"] * (len(computed) - len(stored))
    lines = enumerate(zip(stored, computed, strict=False), 1)
    found = [Difference(file.name, f"line {number}", a, b) for number, (a, b) in lines if a != b]
    return found, len(computed)


def _check_ids(tested: Tested) -> tuple[list[Difference], int]:
    """The windows of predictions.csv are the tested ones of the manifest, fold by fold."""
    found = []
    for number, fold in enumerate(tested.manifest["folds"]):
        wanted, here = set(fold.get("test", ())), set(tested.id[tested.fold == number].tolist())
        for name in sorted(wanted ^ here):
            stored, computed = ("tested", "not tested") if name in here else ("not tested", "tested")
            found.append(
                Difference("predictions.csv", f"fold {number}, {name}", stored, f"{computed} (manifest)")
            )
    return found, len(tested.id)


def _check_saved(tested: Tested) -> tuple[list[Difference], int]:
    """predictions.csv holds the same numbers as folds/*/predictions.npz."""
    rows, columns = np.nonzero(tested.predicted != tested.saved)
    found = [
        Difference(
            "predictions.csv",
            f"{tested.id[r]}, predicted_{tested.emotions[c]}",
            str(tested.predicted[r, c]),
            f"{tested.saved[r, c]} (folds/{tested.fold[r]:02d}/predictions.npz)",
        )
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    return found, tested.predicted.size
