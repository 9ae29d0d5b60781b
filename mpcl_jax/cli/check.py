"""Lists every issue of a data set, each with what to do.

    mpcl check WESAD
    mpcl check my_data --kind folder --json

Exit status 0: no issues. 1: issues, one line each. 2: the arguments are wrong or there is no such data set.
"""

from mpcl_jax.cli.command import Parser, command, to_json
from mpcl_jax.config.data import DmerConfig, WesadConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.issues import Examined, Issue
from mpcl_jax.data.validate import dmer as check_dmer
from mpcl_jax.data.validate import folder as check_folder
from mpcl_jax.data.validate import wesad as check_wesad
from mpcl_jax.system.paths import user_path


def examine(path: str, kind: str) -> Examined:
    """Every issue of the data set of `kind` at `path`, and what it holds; "" = the kind that its files suggest."""
    place = user_path(path)
    if not kind:
        is_wesad = any(place.glob("S*/S*.pkl"))
        kind = "folder" if (place / "meta.json").exists() else "wesad" if is_wesad else "dmer"
    match kind:
        case "wesad":
            return check_wesad.examine(str(place), WesadConfig())
        case "dmer":
            return check_dmer.examine(str(place), DmerConfig())
        case "folder":
            return check_folder.examine(str(place))
    raise ConfigError(f"--kind {kind}: must be one of dmer, wesad, folder")


def to_text(examined: Examined) -> str:
    """The issues, one line each, and a summary of the data set."""
    held = examined.summary
    lines = [_line(issue) for issue in examined.issues]
    groups = ", ".join(f"{m} ({group})" for m, group in held.modalities.items()) or "none"
    lines += [""] if lines else []
    lines += [
        f"subjects    {held.subjects}",
        f"windows     {held.windows}",
        f"modalities  {groups}",
        f"emotions    {len(held.emotions)}: {', '.join(held.emotions)}",
    ]
    lines += [f"missing     {text}" for text in held.missing]
    lines += [f"note        {text}" for text in held.notes]
    count = len(examined.issues)
    lines.append(f"{count or 'no'} issue{'s' * (count != 1)} found")
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
        "--kind", choices=("dmer", "wesad", "folder"), default="", help="default: by its files"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args(arguments)
    examined = examine(args.path, args.kind)
    print(to_json(examined) if args.json else to_text(examined))
    return 1 if examined.issues else 0
