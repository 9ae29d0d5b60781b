"""Writes the page of a finished run, or of several side by side: `python -m mpcl_jax.report RUN [RUN2 …]`."""

import argparse
import pathlib
import sys

from mpcl_jax.batch import DataFileError
from mpcl_jax.config import ConfigError
from mpcl_jax.inspection.run_files import read_run
from mpcl_jax.output import any_output
from mpcl_jax.plots.memory import METHODS
from mpcl_jax.report.page import comparison_page, run_page, write_page


@any_output()
def main() -> None:
    """Writes RUN/report.html, or comparison.html; a folder that is no run ends in one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m mpcl_jax.report", description=__doc__)
    parser.add_argument("run", nargs="+", help="folder of a finished run; several are compared")
    parser.add_argument(
        "--output", metavar="FILE", help="default: RUN/report.html, or comparison.html for several"
    )
    parser.add_argument(
        "--prototypes", choices=METHODS, default="pca", help="how a run's prototypes are placed in the plane"
    )
    asked = parser.parse_args()
    several = len(asked.run) > 1
    file = pathlib.Path(
        asked.output or ("comparison.html" if several else pathlib.Path(asked.run[0], "report.html"))
    )
    try:
        runs = [read_run(folder) for folder in asked.run]
        write_page(file, comparison_page(runs) if several else run_page(runs[0], asked.prototypes))
    except (ConfigError, DataFileError, OSError) as mistake:
        print("error:", " ".join(str(mistake).split()), file=sys.stderr)
        sys.exit(2)
    print(file)


if __name__ == "__main__":
    main()
