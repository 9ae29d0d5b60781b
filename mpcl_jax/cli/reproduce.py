"""Makes a table of experiments/results again and compares it cell by cell with the stored one.

    mpcl reproduce smoke
    mpcl reproduce wesad_loso --data WESAD

The first line of experiments/results/NAME.csv holds the command that made the table. The command runs again and
writes into another folder, runs/reproduce/NAME. Each cell is

PASS   within the tolerance            DRIFT  within three times the tolerance            FAIL  otherwise

Tolerances
    KL                     2·√2·s/√n; s = kl_seed_sd and n = seeds of the stored table. The means of two sets
                           of n seeds differ by less in 95 of 100 cases.
    distances              as a share of the value: the same as of the KL
    cosine, intersection   as a share of 1 minus the value: the same as of the KL
    skill                  the tolerance of the KL, divided by the KL of the train mean

With one seed the share is 2 %. A tolerance is at least half a unit of the last printed digit. Rows, windows, subjects
and the split must be equal.

Exit status 0: no FAIL. 1: at least one FAIL. 2: there is no such table, or its command does not run.
"""

import math
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import pandas as pd

from mpcl_jax.cli.command import Parser, command
from mpcl_jax.evaluation.leaderboard import REFERENCE
from mpcl_jax.evaluation.number_text import shown_name
from mpcl_jax.evaluation.table_text import HEADS
from mpcl_jax.runs.read_run import read_csv
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataError

ROOT = pathlib.Path(__file__).resolve().parents[2]
STATUSES = PASS, DRIFT, FAIL = "PASS", "DRIFT", "FAIL"
DRIFTS = 3  # times the tolerance
UNKNOWN = 0.02  # of the value, where there is one seed and so no spread
LAST_DIGIT, LAST_OF_SKILL = 5e-5, 5e-3  # half a unit of the fourth decimal; of the second
SIMILARITIES = ("cosine", "intersection")
MEASURES = (*HEADS, "kl_low", "kl_high")
PARTS = ("_pairs", "_statistics", "_subjects")  # of a table, in files beside it
SAME = ("windows", "subjects", "split", "split_sha256", "interval_over", "seeds")


class Cell(NamedTuple):
    """One value of a table, stored and reproduced; "missing" for a method that one of the tables lacks."""

    method: str
    column: str
    stored: str
    again: str
    tolerance: float  # 0: must be the same
    status: str  # PASS, DRIFT or FAIL


def compare(stored: list[dict[str, str]], again: list[dict[str, str]]) -> list[Cell]:
    """Compares every cell of a stored table with the table made again; both as rows of NAME.csv."""
    before, after = ({row["method"]: row for row in rows} for rows in (stored, again))
    reference = float(before.get(REFERENCE, {}).get("kl", math.nan))
    cells = []
    for method in before | after:
        if method not in before or method not in after:
            there = ["there" if method in rows else "missing" for rows in (before, after)]
            cells.append(Cell(method, "row", *there, 0.0, FAIL))
            continue
        row, now = before[method], after[method]
        for column in (*MEASURES, *SAME):
            tolerance = 0.0 if column in SAME else tolerance_of(row, column, reference)
            status = _status(row[column], now[column], tolerance)
            cells.append(Cell(method, column, row[column], now[column], tolerance, status))
    return cells


def tolerance_of(row: dict[str, str], column: str, reference: float) -> float:
    """The allowed distance from a stored value, from the spread of the row's KL over seeds (see above)."""
    value, kl, spread = (float(row[name]) for name in (column, "kl", "kl_seed_sd"))
    relative = UNKNOWN if math.isnan(spread) else 2 * math.sqrt(2 / int(row["seeds"])) * spread / kl
    if column == "skill":
        return max(relative * kl / reference, LAST_OF_SKILL)
    scale = 1 - value if column in SIMILARITIES else kl if column.startswith("kl") else value
    return max(relative * scale, LAST_DIGIT)


def _status(stored: str, again: str, tolerance: float) -> str:
    if stored == again:
        return PASS
    apart = abs(float(stored) - float(again)) if tolerance else math.inf
    return PASS if apart <= tolerance else DRIFT if apart <= DRIFTS * tolerance else FAIL


def command_of(file: pathlib.Path, comment: str) -> list[str]:
    """The command in the first line of a stored table. Raises DataError if it is not of `experiments/`."""
    words = shlex.split(comment.partition(" @ ")[0])
    if words[:2] != ["python", "-m"] or not re.fullmatch(r"experiments\.tables\.\w+", " ".join(words[2:3])):
        raise DataError(file, "its first line names no `python -m experiments.tables.… NAME` that makes it")
    return [sys.executable, *words[1:]]


def make_again(words: list[str], name: str, workdir: pathlib.Path, data: str) -> list[dict[str, str]]:
    """Runs the command `words`, with all its outputs below `workdir`, and reads the table."""
    places = {"--out": workdir / "results", "--cache": workdir / "jobs", "--runs": workdir / "runs"}
    options = [str(word) for option, place in places.items() for word in (option, place.absolute())]
    options += ["--data", str(user_path(data, "--data").absolute())] if data else []
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run([*words, *options], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False)
    if ended.returncode:
        raise DataError(words[2], f"ended with exit status {ended.returncode}; its messages are above")
    rows, _ = read_csv(workdir / "results" / f"{name}.csv")
    return rows


def to_text(cells: list[Cell]) -> str:
    """A line per method, a line per cell that is not PASS, and the count."""
    found = pd.DataFrame(cells)
    lines = []
    for method, statuses in found.groupby("method", sort=False)["status"]:
        worst, equal = max(statuses, key=STATUSES.index), (statuses == PASS).sum()
        lines.append(f"{worst:5s}  {shown_name(method):14s} {equal} of {len(statuses)} cells")
    for cell in cells:
        if cell.status != PASS:
            allowed = f" ± {cell.tolerance:.2g}" if cell.tolerance else ""
            what = f"{cell.method}, {cell.column}: {cell.again}, stored {cell.stored}{allowed}"
            lines.append(f"{cell.status:5s}  {what}")
    return "\n".join([*lines, ", ".join(f"{sum(found.status == s)} {s}" for s in STATUSES)])


@command
def run(arguments: list[str]) -> int:
    """Makes the table again and prints the comparison; the exit status says whether a cell fails."""
    parser = Parser("reproduce", __doc__)
    parser.add_argument("name", help="a table of experiments/results, e.g. smoke")
    parser.add_argument("--data", default="", help="folder of the recordings; not for simulated ones")
    parser.add_argument("--resume", action="store_true", help="continue an earlier call that was stopped")
    args = parser.parse_args(arguments)
    workdir = pathlib.Path("runs/reproduce") / args.name
    file = ROOT / "experiments" / "results" / f"{args.name}.csv"
    if not file.exists():
        there = sorted({p.stem for p in file.parent.glob("*.csv") if not p.stem.endswith(PARTS)})
        raise DataError(args.name, f"is not a stored table; there are {', '.join(there) or 'none'}")
    try:
        stored, comment = read_csv(file)
        words = command_of(file, comment)
        if not args.resume:
            shutil.rmtree(workdir, ignore_errors=True)
        cells = compare(stored, make_again(words, args.name, workdir, args.data))
    except DataError:
        raise
    except (KeyError, ValueError, OSError) as mistake:
        raise DataError(file, f"cannot be compared: {mistake}") from mistake
    print(f"\n{to_text(cells)}")
    return 1 if any(cell.status == FAIL for cell in cells) else 0
