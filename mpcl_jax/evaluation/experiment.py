"""One experiment from settings to table: trains every fold, fits the baselines, compares them, writes the results."""

import contextlib
import pathlib
import threading
from typing import TYPE_CHECKING

from mpcl_jax.baselines import registry
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.descriptions import counted
from mpcl_jax.system.collector import paused_collection
from mpcl_jax.system.output import warn
from mpcl_jax.system.storage import writing
from mpcl_jax.train import processes
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, prepare
from mpcl_jax.train.start import start_jax
from mpcl_jax.types import Recordings

if TYPE_CHECKING:
    from mpcl_jax.evaluation.leaderboard import Table


# Seconds of a run after which its last module is imported, so that no later change of the installed package meets it.
IMPORT_AFTER = 10.0


def run_experiment(config: Config, workdir: pathlib.Path, command: str, stop: StopRequest) -> "Table | None":
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


def _experiment(config: Config, workdir: pathlib.Path, command: str, stop: StopRequest) -> "Table | None":
    if config.log.keep_compiled and (reason := keep_compiled_programs()):
        warn(f"compiled programs are not kept ({reason}); set XDG_CACHE_HOME to a folder that can be written")
    wanted = registry.wanted(config.benchmark)  # refuses unknown names before data are loaded
    run = prepare(config, workdir, describe_data)
    run = run._replace(board=_board(config, workdir), stop=stop)
    describe(run)
    late = threading.Timer(IMPORT_AFTER, _after_training)
    late.daemon = True
    late.start()
    predictions = train_folds(run)
    processes.finish()
    if not processes.is_first():
        return None
    return _after_training().finish(run, predictions, wanted, command)


def _after_training():
    """The module that a run needs after its training; pandas and SciPy take long to import."""
    with paused_collection():
        from mpcl_jax.evaluation import after_training
    return after_training


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
