"""One experiment from settings to table: trains every fold, fits the baselines, compares them, writes the results."""

import contextlib
import csv
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.descriptions import counted
from mpcl_jax.data.splits.protocols import row_ids
from mpcl_jax.evaluate import comparison, statistics_text, table_text
from mpcl_jax.evaluate.audit.verdict import audit, to_json, to_line
from mpcl_jax.evaluate.leaderboard import Table
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import shell_command
from mpcl_jax.system.storage import write_text, writing
from mpcl_jax.train import processes
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.environment import code_version, environment
from mpcl_jax.train.evaluate import Predictions
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, prepare
from mpcl_jax.train.run_folder import fold_folder
from mpcl_jax.train.selection import record_test_access, write_choices
from mpcl_jax.train.surroundings import settle
from mpcl_jax.types import DataFileError, Recordings

REPORT_SECONDS = 600  # time limit of the report


def run_experiment(config: Config, workdir: pathlib.Path, command: str, stop: StopRequest) -> Table | None:
    """Trains, evaluates and compares; prints the table and writes it to the run folder.

    Of several processes only the first compares; the others return None. Raises ConfigError, DataFileError and
    ProcessError before anything is compiled, Stopped when `stop` was requested and everything is saved,
    TrainingError and StorageError (`system/errors.py`).
    """
    settle(config.distributed)
    if config.distributed.start == "off":
        return _experiment(config, workdir, command, stop)
    stop.take_signals()  # JAX has taken SIGTERM
    with only_run_in(workdir) if processes.is_first() else contextlib.nullcontext(), processes.together():
        return _experiment(config, workdir, command, stop)


def _experiment(config: Config, workdir: pathlib.Path, command: str, stop: StopRequest) -> Table | None:
    if config.log.keep_compiled and (reason := keep_compiled_programs()):
        warn(f"compiled programs are not kept ({reason}); set XDG_CACHE_HOME to a folder that can be written")
    wanted = comparison.wanted(config.benchmark)  # refuses unknown names before data are loaded
    run = prepare(config, workdir, describe_data)
    run = run._replace(board=_board(config, workdir), stop=stop)
    describe(run)
    predictions = train_folds(run)
    processes.finish()
    if not processes.is_first():
        return None
    of_baselines = run_baselines(run, wanted)
    looked_before = record_test_access(
        workdir
    )  # every choice is written; from here on test measures are computed
    table = comparison.make_run_table(
        run.recordings,
        run.split,
        [of_baselines],
        [[p.predicted for p in predictions]],
        config.benchmark.tries,
    )
    write_results(run, table, predictions, command, looked_before)
    audit_run(run)
    if config.log.report:
        draw_report(workdir)
    return table


def _board(config: Config, workdir: pathlib.Path):
    if not config.log.tensorboard:
        return None
    try:
        from tensorboardX import SummaryWriter  # an optional dependency
    except ImportError:
        raise ConfigError("config.log.tensorboard = True: needs `pip install mpcl-jax[tb]`") from None
    if not processes.is_first():
        return None
    with writing(workdir / "tensorboard", 0):
        return SummaryWriter(str(workdir / "tensorboard"))


def describe_data(recordings: Recordings) -> None:
    """Prints the content of the recordings, and their notes."""
    windows = counted(len(recordings.labels), "window", "windows")
    subjects = counted(len(set(recordings.subject)), "subject", "subjects")
    print(f"data   {recordings.name}: {windows}, {subjects}, {len(recordings.emotions)} emotions")
    for group in dict.fromkeys(recordings.groups.values()):
        names = [modality for modality, own in recordings.groups.items() if own == group]
        print(f"       {group} modalities: {', '.join(names)}")
    for note in recordings.notes:
        print(f"note   {note}", flush=True)


def describe(run: Run) -> None:
    """Prints the split and the training that follow."""
    split = run.split
    print(f"split  {split.protocol}: {split.sentence}")
    print(f"       {folds_tested(run)}; manifest {split.sha256[:12]}; run folder {run.workdir}", flush=True)
    epochs = counted(run.config.train.epochs, "epoch", "epochs")
    print(
        f"train  {epochs} per fold, dropout {run.config.model.dropout:g}, seed {run.config.seed}", flush=True
    )


def folds_tested(run: Run) -> str:
    """How many folds of the protocol are tested; their names where they are not all."""
    names = [fold.name for fold in run.split.folds]
    if run.config.protocol.only:
        return f"tests only {', '.join(names)} (config.protocol.only)"
    return f"tests all folds, {len(names)}"


def run_baselines(run: Run, wanted: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Predictions of the baselines `wanted` for every fold; those that an earlier start saved are read."""
    settings, results = run.config.benchmark, []
    for number, fold in enumerate(run.split.folds):
        file = fold_folder(run.workdir, number) / "baselines.npz"
        shape = (len(fold.test), len(run.recordings.emotions))
        predicted = comparison.load_fold(file, wanted, shape)
        if missing := tuple(name for name in wanted if name not in predicted):
            print(f"{fold.name}  fits baselines: {', '.join(missing)}", flush=True)
            found, choices = comparison.predict_fold(
                run.recordings, run.split.protocol, fold, missing, settings, run.config.seed
            )
            for name, choice in choices.items():
                write_choices(run.workdir, name, {fold.name: choice})
            predicted |= found
            comparison.save_fold(file, predicted)
        results.append({name: predicted[name] for name in wanted})
    return results


def write_results(
    run: Run, table: Table, predictions: list[Predictions], command: str, looked_before: str
) -> None:
    """Writes the table, the values of every subject and every prediction, and prints the table.

    `looked_before`: a note below the table that the same test rows were evaluated before with another selection.
    """
    title = f"{run.recordings.name}, {run.split.protocol}"
    markdown = table_text.to_markdown(table, title=title)
    made_by = {"command": command, "commit": code_version()}
    notes = "".join(f"\n*{note}*\n" for note in filter(None, (*run.recordings.notes, looked_before)))
    write_text(run.workdir / "table.md", f"{markdown}{notes}\n`{command}`\n")
    write_text(run.workdir / "table.csv", table_text.to_csv(table, **made_by))
    write_text(run.workdir / "subjects.csv", table_text.to_subject_csv(table, **made_by))
    write_text(run.workdir / "predictions.csv", predictions_csv(run.recordings, predictions))
    write_text(run.workdir / "environment.json", json.dumps(environment(), indent=1) + "\n")
    statistics = statistics_text.files_of(table, run.recordings.emotions, title=title, **made_by)
    for name, text in statistics.items():
        write_text(run.workdir / name, text)
    shown = statistics_text.summary(statistics["statistics.md"])
    shown += f"\n\n{looked_before}" if looked_before else ""
    print(f"\n{markdown}\n{shown}\n\nwritten to {run.workdir}", flush=True)


def audit_run(run: Run) -> None:
    """Searches the files of the run for leaks, prints the verdict and writes audit.json."""
    try:
        found = audit(run.workdir, run.recordings)
    except DataFileError as mistake:
        again = shell_command(["mpcl", "audit", str(run.workdir)])
        print(f"no audit ({mistake}); the results are written. Again: {again}")
        return
    write_text(run.workdir / "audit.json", to_json(found))
    print(to_line(found), flush=True)


def draw_report(workdir: pathlib.Path) -> None:
    """Writes report.html of a finished run in a process of its own, so that its errors do not end the run."""
    shown = shell_command(["mpcl", "report", str(workdir)])
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
        reason = problem.splitlines()[-1]
        print(f"no report ({reason}); the results are written. Again: {shown}")
    else:
        print(f"report {workdir / 'report.html'}", flush=True)


def predictions_csv(recordings: Recordings, predictions: list[Predictions]) -> str:
    """Every test window: its ids, the reported and the predicted distribution.

    Shares are written with all digits of a float32: `mpcl verify` computes the same table from this file.
    """
    out, ids = io.StringIO(), row_ids(recordings)
    writer = csv.writer(out, lineterminator="\n")
    reported = [f"reported_{name}" for name in recordings.emotions]
    predicted = [f"predicted_{name}" for name in recordings.emotions]
    writer.writerow(["id", "fold", "subject", "trial", "stimulus", *reported, *predicted])
    for number, fold in enumerate(predictions):
        for row, shares in zip(fold.rows, fold.predicted, strict=True):
            names = (recordings.subject[row], recordings.trial[row], recordings.stimulus[row])
            values = [str(np.float32(x)) for x in (*recordings.labels[row], *shares)]
            writer.writerow([ids[row], number, *names, *values])
    return out.getvalue()
