"""Writes the page of a finished run, or of several side by side: `python -m mpcl_jax.cli.report RUN [RUN2 …]`."""

import argparse
import sys

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.report.page import comparison_page, run_page, write_page
from mpcl_jax.report.plots.memory import METHODS
from mpcl_jax.runs.read_run import read_run
from mpcl_jax.system.errors import DISK, StorageError
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataFileError


@any_output()
def main() -> None:
    """Writes RUN/report.html, or comparison.html.

    Ends in one line, with exit code 2 where a folder is no run and 74 where the page cannot be written.
    """
    parser = argparse.ArgumentParser(prog="python -m mpcl_jax.cli.report", description=__doc__)
    parser.add_argument("run", nargs="+", help="folder of a finished run; several are compared")
    parser.add_argument(
        "--output", metavar="FILE", help="default: RUN/report.html, or comparison.html for several"
    )
    parser.add_argument(
        "--prototypes", choices=METHODS, default="pca", help="how a run's prototypes are placed in the plane"
    )
    args = parser.parse_args()
    several = len(args.run) > 1
    try:
        usual = "comparison.html" if several else user_path(args.run[0]) / "report.html"
        file = user_path(args.output or usual, "--output" if args.output else "")
        if args.output and not file.parent.is_dir():
            raise ConfigError(f"--output {file}: there is no folder {file.parent}; make it first")
        runs = [read_run(folder) for folder in args.run]
        write_page(file, comparison_page(runs) if several else run_page(runs[0], args.prototypes))
    except (ConfigError, DataFileError, StorageError) as mistake:
        print("error:", " ".join(str(mistake).split()), file=sys.stderr)
        sys.exit(DISK if isinstance(mistake, StorageError) else 2)
    print(file)


if __name__ == "__main__":
    main()
