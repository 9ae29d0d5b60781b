"""Trains, evaluates and compares: `python -m mpcl_jax.main --config configs/dataset.py`.

Kept short: everything it does can be imported and tested. Settings are checked before JAX is imported, so a
mistake is answered at once.
"""

import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from mpcl_jax.batch import DataFileError
from mpcl_jax.config import ConfigError, resolve

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, e.g. configs/dataset.py.")
WORKDIR = flags.DEFINE_string(
    "workdir", "", "Folder of the run; default: runs/<name of the config>. A run found there is continued."
)


def main(argv):
    """Runs the experiment; a user's mistake ends in one line and exit code 2."""
    logging.set_verbosity(logging.ERROR)  # Orbax tells of every file it writes
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not an option; options begin with --")
    if CONFIG.value is None:
        raise app.UsageError("--config is missing, e.g. --config configs/dataset.py")
    try:
        config = resolve(CONFIG.value)
        workdir = pathlib.Path(WORKDIR.value or default_workdir())
        # Imported here, behind the checks: JAX takes a second to import.
        from mpcl_jax.experiment import run_experiment

        run_experiment(config, workdir, command="python -m mpcl_jax.main " + " ".join(sys.argv[1:]))
    except (ConfigError, DataFileError) as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)


def default_workdir() -> str:
    """runs/<name of the config file>."""
    return str(
        pathlib.Path("runs") / pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    )


if __name__ == "__main__":
    app.run(main)
