"""Writes a notebook of each tutorial at build time and puts a link to it below the heading of the page."""

import pathlib

from experiments.shared.notebooks import TUTORIALS, write_notebooks

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "notebooks"


def write(app) -> None:
    """Writes the notebooks that are new or have changed; they are not committed."""
    write_notebooks(FOLDER)


def add_link(app, name: str, source: list[str]) -> None:
    """The link, as the first paragraph of a tutorial."""
    if name in TUTORIALS:
        heading, rest = source[0].split("\n", 1)
        source[0] = f"{heading}\n\n{{download}}`Download as a notebook <notebooks/{name}.ipynb>`\n{rest}"


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", write)
    app.connect("source-read", add_link)
    return {"parallel_read_safe": True}
