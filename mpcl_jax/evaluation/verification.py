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
from mpcl_jax.data.splits.descriptions import kind_of, n_of
from mpcl_jax.evaluation import statistics_text, table_text
from mpcl_jax.evaluation.leaderboard import METHOD, Result, Table, make_table
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.evaluation.written_trials import curve_frame, memory_frame, of_test_rows, shares_after
from mpcl_jax.runs.read_run import AGAIN, Tested, read_csv, read_tested, read_text
from mpcl_jax.train.fold_memory import load_memory, memory_file
from mpcl_jax.types import DataError

# Sums in another order, on another machine.
RELATIVE, ABSOLUTE = 1e-9, 1e-12
# Predictions that are computed again from a memory, on another machine.
RECOMPUTED = 1e-5
# Files that another researcher needs to recompute and repeat the results.
PACK = ("config.json", "data.json", "manifest.json", "made_with.json", "environment.json", "metrics.jsonl")
KEYS = ("method", "subject", "a", "b", "written_trials")
MEMORY = ("memory", "memory_curve")  # files of protocols that write trials


class Checked(NamedTuple):
    """What was compared."""

    differences: tuple[str, ...]  # "table.csv: MPCL, kl: stored 0.1, computed 0.2"
    compared: int  # values
    windows: int  # predictions they were computed from


def check_run(folder: pathlib.Path) -> Checked:
    """Compares table.md, the CSV files and predictions.csv of a finished run with its saved predictions.

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
    return _checked(found, compared, folder / "table.csv", {x: folder / f"{x}.csv" for x in MEMORY}, [tested])


def check_shipped(table: pathlib.Path, runs: pathlib.Path) -> Checked:
    """Compares NAME.csv, NAME_subjects.csv, NAME_statistics.csv and NAME_pairs.csv with `runs`/seed_*, one a seed.

    Where trials are written, also NAME_memory.csv and NAME_memory_curve.csv.

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
    of_memory = {x: table.with_stem(f"{table.stem}_{x}") for x in MEMORY}
    return _checked(found, compared, table, of_memory, tested)


def _checked(found: list[str], compared: int, table: pathlib.Path, of_memory: dict, tested: list[Tested]):
    """The result, with what the files `of_memory` hold where trials are written."""
    if kind_of(tested[0].split["protocol"]) in WRITTEN:
        more, values = _of_memories(table, of_memory, tested)
        found, compared = found + more, compared + values
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


def _of_memories(
    file: pathlib.Path, files: dict[str, pathlib.Path], tested: list[Tested]
) -> tuple[list[str], int]:
    """Differences of the memories from the saved predictions and from `files`, and the number of values.

    `file`: the table · `files`: MEMORY -> its file · `tested`: the run of each seed. Predictions after written trials
    are computed again from the stored kernels, views and reports.
    """
    table, protocol = _recompute(file, tested), tested[0].split["protocol"]
    numbers = [f"{number:02d}" for number in np.unique(tested[0].fold)]
    rows = [parse_npz(tested[0].folder / "folds" / x / "predictions.npz")["rows"] for x in numbers]
    memories = {
        row.method: [
            [load_memory(memory_file(run.folder / "folds" / x, row.method)) for x in numbers]
            for run in tested[: row.seeds]
        ]
        for row in table.rows
    }
    zero_shot, after = (shares_after(memories, rows, n) for n in (0, n_of(protocol)))
    found = []
    for method, seeds in memories.items():
        for run, *own in zip(tested, seeds, zero_shot[method], after[method], strict=False):
            found += _of_memory(run, method, of_test_rows(own[0], rows), *own[1:])
    results = [Result(name, shares) for name, shares in zero_shot.items()]
    ids = tested[0].reported, tested[0].subject, tested[0].trial
    before = make_table(results, *ids, table.split_sha256, leaky=False, equal_trials=True)
    frames = memory_frame(table, before, memories), curve_frame(memories, rows, protocol)
    compared = 0
    for frame, (name, stored) in zip(frames, files.items(), strict=True):
        text = table_text.csv_text(frame, command="", commit="")
        now = _cells(csv.DictReader(text.splitlines(keepends=True)[1:]))
        tolerance = RELATIVE if name == "memory" else RECOMPUTED
        found += _differences(stored.name, _cells(read_csv(stored)[0]), now, tolerance)
        compared += len(now)
    return found, compared


def _of_memory(run: Tested, method: str, ids, zero_shot: np.ndarray, after: np.ndarray) -> list[str]:
    """Where the memories of `method` hold other reports than predictions.csv, or give other predictions.

    `ids`: as `of_test_rows` returns them · `zero_shot`, `after` [P, C]: computed from the memories.
    """
    labels, subject, trial, _ = ids
    other = (labels != run.reported).any(axis=1) | (subject != run.subject) | (trial != run.trial)
    ours = method == METHOD
    saved = run.predicted if ours else run.baselines[method]
    checks = {
        "report, subject or trial": other,
        "prediction with the memory": _apart(saved, after),
        "prediction without it": _apart(run.zero_shot if ours else zero_shot, zero_shot),
    }
    return [
        f"{memory_file(run.folder, method).name}: {what} differs from the saved predictions in "
        f"{count_of(int(wrong.sum()), 'windows')}, first {run.id[wrong.argmax()]}"
        for what, wrong in checks.items()
        if wrong.any()
    ]


def _apart(saved: np.ndarray, computed: np.ndarray) -> np.ndarray:
    """[P] bool: rows whose shares differ by more than another machine rounds."""
    return np.abs(saved - computed).max(axis=1) > RECOMPUTED


def _cells(rows) -> dict[str, str]:
    """ "MPCL, kl" -> value, of every cell."""
    return {
        f"{', '.join(row[key] for key in KEYS if key in row)}, {name}": value
        for row in rows
        for name, value in row.items()
        if name not in KEYS
    }


def _differences(
    file: str, stored: dict[str, str], computed: dict[str, str], relative: float = RELATIVE
) -> list[str]:
    """A line for each name whose stored and computed values differ."""
    pairs = {name: (stored.get(name, "nothing"), computed.get(name, "nothing")) for name in stored | computed}
    return [
        f"{file}: {x}: stored {was}, computed {now}"
        for x, (was, now) in pairs.items()
        if not _same(was, now, relative)
    ]


def _same(stored: str, computed: str, relative: float) -> bool:
    if stored == computed:
        return True
    try:
        return math.isclose(float(stored), float(computed), rel_tol=relative, abs_tol=ABSOLUTE)
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
