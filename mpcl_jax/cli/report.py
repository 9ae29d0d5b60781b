"""Writes the page of a finished run, RUN/report.html, or one that compares several runs, comparison.html.

mpcl report runs/dataset
mpcl report runs/dataset runs/other --output both.html
"""

from mpcl_jax.cli.command import Parser, command
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.report.page import comparison_page, run_page
from mpcl_jax.runs.read_run import read_run
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import write_text


@command
def run(arguments: list[str]) -> None:
    """Writes the page and prints its path."""
    parser = Parser("report", __doc__)
    parser.add_argument("run", nargs="+", help="folder of a finished run; several are compared")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="where to write the page; default: RUN/report.html, or comparison.html for several runs",
    )
    args = parser.parse_args(arguments)
    several = len(args.run) > 1
    usual = "comparison.html" if several else user_path(args.run[0]) / "report.html"
    file = user_path(args.output or usual, "--output" if args.output else "")
    if args.output and not file.parent.is_dir():
        raise ConfigError(f"--output {file}: there is no folder {file.parent}; make it first")
    runs = [read_run(folder) for folder in args.run]
    write_text(file, comparison_page(runs) if several else run_page(runs[0]))
    print(file)
