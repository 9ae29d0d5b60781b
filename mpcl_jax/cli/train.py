"""Trains MPCL and the baselines on the recordings of a config file, evaluates and compares them.

    mpcl train --config wesad --config.data.path=WESAD
    mpcl train --config configs/dataset.py --config.train.epochs=100 --workdir runs/longer

The same command continues a run that was stopped. SIGTERM and Ctrl-C stop it after the current epoch, with
everything saved; a second Ctrl-C stops it at once.
"""

import contextlib
import gc
import os
import pathlib
import sys
import textwrap
from collections.abc import Sequence

from absl import logging

from mpcl_jax.cli.command import Parser, command, importing_jax
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.config_file import presets
from mpcl_jax.config.describe import groups, settings
from mpcl_jax.config.resolve import ConfigError, ProcessError
from mpcl_jax.system.errors import ALONE, STOPPED
from mpcl_jax.system.os_errors import explained
from mpcl_jax.system.paths import require_writable, shell_command, user_path
from mpcl_jax.train.interrupt import listening, only_run_in


def train(arguments: list[str], program: Sequence[str] = ("mpcl", "train")) -> int:
    """Runs the experiment and returns the exit code; `program` are the words before `arguments` in the shell."""
    gc.set_threshold(100_000)  # tracing makes many small objects, whose collection takes a fifth of its time
    logging.use_absl_handler()
    logging.set_verbosity(logging.ERROR)  # Orbax logs every file that it writes
    args, overrides = parser().parse_known_args(arguments)
    config = from_command_line(args.config, overrides)
    if args.dry_run:
        with importing_jax():
            from mpcl_jax.evaluation.dry_run import dry_run
        print(dry_run(config))
        return 0
    usual = pathlib.Path("runs", pathlib.Path(args.config).stem)
    workdir = user_path(args.workdir, "--workdir") if args.workdir else usual
    claim_workdir(workdir)
    alone = config.distributed.start == "off"  # with several processes, the first one takes the lock later
    try:
        with only_run_in(workdir) if alone else contextlib.nullcontext(), listening() as stop:
            started = shell_command([*program, *arguments])
            with importing_jax():
                from mpcl_jax.evaluation.experiment import run_experiment
            run_experiment(config, workdir, started, stop)
    except ProcessError as mistake:
        print("error:", mistake, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(ALONE)  # a normal exit of JAX waits for the others
    except KeyboardInterrupt:  # or Stopped, which is one
        print("stopped; finished epochs are saved, and the same command continues the run", file=sys.stderr)
        return STOPPED
    return 0


run = command(train, prints_log=True)


def parser() -> Parser:
    """The options that are not settings."""
    made = Parser("train", __doc__)
    made.usage = "mpcl train --config FILE|PRESET [--config.SETTING=VALUE …] [--workdir DIR] [--dry-run]"
    made.add_argument(
        "--config", metavar="FILE", help=f"a Python file, or one of the presets {', '.join(presets())}"
    )
    made.add_argument(
        "--workdir", metavar="DIR", help="folder of the run; default: runs/NAME of the config file"
    )
    made.add_argument(
        "--dry-run", action="store_true", help="show data, split, model size and memory; train nothing"
    )
    made.epilog = f"settings:\n{settings_text()}"
    return made


def settings_text() -> str:
    """Every setting by group: meaning, default and range."""
    lines, about, shown = [], {"": "a whole run"} | groups(), None
    for setting in settings():
        group = setting.name.rpartition(".")[0]
        if group != shown:
            lines += ["", f"config.{group}: {about[group]}" if group else f"config: {about[group]}"]
            shown = group
        lines.append(f"  --config.{setting.name}")
        for text in (setting.meaning, f"default {setting.default!r}; {setting.allowed}"):
            lines += textwrap.wrap(text, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def claim_workdir(workdir: pathlib.Path) -> None:
    """Makes the folder of the run. Raises ConfigError where nothing can be written into it."""
    try:
        require_writable(workdir)
    except OSError as error:
        reason = f"cannot be written ({explained(error)})"
        if isinstance(error, FileExistsError) and workdir.is_file():
            reason = "is a file, not a folder; choose another path"
        raise ConfigError(f"--workdir {workdir}: {reason}") from error
