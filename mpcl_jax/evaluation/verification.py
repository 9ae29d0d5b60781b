"""Computes the tables of a run again from its saved predictions and compares them with the stored files.

The functions are those that made the tables, intervals and tests included. Neither the model, the recordings nor JAX
is needed.
"""

import csv
import math
import pathlib
import re
from typing import NamedTuple

import numpy as np

from mpcl_jax.config.data import WRITTEN
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.splits.descriptions import kind_of
from mpcl_jax.evaluation import statistics_text, table_text
from mpcl_jax.evaluation.leaderboard import METHOD, Result, Table, make_table
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.evaluation.written_trials import memory_frame
from mpcl_jax.runs.read_run import AGAIN, Tested, read_csv, read_tested, read_text
from mpcl_jax.train.fold_memory import load_memory, memory_file
from mpcl_jax.types import DataError

# Sums in another order, on another machine.
RELATIVE, ABSOLUTE = 1e-9, 1e-12
# Files that another researcher needs to recompute and repeat the results.
PACK = ("config.json", "data.json", "manifest.json", "made_with.json", "environment.json", "metrics.jsonl")
KEYS = ("method", "subject", "a", "b")


class Checked(NamedTuple):
    """What was compared."""

    differences: tuple[str, ...]  # "table.csv: MPCL, kl: stored 0.1, computed 0.2"
    compared: int  # values
    windows: int  # predictions they were computed from


def check_run(folder: pathlib.Path) -> Checked:
    """Compares table.md, the CSV files and predictions.csv of a finished run with its saved predictions.

    memory_curve.csv is not compared.

    Raises DataError naming a file that is missing, damaged or of an unfinished run.
    """
    folder = pathlib.Path(folder)
    tested = read_tested(folder)
    for name in PACK:
        read_text(folder / name)
    title = f"{tested.data['name']}, {tested.split['protocol']}"
    files = {name: folder / name for name in ("table.csv", "subjects.csv", "statistics.csv", "pairs.csv")}
    computed, found, compared = _compare_tables(files, [tested], title)
    # Notes and the command below the verdicts are not compared.
    lines, stored = computed["table.md"].rstrip("\n").split("\n"), read_text(folder / "table.md").split("\n")
    texts = ({f"line {n}": line for n, line in enumerate(x, 1)} for x in (stored[: len(lines)], lines))
    found += _differences("table.md", *texts) + _of_predictions(tested)
    compared += len(lines) + len(tested.id) + tested.predicted.size
    if kind_of(tested.split["protocol"]) in WRITTEN:
        of_memory = _of_memory(folder, tested)
        found, compared = found + of_memory[0], compared + of_memory[1]
    return Checked(tuple(found), compared, len(tested.id))


def check_shipped(table: pathlib.Path, runs: pathlib.Path) -> Checked:
    """Compares NAME.csv, NAME_subjects.csv, NAME_statistics.csv and NAME_pairs.csv with `runs`/seed_*, one a seed.

    Raises DataError where a file or a run is missing, and where the runs are of different splits.
    """
    folders = [place for place in runs.glob("seed_*") if place.is_dir()]
    if not folders:
        raise DataError(runs, "holds no seed_0, seed_1, …: name the folder of the table's runs with --runs")
    tested = [read_tested(folder) for folder in sorted(folders, key=lambda p: (len(p.name), p.name))]
    for one in tested[1:]:
        if one.split["sha256"] != tested[0].split["sha256"]:
            raise DataError(one.folder, f"has another split than {tested[0].folder}; name runs of one table")
    files = {"table.csv": table}
    files |= {f"{x}.csv": table.with_stem(f"{table.stem}_{x}") for x in ("subjects", "statistics", "pairs")}
    _, found, compared = _compare_tables(files, tested, "")
    return Checked(tuple(found), compared, sum(len(one.id) for one in tested))


def _compare_tables(files: dict[str, pathlib.Path], tested: list[Tested], title: str):
    """The computed texts of all files of a table, the differences from `files`, and how many values were compared."""
    table = _recompute(files["table.csv"], tested)
    computed = statistics_text.files_of(table, tested[0].emotions, title=title, command="", commit="")
    found, compared = [], 0
    for name, file in files.items():
        if name in ("statistics.csv", "pairs.csv") and not file.exists():  # older versions wrote none
            continue
        was = _cells(read_csv(file)[0])
        now = _cells(csv.DictReader(computed[name].splitlines(keepends=True)[1:]))
        compared += len(now)
        found += _differences(file.name, was, now)
    return computed, found, compared


def _recompute(file: pathlib.Path, tested: list[Tested]) -> Table:
    """The table of the methods and seeds that `file` names, from predictions."""
    first, stored, results = tested[0], read_csv(file)[0], []
    split = first.split["sha256"]
    try:
        units = re.fullmatch(r"\d+ (.+?)(?: of \d+ subjects?)?", stored[0]["interval_over"])[1]
        for row in stored:
            name, seeds = row["method"], int(row["seeds"])
            runs = [run for run in tested[:seeds] if name == METHOD or name in run.baselines]
            if len(runs) < seeds:
                reason = (
                    f"{name} stands for {count_of(seeds, 'seeds')}; its runs hold fewer, or not this method"
                )
                raise DataError(file, reason)
            predicted = [run.predicted if name == METHOD else run.baselines[name] for run in runs]
            tried = int(row["tried"]) if row.get("tried") else None
            results.append(Result(name, predicted, tried))
    except DataError:
        raise
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(file, f"is no table of a run ({error!r})") from error
    leaky, unit_name = first.split["protocol"] == "window80", f"{units.removesuffix('s')}s"
    try:
        rows = first.reported, first.subject, first.trial
        equal = kind_of(first.split["protocol"]) in WRITTEN
        return make_table(results, *rows, split, leaky=leaky, unit_name=unit_name, equal_trials=equal)
    except ValueError as error:
        raise DataError(first.folder, f"its predictions make no table ({error}); {AGAIN}") from error


def _of_memory(folder: pathlib.Path, tested: Tested) -> tuple[list[str], int]:
    """Differences of memory.csv from the saved predictions without and with the memory, and the number of values."""
    table = _recompute(folder / "table.csv", [tested])
    folders = [folder / "folds" / f"{number:02d}" for number in np.unique(tested.fold)]
    rows = [parse_npz(place / "predictions.npz")["rows"] for place in folders]
    memories, results = {}, []
    for name in [row.method for row in table.rows]:
        of_folds = [load_memory(memory_file(place, name)) for place in folders]
        places = [np.searchsorted(memory.rows, own) for memory, own in zip(of_folds, rows, strict=True)]
        zero_shot = [memory.zero_shot[own] for memory, own in zip(of_folds, places, strict=True)]
        results.append(Result(name, [np.concatenate(zero_shot)]))
        memories[name] = [of_folds]
    ids = tested.reported, tested.subject, tested.trial
    before = make_table(results, *ids, table.split_sha256, leaky=False, equal_trials=True)
    text = table_text.csv_text(memory_frame(table, before, memories), command="", commit="")
    now = _cells(csv.DictReader(text.splitlines(keepends=True)[1:]))
    return _differences("memory.csv", _cells(read_csv(folder / "memory.csv")[0]), now), len(now)


def _cells(rows) -> dict[str, str]:
    """ "MPCL, kl" -> value, of every cell."""
    return {
        f"{', '.join(row[key] for key in KEYS if key in row)}, {name}": value
        for row in rows
        for name, value in row.items()
        if name not in KEYS
    }


def _differences(file: str, stored: dict[str, str], computed: dict[str, str]) -> list[str]:
    """A line for each name whose stored and computed values differ."""
    pairs = {name: (stored.get(name, "nothing"), computed.get(name, "nothing")) for name in stored | computed}
    return [
        f"{file}: {x}: stored {was}, computed {now}" for x, (was, now) in pairs.items() if not _same(was, now)
    ]


def _same(stored: str, computed: str) -> bool:
    if stored == computed:
        return True
    try:
        return math.isclose(float(stored), float(computed), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except ValueError:
        return False


def _of_predictions(tested: Tested) -> list[str]:
    """Where predictions.csv has other windows than the manifest or other numbers than folds/*/predictions.npz."""
    stored = {f"fold {n}, {name}": "tested" for n, name in zip(tested.fold, tested.id, strict=True)}
    folds = enumerate(tested.split["folds"])
    wanted = {f"fold {n}, {name}": "tested" for n, fold in folds for name in fold.get("test", ())}
    for r, c in np.argwhere(tested.predicted != tested.saved).tolist():
        name = f"{tested.id[r]}, predicted_{tested.emotions[c]}"
        stored[name], wanted[name] = str(tested.predicted[r, c]), str(tested.saved[r, c])
    return _differences("predictions.csv", stored, wanted)
