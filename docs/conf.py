"""The documentation site: sphinx-build -W docs docs/_build. Nothing is fetched from a network."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

project = "mpcl_jax"
author = "The mpcl_jax developers"
copyright = "2026, the mpcl_jax developers"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "result_pages",
    "setting_tables",
    "tutorial_notebooks",
]
exclude_patterns = ["_build", "_ext", "_static", "notebooks"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88  # a longer signature has a line for each argument

html_theme = "pydata_sphinx_theme"
html_title = "mpcl_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "getting_started": [], "method": []}

smartquotes = False  # quotes and dashes belong to settings and commands
default_role = "code"  # docstrings write `name` as Markdown does


def escape_bars(app, what, name, obj, options, lines):
    """Docstrings write |x| for an absolute value; for reStructuredText that would be a substitution."""
    lines[:] = [line.replace("|", "\\|") for line in lines]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape_bars)
