"""Generates the tables of README and docs from the CSV files of experiments/results.

    python -m experiments.shared.readme_tables            exits with 1 where a text differs from its CSV file
    python -m experiments.shared.readme_tables --write    writes the tables

A table stands between two lines; between them everything is replaced:

    <!-- table: NAME [option=value …] -->
    <!-- end -->

NAME and options are those of `experiments.shared.render`. Values with spaces stand in double quotes.
"""

import argparse
import pathlib
import re
import shlex
import sys
from collections.abc import Sequence

from experiments.shared.render import options_of, rendered
from mpcl_jax.evaluation.table_text import markdown_of
from mpcl_jax.system.output import any_output
from mpcl_jax.system.storage import write_text
from mpcl_jax.types import DataError

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARKED = re.compile(r"^(<!-- table: (.+?) -->\n)(.*?)^(<!-- end -->)$", re.M | re.S)


def pages() -> list[pathlib.Path]:
    """All files that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def generated(text: str) -> str:
    """`text` with every marked table made from its CSV file. Raises DataError."""

    def table(found: re.Match) -> str:
        name, *options = shlex.split(found[2])
        cells, caption = rendered(name, options_of(options))
        parts = [markdown_of(cells), caption] if caption else [markdown_of(cells)]
        return f"{found[1]}\n" + "\n\n".join(parts) + f"\n\n{found[4]}"

    return MARKED.sub(table, text)


@any_output()
def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--write", action="store_true", help="write the tables instead of comparing them")
    args = parser.parse_args(words)
    different = []
    for file in pages():
        text = file.read_text(encoding="utf-8")
        try:
            made = generated(text)
        except DataError as mistake:
            sys.exit(f"error: {file.relative_to(ROOT)}: {mistake}")
        if made != text:
            different.append(str(file.relative_to(ROOT)))
            if args.write:
                write_text(file, made)
    for name in different:
        print(f"{name}: {'written' if args.write else 'differs from its CSV file'}")
    if different and not args.write:
        sys.exit("run `python -m experiments.shared.readme_tables --write`")


if __name__ == "__main__":
    main(sys.argv[1:])
