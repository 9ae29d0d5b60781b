"""Writes settings.md from the descriptions that `mpcl train --help` shows; made at build time and not committed."""

import pathlib

try:
    from mpcl_jax.config.describe import groups, settings
except ImportError:  # until the settings describe themselves
    groups, settings = dict, list

PAGE = pathlib.Path(__file__).resolve().parents[1] / "settings.md"
HEAD = """# Settings

`--config.NAME=VALUE` changes a setting on the command line; a config file changes it in Python.
`mpcl train --help` prints the same list.
"""


def page() -> str:
    """A heading for each group of settings, and an entry for each setting."""
    lines, group = [HEAD], ""
    for setting in settings():
        own, _, name = setting.name.rpartition(".")
        if own != group:
            group = own
            lines += [f"## {group}\n", f"{groups().get(group, '')}\n"]
        meaning = f"{setting.meaning}\n  \\\n  Default `{setting.default!r}`; allowed: {setting.allowed}."
        lines.append(f"`{name}`\n: {meaning}\n")
    return "\n".join(lines)


def write_page(app) -> None:
    """Writes the page where it is new or has changed."""
    text = page()
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        PAGE.write_text(text, encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True}
