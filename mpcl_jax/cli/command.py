"""What all commands share: one line per mistake, exit codes, and output that a closed or odd stdout cannot break."""

import argparse
import contextlib
import difflib
import functools
import json
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mpcl_jax.config.config_file import read_config_file
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.collector import paused_collection
from mpcl_jax.system.errors import AT_ONCE, DISK, NOT_FINITE, StorageError, TrainingError
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose mistakes are one line, as all others."""

    def __init__(self, name: str, document: str):
        """`name` of the command; `document`: the docstring of its module, which `--help` shows."""
        super().__init__(
            prog=f"mpcl {name}",
            description=document,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_output_and_fold(self, fold: str) -> None:
        """The options --output and --fold of commands that predict; `fold`: what its number selects."""
        self.add_argument("-o", "--output", metavar="FILE", help="a CSV file; default: stdout")
        text = f"{fold}, counted from 0; default: 0, the first"
        self.add_argument("--fold", type=int, default=0, metavar="N", help=text)

    def add_config(self) -> None:
        """The option --config of commands that load the data set of a finished run: see `register_datasets_of`."""
        text = "the Python file that registers the data set of the run; it is executed"
        self.add_argument("--config", metavar="FILE", help=text)

    def parse_args(self, args=None, namespace=None):
        """As argparse, but raises ConfigError that names the nearest option of each unknown one."""
        found, unknown = self.parse_known_args(args, namespace)
        names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        if names:
            raise ConfigError("\n".join(f"{name}: unknown option; {self._nearest(name)}" for name in names))
        if unknown:
            self.error(f"{unknown[0]!r} is one argument too many")
        return found

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        return f"did you mean {near[0]}?" if near else f"see {self.prog} --help"

    def error(self, message: str):
        """Raises ConfigError."""
        raise ConfigError(f"{message}; see {self.prog} --help")


def register_datasets_of(file: str | None) -> None:
    """Executes the config `file`, if one is given, for the data sets that it registers. Raises ConfigError."""
    if file:
        read_config_file(file)


def paths_of(args: argparse.Namespace, *options: str) -> list[pathlib.Path | None]:
    """The files of the `options`, None where one is not given.

    Raises DataError for a file whose folder does not exist, and for a folder in the place of a file.
    """
    paths = []
    for option in options:
        given = getattr(args, option.removeprefix("--"))
        paths.append(user_path(given, option) if given else None)
        if given and not paths[-1].absolute().parent.is_dir():
            raise DataError(f"{option} {given}", "its folder does not exist; make it first")
        if given and paths[-1].is_dir():
            raise DataError(f"{option} {given}", "is a folder; give the name of a file")
    return paths


def command(body: Callable[[list[str]], int | None], prints_log: bool = False) -> Callable[..., int]:
    """The function `run(arguments=sys.argv[1:])` of a command: its exit code, where `body` does the work.

    2: a mistake of the user, one line each. 130: Ctrl-C. 70: training cannot go on. 74: the disk cannot be written,
    or not all of the output, unless the command only `prints_log` and writes its results into files.
    """

    @functools.wraps(body)
    def run(arguments: Sequence[str] | None = None) -> int:
        with any_output() as lost:
            try:
                code = body(list(sys.argv[1:] if arguments is None else arguments)) or 0
                return DISK if not prints_log and lost() else code
            except ConfigError as error:
                lines, code = str(error).splitlines(), 2
            except (DataError, StorageError, TrainingError) as error:
                codes = {StorageError: DISK, TrainingError: NOT_FINITE}
                lines, code = [str(error)], codes.get(type(error), 2)
            except KeyboardInterrupt:
                lines, code = ["stopped by Ctrl-C"], AT_ONCE
            for line in lines:
                print("error:", " ".join(line.split()), file=sys.stderr)
            return code

    return run


@contextlib.contextmanager
def importing_jax():
    """For imports of JAX, which take a second, after all checks. ConfigError for variables that JAX refuses."""
    try:
        with paused_collection():
            yield
    except ValueError as error:  # JAX reads its variables when it is imported
        if isinstance(error, ConfigError) or "jax" not in str(error).lower():
            raise
        reason = f"an environment variable of JAX cannot be used ({error}); correct or unset it"
        raise ConfigError(reason) from error


def to_json(value) -> str:
    """JSON of dicts, sequences, NamedTuples and numbers of Python or NumPy; NaN is null."""
    return json.dumps(_plain(value), indent=1)


def _plain(value) -> Any:
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and math.isnan(value) else value
