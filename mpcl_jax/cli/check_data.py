"""The data doctor: every fault of a data set, each with what to do.

    python -m mpcl_jax.cli.check_data WESAD --kind wesad        or --kind dmer, --kind folder; --json for programs

Exit code 0: nothing found. 1: faults, one line each. 2: the question itself was wrong.
"""

import argparse
import json
import sys

from mpcl_jax.config.data import DmerConfig, WesadConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.issues import Examined, Issue
from mpcl_jax.data.validate import dmer as check_dmer
from mpcl_jax.data.validate import folder as check_folder
from mpcl_jax.data.validate import wesad as check_wesad
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataFileError


def examine(path: str, kind: str) -> Examined:
    """Every fault of the data set of `kind` at `path`, and what it holds."""
    path = str(user_path(path))
    match kind:
        case "wesad":
            return check_wesad.examine(path, WesadConfig())
        case "dmer":
            return check_dmer.examine(path, DmerConfig())
        case "folder":
            return check_folder.examine(path)
    raise ConfigError(f"--kind {kind}: must be one of dmer, wesad, folder")


def to_text(examined: Examined) -> str:
    """What a person reads."""
    held = examined.summary
    lines = [_line(issue) for issue in examined.issues]
    sides = ", ".join(f"{m} ({group})" for m, group in held.modalities.items()) or "none"
    lines += [""] if lines else []
    lines += [
        f"people      {held.people}",
        f"windows     {held.windows}",
        f"modalities  {sides}",
        f"emotions    {len(held.emotions)}: {', '.join(held.emotions)}",
    ]
    lines += [f"missing     {text}" for text in held.missing]
    lines += [f"note        {text}" for text in held.notes]
    count = len(examined.issues)
    lines.append(f"{count} fault{'s' * (count != 1)} found" if count else "nothing wrong found")
    return "\n".join(" ".join(line.splitlines()) for line in lines)


def _line(issue: Issue) -> str:
    place = f": {issue.place}" if issue.place else ""
    return f"{issue.file}{place}: {issue.what} → {issue.fix}"


def to_json(examined: Examined) -> str:
    """The same for programs."""
    issues = [issue._asdict() for issue in examined.issues]
    return json.dumps({"faults": issues, "summary": examined.summary._asdict()}, indent=1)


@any_output()
def main() -> None:
    """Prints the faults and a summary; the exit code says whether there are any."""
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("path", help="the folder of the data set, or one DMER features file")
    parser.add_argument("--kind", required=True, choices=("dmer", "wesad", "folder"))
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args()
    try:
        examined = examine(args.path, args.kind)
    except DataFileError as mistake:
        print("error:", " ".join(str(mistake).split()), file=sys.stderr)
        sys.exit(2)
    print((to_json if args.json else to_text)(examined))
    sys.exit(1 if examined.issues else 0)


if __name__ == "__main__":
    main()
