"""Computes every number of a run's tables again, from the saved predictions alone.

    python -m mpcl_jax.cli.verify runs/dataset
    python -m mpcl_jax.cli.verify experiments/results/simulated.csv --runs runs/table/simulated

Needs neither model, recordings nor JAX. The tables are made anew from predictions.csv and folds/*/baselines.npz and
compared cell by cell; the six measures are computed a second time by formulas that share no code with the tables.
Exit code 0: everything agrees. 1: something differs, a line each. 2: the folder is no finished run.
"""

import argparse
import pathlib
import sys

from mpcl_jax.evaluate.verification import Difference, check_run, check_shipped
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataFileError

SHOWN = 50  # differences that are printed


def _line(difference: Difference) -> str:
    return f"{difference.file}: {difference.cell}: stored {difference.stored}, computed {difference.computed}"


@any_output()
def main() -> None:
    """Prints what differs and how much was compared; the exit code says whether anything differs."""
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("what", help="folder of a finished run, or a .csv of experiments/results")
    parser.add_argument("--runs", help="folder of a shipped table's runs; default: runs/table/<name>")
    args = parser.parse_args()
    try:
        what = user_path(args.what)
        if what.suffix == ".csv" and not what.is_dir():
            usual = pathlib.Path("runs/table") / what.stem
            found = check_shipped(what, user_path(args.runs, "--runs") if args.runs else usual)
        else:
            found = check_run(what)
    except DataFileError as mistake:
        print("error:", " ".join(str(mistake).split()), file=sys.stderr)
        sys.exit(2)
    for difference in found.differences[:SHOWN]:
        print(_line(difference))
    count = len(found.differences)
    if count > SHOWN:
        print(f"… and {count - SHOWN} more")
    print(f"{found.compared:,} values computed again from {found.windows:,} predictions: {count} differ")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
