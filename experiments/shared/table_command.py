"""What the commands of all tables share: their options, where pieces are kept, how results are written."""

import argparse
import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.shared.command_words import shown_command, without
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluate import statistics_text, table_text
from mpcl_jax.evaluate.jobs.keys import TableData
from mpcl_jax.evaluate.leaderboard import Table
from mpcl_jax.report.plots.style import Figure, styled
from mpcl_jax.system.errors import DISK, NOT_FINITE, STOPPED, StorageError, TrainingError
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import make_folder, replacing, write_text
from mpcl_jax.train.environment import code_version, machine
from mpcl_jax.train.interrupt import StopRequest, listening, only_run_in
from mpcl_jax.train.surroundings import settle
from mpcl_jax.types import DataFileError

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
# A config may run one fold of several, for speed; a table tests all subjects, unless the command line says otherwise.
EVERY_FOLD = "--config.protocol.only=()"


class Options(NamedTuple):
    """What a user asked for."""

    name: str  # of the result files
    config: Config
    seeds: int
    baseline_seeds: int
    workers: int  # 0 = as many as there are cores
    cache_dir: pathlib.Path  # of finished pieces
    runs: pathlib.Path  # where each seed becomes a run folder
    out: pathlib.Path  # of the result files
    large: bool  # the larger sizes
    rows: tuple[str, ...]  # the only variants to compare; () = all
    of: str  # which of the experiment's kinds; "" = it has one
    command: str  # that makes the table again, without paths of this machine


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
    parser.add_argument("--out", default=RESULTS, help="folder of the result files")
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
    """Reads the command line, does `make` and ends as `mpcl_jax.cli.train` does, with its exit codes.

    `seeds`: their default number · `settings`: overrides that stand unless the command line says otherwise · `of`:
    kinds of the experiment, the first by default.
    """
    parsed, overrides = options(text, seeds, of).parse_known_args()
    with ending():
        args = _options(module, parsed, overrides, settings)
        settle()
        make_folder(args.cache_dir)
        with only_run_in(args.cache_dir), listening() as stop:
            make(args, stop)


def _options(
    module: str, parsed: argparse.Namespace, overrides: list[str], settings: Sequence[str]
) -> Options:
    data = [f"--config.data.path={parsed.data}"] if parsed.data else []
    config = from_command_line(parsed.config, [EVERY_FOLD, *settings, *data, *overrides])
    words = [word for word in sys.argv[1:] if word not in overrides]
    words = without(words, "--data", "--cache", "--runs", "--workers")  # change no number
    command = shown_command(module, [*words, *overrides])
    return Options(
        name=parsed.name,
        config=config,
        seeds=parsed.seeds,
        baseline_seeds=min(parsed.baseline_seeds, parsed.seeds),
        workers=parsed.workers,
        cache_dir=user_path(parsed.cache, "--cache"),
        runs=user_path(parsed.runs, "--runs"),
        out=user_path(parsed.out, "--out"),
        large=parsed.large,
        rows=tuple(filter(None, (row.strip() for row in parsed.rows.split(",")))),
        of=parsed.of,
        command=command,
    )


@contextlib.contextmanager
def ending():
    """A user's mistake, a failed piece, a full disk and a request to stop as one line and an exit code."""
    try:
        yield
    except (ConfigError, DataFileError) as mistake:
        _refuse(mistake, 2)
    except TrainingError as mistake:
        _refuse(mistake, NOT_FINITE)
    except StorageError as mistake:
        _refuse(mistake, DISK)
    except KeyboardInterrupt:
        print("stopped; every finished piece is kept, the same command goes on", file=sys.stderr)
        sys.exit(STOPPED)


def _refuse(mistake: Exception, code: int) -> None:
    print("error:", " ".join(str(mistake).split()), file=sys.stderr)
    sys.exit(code)


def made_by(args: Options) -> dict[str, str]:
    """Command, and commit with machine: the first line of every result file."""
    return {"command": args.command, "commit": f"{code_version()} @ {machine()}"}


def describe(table_data: TableData) -> None:
    """Says what is compared on which rows."""
    recordings, split = table_data.recordings, table_data.split
    print(
        f"data   {recordings.name}: {len(recordings.labels)} windows, {len(set(recordings.subject))} subjects"
    )
    for note in recordings.notes:
        print(f"note   {note}")
    print(
        f"split  {split.protocol}: {split.sentence}; {len(split.folds)} fold(s), {split.sha256[:12]}",
        flush=True,
    )


def write_table(
    args: Options,
    table: Table,
    table_data: TableData,
    about: str,
    pictures: dict[str, Figure],
    *,
    more: str = "",
    latex: str = "",
) -> None:
    """Writes NAME.csv, .md, _subjects.csv, pictures, and `latex` or else the statistics of every pair; and prints.

    `about` follows data and protocol in titles · `pictures`: what follows NAME in the name of the file -> a figure
    · `more`: text below the verdicts · `latex`: where pairs of changes mean nothing.
    """
    title, by = f"{table_data.recordings.name}, {table_data.split.protocol}{about}", made_by(args)
    markdown = table_text.to_markdown(table, title=title) + (f"\n{more}\n" if more else "")
    notes = "".join(f"\n*{note}*\n" for note in table_data.recordings.notes)
    texts = {
        ".md": f"{markdown}{notes}\n`{by['command']}` at {by['commit']}\n",
        ".csv": table_text.to_csv(table, **by),
        "_subjects.csv": table_text.to_subject_csv(table, **by),
    }
    summary = ""
    if latex:
        texts[".tex"] = f"% {by['command']} @ {by['commit']}\n{latex}"
    else:
        statistics = statistics_text.files_of(table, table_data.recordings.emotions, title=title, **by)
        texts |= {f"_{file}": text for file, text in statistics.items()}
        summary = statistics_text.summary(statistics["statistics.md"])
    write_files(args, texts, pictures)
    print(f"\n{markdown}\n{summary}")


def write_files(args: Options, texts: dict[str, str], pictures: dict[str, Figure]) -> None:
    """Writes NAME + each key, texts and pictures, and says where."""
    make_folder(args.out)
    for ending_of_name, text in texts.items():
        write_text(args.out / f"{args.name}{ending_of_name}", text)
    for ending_of_name, figure in pictures.items():
        with styled(), replacing(args.out / f"{args.name}{ending_of_name}.png") as temporary:
            figure.savefig(temporary, dpi=110)
    print(f"\nwritten to {os.path.relpath(args.out)}/{args.name}*", flush=True)
