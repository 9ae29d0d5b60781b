"""The tutorials of docs as notebooks, and the outputs that they show.

    python -m experiments.shared.notebooks --out notebooks
    python -m experiments.shared.notebooks --update

The first command writes NAME.ipynb of every tutorial. The second command runs every tutorial. It writes what a block
of code prints into the ```none block that follows it, where there is one, and copies the picture NAME.png that the
tutorial saves into docs/pictures.
"""

import argparse
import contextlib
import io
import json
import pathlib
import re
import shlex
import shutil
import tempfile
from typing import Any, NamedTuple

import matplotlib

from mpcl_jax.cli.__main__ import run as run_command
from mpcl_jax.system.output import any_output
from mpcl_jax.system.storage import make_folder, write_text

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = ("tutorial_own_data", "tutorial_adapt", "tutorial_memory")
FENCE = re.compile(r"^```(\w+|\{\w+\}.*)\n(.*?)^```\n", re.M | re.S)
CODE, COMMAND, OUTPUT = "python", "bash", "none"


class Cell(NamedTuple):
    """A part of a page."""

    kind: str  # "markdown", "python" or "bash"
    text: str
    printed: str | None = None  # what the page shows below the code; None: no such block


def cells_of(page: str) -> list[Cell]:
    """The parts of a Markdown page in their order. Directives and pictures are left out."""
    cells: list[Cell] = []
    place = 0
    for fence in FENCE.finditer(page):
        cells += _markdown(page[place : fence.start()])
        place, (kind, text) = fence.end(), fence.groups()
        if kind in (CODE, COMMAND):
            cells.append(Cell(kind, text.rstrip("\n")))
        elif kind == OUTPUT:
            cells[-1] = cells[-1]._replace(printed=text)
    return cells + _markdown(page[place:])


def _markdown(text: str) -> list[Cell]:
    """A cell of text without what only the documentation site understands; none where nothing is left."""
    text = re.sub(r"^!\[.*?\]\(.*?\)\n", "", text, flags=re.M)
    text = re.sub(r"\{doc\}`(\w+)`", r"page `\1` of the documentation", text).strip()
    return [Cell("markdown", text)] if text else []


def notebook(page: str) -> dict[str, Any]:
    """The page as a notebook of format 4.5; bash blocks become cells of shell commands."""
    cells = []
    for number, cell in enumerate(cells_of(page)):
        source = re.sub("^", "!", cell.text, flags=re.M) if cell.kind == COMMAND else cell.text
        of_all = {"id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)}
        if cell.kind == "markdown":
            cells.append({"cell_type": "markdown", **of_all})
            continue
        stream = {"output_type": "stream", "name": "stdout"}
        outputs = [stream | {"text": cell.printed.splitlines(keepends=True)}] if cell.printed else []
        cells.append({"cell_type": "code", **of_all, "execution_count": None, "outputs": outputs})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def write_notebooks(out: pathlib.Path) -> list[pathlib.Path]:
    """Writes OUT/NAME.ipynb of every tutorial and returns the paths; a file that is up to date is not touched."""
    make_folder(out)
    files = [out / f"{name}.ipynb" for name in TUTORIALS]
    for file in files:
        page = (DOCS / f"{file.stem}.md").read_text(encoding="utf-8")
        text = json.dumps(notebook(page), indent=1, ensure_ascii=False) + "\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            write_text(file, text)
    return files


def printed_by(sources: list[str]) -> list[str]:
    """Runs the code cells of a notebook in their order, in the current folder; returns what each one prints."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = []
    for source in sources:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            if source.startswith("!mpcl "):
                run_command(shlex.split(source)[1:])
            else:
                exec(compile(source, "<cell>", "exec"), namespace)
        printed.append(out.getvalue())
    return printed


def code_of(made: dict[str, Any]) -> list[str]:
    """The sources of the code cells of a notebook."""
    return ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]


def update(name: str) -> None:
    """Runs a tutorial in a new folder and writes its outputs and its picture into the documentation."""
    file = DOCS / f"{name}.md"
    page = file.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        printed = iter(printed_by(code_of(notebook(page))))
        if pathlib.Path(f"{name}.png").exists():
            shutil.copy(f"{name}.png", DOCS / "pictures")

    last = ""

    def with_output(fence: re.Match) -> str:
        nonlocal last
        kind = fence[1]
        if kind in (CODE, COMMAND):
            last = next(printed)
        return f"```{OUTPUT}\n{last.rstrip()}\n```\n" if kind == OUTPUT else fence[0]

    write_text(file, FENCE.sub(with_output, page))


@any_output()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=pathlib.Path, help="folder of the notebooks")
    what.add_argument(
        "--update", nargs="*", choices=TUTORIALS, help="run these tutorials; without names, all"
    )
    args = parser.parse_args()
    if args.out:
        print(*write_notebooks(args.out), sep="\n")
        return
    for name in args.update or TUTORIALS:
        with matplotlib.rc_context({"backend": "agg", "savefig.dpi": 140}):
            update(name)
        print(DOCS / f"{name}.md")


if __name__ == "__main__":
    main()
