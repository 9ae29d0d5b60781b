"""What the commands of all experiments share: options, the first line of result files, how results are written."""

import argparse
import contextlib
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Sequence

import pandas as pd

from experiments.shared import render
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluation import table_text
from mpcl_jax.evaluation.experiment import describe_data
from mpcl_jax.evaluation.jobs.keys import TableData
from mpcl_jax.evaluation.leaderboard import Table
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.evaluation.ranking import rank_methods
from mpcl_jax.report.plots.style import Figure, styled
from mpcl_jax.system.errors import DISK, NOT_FINITE, STOPPED, StorageError, TrainingError
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import make_folder, replacing, write_text
from mpcl_jax.train.environment import code_version, machine
from mpcl_jax.train.interrupt import StopRequest, listening, only_run_in
from mpcl_jax.train.start import start_jax
from mpcl_jax.types import DataError

PLACES = ("--out", "--data", "--config.data.path", "--config.data.cache")
# A config may run one fold of several, for speed; a table tests all folds unless the command line overrides it.
EVERY_FOLD = "--config.protocol.only=()"


Options = argparse.Namespace  # `options`, parsed, and what `_options` adds


def options(text: str, seeds: int, of: Sequence[str]) -> argparse.ArgumentParser:
    """The options of every table; `text` is the module's docstring, `seeds` their default number, `of` its kinds."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("name", help="name of the result files")
    parser.add_argument(
        "--config", required=True, help="e.g. configs/dataset.py; --config.KEY=VALUE changes it"
    )
    parser.add_argument("--data", default="", help="config.data.path")
    parser.add_argument("--seeds", type=positive, default=seeds)
    parser.add_argument("--baseline-seeds", type=positive, default=1)
    parser.add_argument("--workers", type=positive, default=0, help="processes; default: one a core")
    parser.add_argument("--cache", default="runs/jobs", help="results of finished jobs, shared by all tables")
    parser.add_argument("--runs", default="runs/table", help="a run folder a seed")
    parser.add_argument("--out", default=render.RESULTS, help="folder of the result files")
    parser.add_argument("--large", action="store_true", help="the larger sizes; hours on two cores")
    parser.add_argument(
        "--rows", default="", help="only these variants, by their names in the table, with commas"
    )
    parser.set_defaults(of="")
    if of:
        parser.add_argument("--of", choices=of, default=of[0], help="what is counted")
    return parser


def positive(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


@any_output()
def run_command(
    module: str,
    text: str,
    make: Callable[[Options, StopRequest], None],
    *,
    seeds: int = 5,
    settings: Sequence[str] = (),
    of: Sequence[str] = (),
) -> None:
    """Reads the command line, calls `make` and ends with the exit codes of `mpcl_jax.cli.train`.

    `module`: `__spec__.name` of the experiment · `text`: its docstring · `seeds`: default number · `settings`:
    default overrides · `of`: kinds of the experiment, the first by default.
    """
    parsed, overrides = options(text, seeds, of).parse_known_args()
    with ending():
        args = _options(module, parsed, overrides, settings)
        start_jax()
        make_folder(args.cache_dir)
        with only_run_in(args.cache_dir), listening() as stop:
            make(args, stop)


def _options(module: str, args: argparse.Namespace, overrides: list[str], settings: Sequence[str]) -> Options:
    """`args` with paths, the config, and the command that reproduces the table, without paths of this machine."""
    data = [f"--config.data.path={args.data}"] if args.data else []
    args.config = from_command_line(args.config, [EVERY_FOLD, *settings, *data, *overrides])
    words = [word for word in sys.argv[1:] if word not in overrides]
    words = without(words, "--data", "--cache", "--runs", "--workers")  # change no number
    args.command = shown_command(module, [*words, *overrides])
    args.baseline_seeds = min(args.baseline_seeds, args.seeds)
    args.cache_dir = user_path(args.cache, "--cache")
    args.runs, args.out = user_path(args.runs, "--runs"), user_path(args.out, "--out")
    args.rows = tuple(filter(None, (row.strip() for row in args.rows.split(","))))
    return args


@contextlib.contextmanager
def ending():
    """A user's mistake, a failed job, a full disk and a request to stop as one line and an exit code."""
    try:
        yield
    except (ConfigError, DataError) as mistake:
        _refuse(mistake, 2)
    except TrainingError as mistake:
        _refuse(mistake, NOT_FINITE)
    except StorageError as mistake:
        _refuse(mistake, DISK)
    except KeyboardInterrupt:
        print("stopped; finished jobs are kept, the same command resumes", file=sys.stderr)
        sys.exit(STOPPED)


def _refuse(mistake: Exception, code: int) -> None:
    print("error:", " ".join(str(mistake).split()), file=sys.stderr)
    sys.exit(code)


def made_by(args: Options) -> dict[str, str]:
    """Command, commit and machine: the first line of every result file."""
    return {"command": args.command, "commit": f"{code_version()} @ {machine()}"}


def describe(table_data: TableData) -> None:
    """Prints the recordings, their notes and the split."""
    split = table_data.split
    describe_data(table_data.recordings)
    print(
        f"split  {split.protocol}: {split.sentence}; {count_of(len(split.folds), 'folds')}, {split.sha256[:12]}",
        flush=True,
    )


def write_table(
    args: Options,
    table: Table,
    table_data: TableData,
    about: str,
    pictures: dict[str, Figure],
    differences: pd.DataFrame | None = None,
) -> None:
    """Writes NAME.csv, NAME_subjects.csv and pictures, and `differences` or else the statistics of every pair.

    `about` follows data and protocol in the printed title · `pictures`: what follows NAME in the file name -> figure.
    """
    frames = {"": table_text.table_frame(table), "_subjects": table_text.subject_frame(table)}
    if differences is not None:
        frames["_differences"] = differences
    else:
        frames["_statistics"], frames["_pairs"] = rank_methods(table, table_data.recordings.emotions)
    write_files(args, frames, pictures)
    title = f"{table_data.recordings.name}, {table_data.split.protocol}{about}"
    print(f"\n{table_text.to_markdown(table, title=title)}")


def write_files(args: Options, frames: dict[str, pd.DataFrame], pictures: dict[str, Figure]) -> None:
    """Writes NAME + key + .csv of each frame, NAME + key + .png of each figure, and prints where."""
    make_folder(args.out)
    for key, frame in frames.items():
        write_text(args.out / f"{args.name}{key}.csv", table_text.csv_text(frame, **made_by(args)))
    for key, figure in pictures.items():
        with styled(), replacing(args.out / f"{args.name}{key}.png") as temporary:
            figure.savefig(temporary, dpi=110)
    print(f"\nwritten to {os.path.relpath(args.out)}/{args.name}*", flush=True)


def write_rows(rows: list[dict[str, str]], out: pathlib.Path | None, command: str) -> None:
    """Prints rows of text as a table and writes them as CSV where `out` is given."""
    frame = pd.DataFrame(rows)
    print(table_text.markdown_of(frame))
    if out:
        write_text(out, table_text.csv_text(frame, command=command, commit=code_version()))


def path(text: str) -> pathlib.Path:
    """`user_path` as the type of an argument of argparse."""
    try:
        return user_path(text)
    except DataError as mistake:
        raise argparse.ArgumentTypeError(str(mistake)) from mistake


def shown_command(module: str, words: Sequence[str]) -> str:
    """The command for the first line of a result file, without places on this machine."""
    return shlex.join(["python", "-m", module, *without(words, *PLACES)])


def without(words: Sequence[str], *options: str) -> list[str]:
    """`words` without `option VALUE` and `option=VALUE` of each option."""
    kept, skip = [], False
    for word in words:
        if not (skip or word in options or word.startswith(tuple(f"{option}=" for option in options))):
            kept.append(word)
        skip = word in options
    return kept
