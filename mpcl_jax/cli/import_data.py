"""Converts recordings to the folder format, and states what was assumed.

    mpcl import windows.csv -o my_data --labels happy,sad,angry --floor 1
    mpcl import samples.csv -o my_data --rate 64 --questionnaire ratings.csv
    mpcl import E4_sessions -o my_data --questionnaire ratings.csv --floor 1

SOURCE is a CSV, TSV or Parquet table with one row a window or one row a sample, a folder or zip file of Empatica E4
sessions, EDF or BDF files, or a BIDS folder with *_physio.tsv.gz. The new folder passes `mpcl check`; nothing is
written where something is wrong.
"""

import argparse
from collections.abc import Iterable
from typing import Any

from mpcl_jax.cli.command import Parser, command
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.tables.import_source import Imported, import_source
from mpcl_jax.data.tables.read_table import WORDS
from mpcl_jax.data.tables.reports import Options
from mpcl_jax.data.tables.write_folder import require_new, write_folder
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.system.paths import shell_command, user_path


@command
def run(arguments: list[str]) -> None:
    """Writes the folder and prints what was assumed."""
    args = parser().parse_args(arguments)
    folder = user_path(args.output, "--output")
    require_new(folder)
    imported = import_source(user_path(args.source), options_of(args))
    lines = [*imported.assumed, counts(imported)]
    features = [f"features of {m}: {', '.join(names)}" for m, names in imported.names.items()]
    write_folder(
        imported.recordings, folder, [shell_command(["mpcl", "import", *arguments]), *lines, *features]
    )
    for line in lines:
        print(line)
    print(f"written: {folder}; next: {shell_command(['mpcl', 'check', str(folder)])}")


def parser() -> Parser:
    """All options of the command."""
    made = Parser("import", __doc__)
    made.add_argument("source", help="the file or folder with the signals or features")
    made.add_argument("-o", "--output", required=True, metavar="FOLDER", help="a new folder")
    made.add_argument("--questionnaire", metavar="FILE", help="a table with the ratings, one row a trial")
    made.add_argument(
        "--labels", default="", metavar="A,B", help="columns with ratings; patterns such as emo_* too"
    )
    made.add_argument("--floor", type=float, default=0.0, help="the rating of 'not at all'; default: 0")
    made.add_argument(
        "--positive", default="", metavar="A,B", help="emotions of positive valence; default: by name"
    )
    made.add_argument("--group", action="append", metavar="NAME=GROUP", help="physiological or behavioural")
    add_signals(made)
    made.add_argument("--timezone", default="UTC", help="of dates in the questionnaire; default: UTC")
    for role in WORDS:
        about = f"column of the {role.replace('_', ' ')}; default: by name"
        made.add_argument(f"--{role.replace('_', '-')}", metavar="COLUMN", help=about)
    return made


def add_signals(parser: Parser) -> None:
    """The options that state what the columns or channels of a source hold."""
    parser.add_argument(
        "--modality", action="append", metavar="NAME=A,B", help="columns of a modality; may be repeated"
    )
    parser.add_argument(
        "--kind", action="append", metavar="NAME=KIND", help="kind of signal: eda, bvp, ecg, generic, …"
    )
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="samples per second of a table with one row a sample"
    )
    parser.add_argument(
        "--window", type=float, metavar="S", help="seconds of a window; default: 60 for signals"
    )
    parser.add_argument(
        "--step", type=float, metavar="S", help="seconds between windows; default: half a window"
    )


def options_of(args: argparse.Namespace) -> Options:
    """The options as the importer reads them. Raises ConfigError for what is not NAME=VALUE."""
    return Options(
        labels=_words(args.labels),
        floor=args.floor,
        positive=_words(args.positive),
        groups=dict(name_value_pairs("--group", args.group)),
        columns={role: name for role in WORDS if (name := getattr(args, role))},
        questionnaire=user_path(args.questionnaire, "--questionnaire") if args.questionnaire else None,
        timezone=args.timezone,
        **signals_of(args),
    )


def signals_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_signals` as fields of `Options`. Raises ConfigError for what is not NAME=VALUE."""
    return {
        "modalities": {m: _words(text) for m, text in name_value_pairs("--modality", args.modality)},
        "kinds": dict(name_value_pairs("--kind", args.kind)),
        "rate": args.rate,
        "window": args.window,
        "step": args.step,
    }


def counts(imported: Imported) -> str:
    """ "18 subjects, 216 trials, 1073 windows, 10 emotions, modalities eda, bvp, temp"."""
    held = imported.recordings
    sizes = {"subjects": held.subject, "trials": held.trial}
    words = [count_of(len(set(names)), word) for word, names in sizes.items()]
    words += [count_of(len(held.labels), "windows"), count_of(len(held.emotions), "emotions")]
    return ", ".join([*words, f"modalities {', '.join(held.signals)}"])


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def name_value_pairs(option: str, given: list[str] | None) -> Iterable[tuple[str, str]]:
    """NAME and VALUE of each time that the `option` is given. Raises ConfigError for what is not NAME=VALUE."""
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise ConfigError(f"{option} {text}: write NAME=VALUE, for example {option} eda=…")
        yield name.strip(), value.strip()
