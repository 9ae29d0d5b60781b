"""Computes every number of the tables of a run again, from the saved predictions alone.

    mpcl verify runs/dataset
    mpcl verify experiments/results/simulated.csv --runs runs/table/simulated

Only the files of the run are read: JAX, the model and the recordings are not used.

Exit status 0: all values agree. 1: some values differ, one line each. 2: the folder is not a finished run.
"""

import pathlib

from mpcl_jax.cli.command import Parser, command
from mpcl_jax.evaluation.verification import check_run, check_shipped
from mpcl_jax.system.paths import user_path

SHOWN = 50  # differences that are printed


@command
def run(arguments: list[str]) -> int:
    """Prints what differs and how much was compared; the exit status says whether anything differs."""
    parser = Parser("verify", __doc__)
    parser.add_argument("what", help="folder of a finished run, or a .csv of experiments/results")
    parser.add_argument("--runs", help="folder of the runs of a table; default: runs/table/<name>")
    args = parser.parse_args(arguments)
    what = user_path(args.what)
    if what.suffix == ".csv" and not what.is_dir():
        usual = pathlib.Path("runs/table") / what.stem
        found = check_shipped(what, user_path(args.runs, "--runs") if args.runs else usual)
    else:
        found = check_run(what)
    for difference in found.differences[:SHOWN]:
        print(difference)
    count = len(found.differences)
    if count > SHOWN:
        print(f"… and {count - SHOWN} more")
    print(f"{found.compared:,} values computed again from {found.windows:,} predictions: {count} differ")
    return 1 if count else 0
