"""Memory-guided Prototypical Co-occurrence Learning for mixed emotion recognition."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from mpcl_jax.system.errors import DISK
from mpcl_jax.system.output import any_output

COMMANDS = {
    "train": "train and evaluate MPCL and baselines; writes a run folder",
    "report": "write the page of a finished run, or one that compares several runs",
    "explain": "explain one prediction of a finished run",
    "inspect": "show the prototypes and the co-occurrence that a run has learned",
    "predict": "predict the emotions of new recordings with a finished run",
    "adapt": "predict the trials of a subject with a memory of the subject's reported trials",
    "stream": "predict from live or replayed samples, one distribution per hop",
    "export": "write a finished model as one file that runs without this package",
    "import": "convert tables, Empatica E4, EDF/BDF and BIDS recordings to the folder format",
    "check": "list the issues of a data set",
    "audit": "search for leaks between training and test data of a run",
    "verify": "compute the tables of a run again from its predictions",
    "reproduce": "make a table of experiments/results again and compare",
    "info": "versions, devices and cache folders, for a bug report",
}

MODULES = {"import": "import_data"}  # a keyword of Python is no name for a module


def run(arguments: Sequence[str] | None = None) -> int:
    """The command `mpcl`: calls the subcommand, whose module is imported only then; returns the exit code."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in COMMANDS:
        return importlib.import_module(f"mpcl_jax.cli.{MODULES.get(name, name)}").run(rest)
    with any_output() as lost:
        code = _overview(name)
        return DISK if lost() else code


def _overview(name: str) -> int:
    """Prints the commands, the version, or that there is no command `name`; returns the exit code."""
    if name in ("-h", "--help"):
        lines = [f"  {command:10s} {about}" for command, about in COMMANDS.items()]
        print("usage: mpcl COMMAND [options]", "", __doc__ or "", "", *lines, "", sep="\n")
        print("mpcl COMMAND --help describes the options of a command.")
        return 0
    if name == "--version":
        print(importlib.import_module("mpcl_jax").__version__)
        return 0
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(COMMANDS)}"
    print(f"error: unknown command {name!r}; {hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run())
