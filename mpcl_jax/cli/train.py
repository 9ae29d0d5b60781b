"""Memory-guided Prototypical Co-occurrence Learning: trains, evaluates and compares.

    python -m mpcl_jax.main --config configs/dataset.py
    python -m mpcl_jax.main --config configs/dataset.py --config.train.epochs=100 --workdir runs/longer

A config file names the recordings and changes a few settings; --config.<setting>=<value> changes more of them.
All settings, their meaning and range: mpcl_jax/config/schema.py. Started again with the same arguments, a run
continues where it was stopped. SIGTERM and Ctrl-C stop it behind the running epoch, with everything saved; a second
Ctrl-C at once. Exit codes: mpcl_jax/system/errors.py.
"""

import contextlib
import gc
import os
import pathlib
import sys

from absl import app, flags, logging

from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import ConfigError, ProcessError
from mpcl_jax.system.errors import ALONE, DISK, NOT_FINITE, STOPPED, StorageError, TrainingError
from mpcl_jax.system.os_errors import explained
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import require_writable, shell_command, user_path
from mpcl_jax.train.interrupt import listening, only_run_in
from mpcl_jax.types import DataFileError

CONFIG = flags.DEFINE_string("config", None, "The experiment, a Python file, e.g. configs/dataset.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; default: runs/<name of the config file>.")


def main(arguments: list[str]) -> None:
    """Runs the experiment; `arguments` are the program's name and the overrides of settings."""
    gc.set_threshold(100_000)  # tracing makes many small objects; looking through them takes a fifth of it
    logging.set_verbosity(logging.ERROR)  # Orbax tells of every file it writes
    try:
        if CONFIG.value is None:
            raise ConfigError("--config is missing, e.g. --config configs/dataset.py")
        config = from_command_line(CONFIG.value, arguments[1:])
        usual = pathlib.Path("runs", pathlib.Path(CONFIG.value).stem)
        workdir = user_path(WORKDIR.value, "--workdir") if WORKDIR.value else usual
        claim_workdir(workdir)
        alone = config.distributed.start == "off"  # of several processes the first takes the lock, later
        with only_run_in(workdir) if alone else contextlib.nullcontext(), listening() as stop:
            run = import_experiment()
            run(config, workdir, shell_command(["python", "-m", "mpcl_jax.main", *sys.argv[1:]]), stop)
    except (ConfigError, DataFileError) as mistake:
        refuse(mistake)
    except ProcessError as mistake:
        print("error:", mistake, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(ALONE)  # at a usual exit JAX waits for the others
    except TrainingError as mistake:
        refuse(mistake, NOT_FINITE)
    except StorageError as mistake:
        refuse(mistake, DISK)
    except KeyboardInterrupt:  # or Stopped, which is one
        print("stopped; everything finished is saved, the same command goes on", file=sys.stderr)
        sys.exit(STOPPED)


def import_experiment():
    """`run_experiment`, imported behind the checks: JAX takes a second. Raises ConfigError for its variables."""
    try:
        from mpcl_jax.evaluate.experiment import run_experiment
    except ValueError as error:  # JAX reads its variables when it is imported
        if "jax" not in str(error).lower():
            raise
        raise ConfigError(
            f"an environment variable of JAX cannot be used ({error}); correct or unset it"
        ) from error
    return run_experiment


def claim_workdir(workdir: pathlib.Path) -> None:
    """Makes the folder of the run. Raises ConfigError where nothing can be written into it."""
    try:
        require_writable(workdir)
    except OSError as error:
        reason = f"cannot be written ({explained(error)})"
        if isinstance(error, FileExistsError) and workdir.is_file():
            reason = "is a file, not a folder; choose another path"
        raise ConfigError(f"--workdir {workdir}: {reason}") from error


def parse_flags(arguments: list[str]) -> list[str]:
    """Takes the program's own flags out of `arguments`; what is left are overrides, checked in `main`."""
    if {"--help", "-h"} & set(arguments):
        app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)
    try:
        return flags.FLAGS(arguments, known_only=True)
    except flags.Error as mistake:
        refuse(mistake)


def refuse(mistake: Exception, code: int = 2) -> None:
    """What went wrong in one line, and the exit code (2: a user's mistake)."""
    print("error:", " ".join(str(mistake).split()), file=sys.stderr)
    sys.exit(code)


def run() -> None:
    """The command, with the words of the command line."""
    with any_output():
        app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
