"""One experiment from settings to table: trains every fold, fits the baselines, compares them, writes the results."""

import contextlib
import os
import pathlib
import subprocess
import sys

import numpy as np

from mpcl_jax.config.data import WRITTEN
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.descriptions import counted, kind_of
from mpcl_jax.evaluation import comparison
from mpcl_jax.evaluation.audit.verdict import audit, to_json, to_line
from mpcl_jax.evaluation.leaderboard import METHOD, Table
from mpcl_jax.evaluation.run_files import Memory, write_results
from mpcl_jax.evaluation.written_trials import curve_frame, memory_frame, shares_after
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import shell_command
from mpcl_jax.system.storage import write_arrays, write_text, writing
from mpcl_jax.train import processes
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.fold_memory import load_memory, memory_file, save_memory
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, prepare
from mpcl_jax.train.run_folder import fold_folder
from mpcl_jax.train.selection import record_test_access, write_choices
from mpcl_jax.train.start import start_jax
from mpcl_jax.types import DataError, Recordings

REPORT_SECONDS = 600  # time limit of the report


def run_experiment(config: Config, workdir: pathlib.Path, command: str, stop: StopRequest) -> Table | None:
    """Trains, evaluates and compares; prints the table and writes it to the run folder.

    Of several processes only the first compares; the others return None. Raises ConfigError, DataError and
    ProcessError before anything is compiled, Stopped when `stop` was requested and everything is saved,
    TrainingError and StorageError (`system/errors.py`).
    """
    start_jax(config.distributed)
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
    predicted = run_baselines(run, wanted)
    predicted[METHOD] = [np.concatenate([fold.predicted for fold in predictions])]
    again = record_test_access(workdir)  # every choice is saved; test measures are computed from here on
    table = comparison.make_run_table(run.recordings, run.split, predicted, config.benchmark.tries)
    memory = _memory_of(run, table, tuple(predicted)) if kind_of(run.split.protocol) in WRITTEN else None
    write_results(run, table, predictions, memory, command, again)
    audit_run(run)
    if config.log.report:
        draw_report(workdir)
    return table


def _board(config: Config, workdir: pathlib.Path):
    """A TensorBoard writer, or None where none is wanted. Raises ConfigError where the package is missing."""
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
    split, config = run.split, run.config
    print(f"split  {split.protocol}: {split.sentence}")
    print(f"       {folds_tested(run)}; manifest {split.sha256[:12]}; run folder {run.workdir}", flush=True)
    epochs = counted(config.train.epochs, "epoch", "epochs")
    print(f"train  {epochs} per fold, dropout {config.model.dropout:g}, seed {config.seed}", flush=True)


def folds_tested(run: Run) -> str:
    """How many folds of the protocol are tested; their names where some are left out."""
    names = [fold.name for fold in run.split.folds]
    if run.config.protocol.only:
        return f"tests only {', '.join(names)} (config.protocol.only)"
    return f"tests all folds, {len(names)}"


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
