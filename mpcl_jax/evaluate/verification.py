"""The tables of a run made a second time, from its predictions, and compared with what is stored.

Two ways: the whole table, intervals and verdicts included, by the functions that made it; and the measures, their
means and the skill by formulas of their own, so that a mistake in `metrics.py` or in the averaging shows as well.
"""

import csv
import io
import math
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from mpcl_jax.evaluate import statistics_text, table_text
from mpcl_jax.evaluate.leaderboard import METHOD, REFERENCE, Result, Table, make_table
from mpcl_jax.runs.read_run import AGAIN, Tested, read_csv, read_tested, read_text
from mpcl_jax.types import DataFileError

# Sums in another order, on another machine.
RELATIVE, ABSOLUTE = 1e-9, 1e-12
# What lets somebody else compute and make the results again.
PACK = ("config.json", "data.json", "manifest.json", "made_with.json", "environment.json", "metrics.jsonl")


class Difference(NamedTuple):
    """A cell that is not what the predictions say."""

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

    Raises DataFileError naming a file that is missing, damaged or of a run that is not finished.
    """
    folder = pathlib.Path(folder)
    tested = read_tested(folder)
    for name in PACK:
        if not (folder / name).exists():
            raise DataFileError(folder / name, f"does not exist; {AGAIN}")
    files = {kind: folder / name for kind, name in _NAMES.items()}
    found, compared = _check_tables(files, [tested], f"{tested.data['name']}, {tested.manifest['protocol']}")
    for check in (_check_ids, _check_saved):
        more, count = check(tested)
        found, compared = [*more, *found], compared + count
    return Checked(tuple(found), compared, len(tested.id))


def check_shipped(table: pathlib.Path, runs: pathlib.Path) -> Checked:
    """Compares NAME.csv, NAME_subjects.csv and NAME.md with the runs `runs`/seed_*, one a seed.

    Raises DataFileError where a file or a run is missing, and where the runs are of different splits.
    """
    named = (place for place in runs.glob("seed_*") if place.is_dir())
    folders = sorted(named, key=lambda p: (len(p.name), p.name))
    if not folders:
        raise DataFileError(
            runs, "holds no seed_0, seed_1, …: name the folder of the table's runs with --runs"
        )
    tested = [read_tested(folder) for folder in folders]
    for one in tested[1:]:
        if one.manifest["sha256"] != tested[0].manifest["sha256"]:
            raise DataFileError(
                one.folder, f"has another split than {tested[0].folder}; name runs of one table"
            )
    files = {
        "table": table,
        "subjects": table.with_name(f"{table.stem}_subjects.csv"),
        "text": table.with_suffix(".md"),
        "statistics": table.with_name(f"{table.stem}_statistics.csv"),
        "pairs": table.with_name(f"{table.stem}_pairs.csv"),
    }
    title = f"{tested[0].data['name']}, {tested[0].manifest['protocol']}"
    found, compared = _check_tables(files, tested, title)
    return Checked(tuple(found), compared, sum(len(one.id) for one in tested))


_NAMES = {
    "table": "table.csv",
    "subjects": "subjects.csv",
    "text": "table.md",
    "statistics": "statistics.csv",
    "pairs": "pairs.csv",
}


def _check_tables(files: dict[str, pathlib.Path], tested: list[Tested], title: str):
    """Differences of the three files from what `tested`, one a seed, gives, and how many values were compared."""
    stored, _ = read_csv(files["table"])
    table, seeds = _make_again(files["table"], stored, tested)
    made_by = {"command": "", "commit": ""}
    markdown = table_text.to_markdown(table, title=title)
    pairs = [
        (files["table"], _csv_cells(files["table"]), _parsed(table_text.to_csv(table, **made_by))),
        (
            files["subjects"],
            _csv_cells(files["subjects"]),
            _parsed(table_text.to_subject_csv(table, **made_by)),
        ),
        (files["text"], *_text_cells(read_text(files["text"]), markdown)),
        (files["table"], *_own_means(_csv_cells(files["table"]), tested, seeds, per_subject=False)),
        (files["subjects"], *_own_means(_csv_cells(files["subjects"]), tested, seeds, per_subject=True)),
    ]
    again = statistics_text.files_of(table, tested[0].emotions, title=title, **made_by)
    for kind in ("statistics", "pairs"):
        if files[kind].exists():  # runs and tables of older versions have none
            pairs.append((files[kind], _csv_cells(files[kind]), _parsed(again[_NAMES[kind]])))
    differences, compared = {}, 0
    for file, before, now in pairs:
        compared += len(now)
        for cell in before.keys() | now.keys():
            was, computed = before.get(cell, "nothing"), now.get(cell, "nothing")
            if was != computed and not (file.suffix == ".csv" and _close(was, computed)):
                differences.setdefault((file.name, cell), Difference(file.name, cell, was, computed))
    return sorted(differences.values()), compared


def _make_again(file, stored: list[dict[str, str]], tested: list[Tested]) -> tuple[Table, dict[str, int]]:
    """The table from predictions, and how many of the runs each method used."""
    try:
        seeds = {row["method"]: int(row["seeds"]) for row in stored}
        tried = {row["method"]: int(row["tried"]) if row.get("tried") else None for row in stored}
        units = re.fullmatch(r"\d+ (.+?)(?: of \d+ subjects?)?", stored[0]["interval_over"])[1]
    except (KeyError, ValueError, TypeError) as error:
        raise DataFileError(file, f"is no table of a run ({error!r})") from error
    first = tested[0]
    results = []
    for name, count in seeds.items():
        runs = tested[:count]
        if len(runs) < count or not all(name == METHOD or name in run.baselines for run in runs):
            raise DataFileError(
                file, f"{name} stands for {count} seed(s); its runs hold fewer, or not this method"
            )
        predicted = [_said(run, name) for run in runs]
        results.append(Result(name, predicted, first.manifest["sha256"], tried[name]))
    try:
        table = make_table(
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
    return table, seeds


def _said(run: Tested, method: str) -> np.ndarray:
    return run.predicted if method == METHOD else run.baselines[method]


def _csv_cells(file: pathlib.Path) -> dict[str, str]:
    rows, _ = read_csv(file)
    return dict(_cells_of(rows))


def _parsed(text: str) -> dict[str, str]:
    return dict(_cells_of(csv.DictReader(io.StringIO(text.partition("\n")[2]))))


_KEYS = ("method", "subject", "a", "b")


def _cells_of(rows) -> Iterator[tuple[str, str]]:
    for row in rows:
        who = ", ".join(row[name] for name in _KEYS if name in row)
        for name, value in row.items():
            if name not in _KEYS:
                yield f"{who}, {name}", value


def _text_cells(stored: str, computed: str) -> tuple[dict[str, str], dict[str, str]]:
    """Cells of two Markdown texts; what stands below the verdicts (notes, command) is not compared."""
    lines = computed.rstrip("\n").split("\n")
    return _cells_of_lines(stored.split("\n")[: len(lines)]), _cells_of_lines(lines)


def _cells_of_lines(lines: list[str]) -> dict[str, str]:
    cells, heads = {}, []
    for number, line in enumerate(lines, 1):
        parts = [part.strip() for part in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            cells[f"line {number}"] = line
        elif not heads:
            heads = parts
            cells[f"line {number}"] = "|".join(heads)
        elif set(line) - set("|-: "):
            names = [*heads, *(f"column {i}" for i in range(len(heads), len(parts)))]
            cells |= {f"{parts[0]}, {name}": part for name, part in zip(names, parts, strict=False)}
    return cells


def _own_means(stored: dict[str, str], tested: list[Tested], seeds: dict[str, int], *, per_subject: bool):
    """Cells of measures, means over people and skill as stored, and by `_measures`."""
    people = dict.fromkeys(tested[0].subject.tolist())
    rows = {who: np.flatnonzero(tested[0].subject == who) for who in people}
    of_people, means = {}, {}
    for name, count in seeds.items():
        runs = tested[:count]
        of_seeds = [_measures(run.reported.astype(float), _said(run, name).astype(float)) for run in runs]
        for measure in of_seeds[0]:
            values = [math.fsum(x[measure][own].mean() for x in of_seeds) / count for own in rows.values()]
            means[f"{name}, {measure}"] = math.fsum(values) / len(values)
            of_people |= {f"{name}, {who}, {measure}": v for who, v in zip(people, values, strict=True)}
    reference = means[f"{REFERENCE}, kl"]
    if reference > 0:
        means |= {f"{name}, skill": 1 - means[f"{name}, kl"] / reference for name in seeds}
    computed = {cell: repr(float(x)) for cell, x in (of_people if per_subject else means).items()}
    return {cell: stored.get(cell, "nothing") for cell in computed}, computed


def _measures(y: np.ndarray, p: np.ndarray) -> dict[str, np.ndarray]:
    """The six measures [P] by other identities than those of `metrics.py`."""
    gap, both = y - p, y + p
    ratio = gap / np.where(both > 0, both, 1)
    return {
        "chebyshev": np.linalg.norm(gap, np.inf, axis=1),
        "clark": np.linalg.norm(ratio, axis=1),
        "canberra": np.linalg.norm(ratio, 1, axis=1),
        "kl": (xlogy(y, y) - xlogy(y, p)).sum(axis=1),
        "cosine": np.einsum("pc,pc->p", y, p) / np.sqrt((y**2).sum(1) * (p**2).sum(1)),
        "intersection": (both.sum(1) - np.linalg.norm(gap, 1, axis=1)) / 2,
    }


def _close(stored: str, computed: str) -> bool:
    try:
        a, b = float(stored), float(computed)
    except ValueError:
        return False
    return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or (math.isnan(a) and math.isnan(b))


def _check_ids(tested: Tested) -> tuple[list[Difference], int]:
    """The windows of predictions.csv are the tested ones of the manifest, fold by fold."""
    found = []
    for number, fold in enumerate(tested.manifest["folds"]):
        wanted, here = set(fold.get("test", ())), set(tested.id[tested.fold == number].tolist())
        for name in sorted(wanted ^ here):
            says = ("tested", "not tested")
            stored, computed = says if name in here else says[::-1]
            found.append(
                Difference("predictions.csv", f"fold {number}, {name}", stored, f"{computed} (manifest)")
            )
    return found, len(tested.id)


def _check_saved(tested: Tested) -> tuple[list[Difference], int]:
    """predictions.csv holds the very numbers of folds/*/predictions.npz."""
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
