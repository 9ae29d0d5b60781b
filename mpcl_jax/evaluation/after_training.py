"""What follows the training of a run: baselines, table, files of results, search for leaks, page.

`experiment.py` imports this module after the first steps, because pandas and SciPy take long to import.
"""

import os
import pathlib
import subprocess
import sys

import numpy as np

from mpcl_jax.config.data import WRITTEN
from mpcl_jax.data.splits.descriptions import kind_of
from mpcl_jax.evaluation import comparison
from mpcl_jax.evaluation.audit.verdict import audit, to_json, to_line
from mpcl_jax.evaluation.leaderboard import METHOD, Table
from mpcl_jax.evaluation.run_files import Memory, write_results
from mpcl_jax.evaluation.written_trials import curve_frame, memory_frame, shares_after
from mpcl_jax.system.paths import shell_command
from mpcl_jax.system.storage import write_arrays, write_text
from mpcl_jax.train.evaluate import Predictions
from mpcl_jax.train.fold_memory import load_memory, memory_file, save_memory
from mpcl_jax.train.run import Run
from mpcl_jax.train.run_folder import fold_folder
from mpcl_jax.train.selection import record_test_access, write_choices
from mpcl_jax.types import DataError

REPORT_SECONDS = 600  # time limit of the report


def finish(run: Run, predictions: list[Predictions], wanted: tuple[str, ...], command: str) -> Table:
    """Compares the predictions of the folds with the baselines `wanted`; prints the table and writes all results."""
    predicted = run_baselines(run, wanted)
    predicted[METHOD] = [np.concatenate([fold.predicted for fold in predictions])]
    again = record_test_access(run.workdir)  # every choice is saved; test measures are computed from here on
    table = comparison.make_run_table(run.recordings, run.split, predicted, run.config.benchmark.tries)
    memory = _memory_of(run, table, tuple(predicted)) if kind_of(run.split.protocol) in WRITTEN else None
    write_results(run, table, predictions, memory, command, again)
    audit_run(run)
    if run.config.log.report:
        draw_report(run.workdir)
    return table


def run_baselines(run: Run, names: tuple[str, ...]) -> dict[str, list[np.ndarray]]:
    """Predictions of the baselines `names` for all test rows, a list of one seed each: name -> [[N, C]].

    Those that an earlier start saved are read.
    """
    settings, of_folds = run.config.benchmark, []
    for number, fold in enumerate(run.split.folds):
        file = fold_folder(run.workdir, number) / "baselines.npz"
        predicted = comparison.load_fold(file, names, (len(fold.test), len(run.recordings.emotions)))
        if missing := tuple(name for name in names if name not in predicted):
            print(f"{fold.name}  fits baselines: {', '.join(missing)}", flush=True)
            found, choices, memories = comparison.predict_fold(
                run.recordings, run.split.protocol, fold, missing, settings, run.config.seed
            )
            for name, choice in choices.items():
                write_choices(run.workdir, name, {fold.name: choice})
            for name, memory in memories.items():
                save_memory(memory_file(file.parent, name), memory)
            predicted |= found
            write_arrays(file, predicted)
        of_folds.append(predicted)
    return {name: [np.concatenate([of_fold[name] for of_fold in of_folds])] for name in names}


def _memory_of(run: Run, table: Table, names: tuple[str, ...]) -> Memory:
    """What written trials are worth to each method, from the files of the folds."""
    folders = [fold_folder(run.workdir, number) for number in range(len(run.split.folds))]
    memories = {name: [[load_memory(memory_file(folder, name)) for folder in folders]] for name in names}
    tested = [fold.test for fold in run.split.folds]
    before = shares_after(memories, tested, 0)
    zero_shot = comparison.make_run_table(run.recordings, run.split, before, run.config.benchmark.tries)
    curve = curve_frame(memories, tested, run.split.protocol)
    return Memory(memory_frame(table, zero_shot, memories), curve, before[METHOD][0])


def audit_run(run: Run) -> None:
    """Searches the files of the run for leaks, prints the verdict and writes audit.json."""
    try:
        found = audit(run.workdir, run.recordings)
    except DataError as mistake:
        again = shell_command(["mpcl", "audit", str(run.workdir)])
        print(f"no audit ({mistake}); the results are written. Again: {again}")
        return
    write_text(run.workdir / "audit.json", to_json(found))
    print(to_line(found), flush=True)


def draw_report(workdir: pathlib.Path) -> None:
    """Writes report.html of a finished run in a process of its own, so that its errors do not end the run."""
    command = [sys.executable, "-P", "-m", "mpcl_jax", "report", str(workdir)]
    package = str(pathlib.Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        drawn = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=REPORT_SECONDS,
            check=False,
        )
        problem = drawn.stderr.strip() if drawn.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        again = shell_command(["mpcl", "report", str(workdir)])
        print(f"no report ({problem.splitlines()[-1]}); the results are written. Again: {again}")
    else:
        print(f"report {workdir / 'report.html'}", flush=True)
