"""Lists every issue of a data set, each with what to do.

    mpcl check WESAD
    mpcl check my_data --kind folder --json

Exit status 0: no issues. 1: issues, one line each. 2: the arguments are wrong or there is no such data set.
"""

from mpcl_jax.cli.command import Parser, command, to_json
from mpcl_jax.config.data import DmerConfig, WesadConfig
from mpcl_jax.data.issues import Examined, Issue
from mpcl_jax.data.validate import dmer, folder, wesad
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataError

VALIDATORS = {
    "dmer": lambda path: dmer.examine(path, DmerConfig()),
    "wesad": lambda path: wesad.examine(path, WesadConfig()),
    "folder": folder.examine,
}


def examine(path: str, kind: str) -> Examined:
    """Every issue of the data set of `kind` at `path`, and what it holds; "" = the kind that its files suggest.

    Raises DataError where there is no file or folder at `path`.
    """
    place = user_path(path)
    if not place.exists():
        raise DataError(place, "there is no such file or folder; give the folder of the data set")
    if not kind and place.is_file() and place.suffix != ".mat":
        raise DataError(place, "is no folder of a data set; mpcl import makes one of a table or a recording")
    if not kind:
        kind = "wesad" if any(place.glob("S*/S*.pkl")) else "dmer"
        kind = "folder" if (place / "meta.json").exists() else kind
    return VALIDATORS[kind](str(place))


def to_text(examined: Examined) -> str:
    """The issues, one line each, and a summary of the data set if a part of it can be read."""
    held, count = examined.summary, len(examined.issues)
    lines = list(map(_line, examined.issues))
    lines += [""] * bool(lines and (held.windows or held.missing or held.notes))
    if held.windows:
        groups = ", ".join(f"{m} ({group})" for m, group in held.modalities.items())
        lines += [f"subjects    {held.subjects}", f"windows     {held.windows}", f"modalities  {groups}"]
        lines += [f"emotions    {len(held.emotions)}: {', '.join(held.emotions)}"]
    lines += [f"missing     {text}" for text in held.missing]
    lines += [f"note        {text}" for text in held.notes]
    lines += [f"{count_of(count, 'issues') if count else 'no issues'} found"]
    return "\n".join(" ".join(line.splitlines()) for line in lines)


def _line(issue: Issue) -> str:
    place = f": {issue.place}" if issue.place else ""
    return f"{issue.file}{place}: {issue.what} → {issue.fix}"


@command
def run(arguments: list[str]) -> int:
    """Prints the issues and a summary; the exit status says whether there are any."""
    parser = Parser("check", __doc__)
    parser.add_argument("path", help="the folder of the data set, or one DMER features file")
    parser.add_argument(
        "--kind",
        choices=VALIDATORS,
        default="",
        help="kind of the data set; default: recognised by its files",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args(arguments)
    examined = examine(args.path, args.kind)
    print(to_json(examined) if args.json else to_text(examined))
    return 1 if examined.issues else 0
