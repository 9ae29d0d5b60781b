"""Puts pictures and words into the templates. Autoescape is on: text of users and files is never markup."""

import base64
import hashlib
import importlib.resources
import pathlib

import jinja2
from markupsafe import Markup

from mpcl_jax import __version__
from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.report import content, pictures
from mpcl_jax.report.plots import results
from mpcl_jax.report.plots.browser_svg import to_svg
from mpcl_jax.report.slots import bank_agreement
from mpcl_jax.runs.read_run import RunFiles
from mpcl_jax.system.paths import shell_command
from mpcl_jax.system.storage import write_text

ASSETS = importlib.resources.files("mpcl_jax.report")
MEASURES = ("Chebyshev ↓", "Clark ↓", "Canberra ↓", "KL ↓", "cosine ↑", "intersection ↑", "skill ↑")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _render(template: str, script: str, **context) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimal": decimal}
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Nothing may be fetched; the only script is ours, named by its digest.
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(
        policy=policy, css=Markup(_asset("report.css")), script=Markup(script), version=__version__, **context
    )


def run_page(run: RunFiles, method: str = "pca") -> str:
    """The page of one run; `method` places its prototypes (`plots.memory.prototype_places`)."""

    def marked(found):
        return [{"key": p.key, "title": p.title, "caption": p.caption, "svg": Markup(p.svg)} for p in found]

    return _render(
        "run.html",
        _asset("report.js"),
        run=run,
        folder=shell_command([str(run.folder)]),
        first_id=shell_command([str(run.id[0])]),
        heads=MEASURES,
        table=content.table_rows(run),
        verdicts=content.verdicts(run),
        slots=content.flagged_slots(run),
        agreement=decimal(bank_agreement(run.memory.bank), 2) if run.memory and len(run.sides) == 2 else "",
        of_results=marked(pictures.draw_results(run)),
        of_memory=marked(pictures.draw_memory(run, method)),
        of_training=marked(pictures.draw_training(run)),
        explained=content.explained(run),
        hardest=content.hardest(run),
        audit=content.audit(run),
        settings=content.flat_settings(run.config),
        samples=Markup(content.interactive(run)),
    )


def comparison_page(runs: list[RunFiles]) -> str:
    """Several runs on one page; names which of them were tested on the same split."""
    labels = [f"{run.folder.parent.name}/{run.folder.name}" for run in runs]
    figure = results.run_comparison(labels, [pictures.methods_of(run) for run in runs])
    splits = list(dict.fromkeys(run.split["sha256"] for run in runs))
    rows = []
    for label, run in zip(labels, runs, strict=True):
        mpcl = next(row for row in content.table_rows(run) if row["method"] == "MPCL")
        rows.append({"label": label, "row": mpcl, "run": run, "split": splits.index(run.split["sha256"]) + 1})
    settings = [dict(content.flat_settings(run.config)) for run in runs]
    names = list(dict.fromkeys(name for of_run in settings for name in of_run))
    differing = [(name, [of_run.get(name, "–") for of_run in settings]) for name in names]
    differing = [(name, values) for name, values in differing if len(set(values)) > 1]
    return _render(
        "comparison.html",
        "",
        rows=rows,
        labels=labels,
        heads=MEASURES,
        splits=len(splits),
        leaky=any(run.leaky for run in runs),
        verdicts=[(label, content.verdicts(run)) for label, run in zip(labels, runs, strict=True)],
        differing=differing,
        picture=Markup(to_svg(figure)),
    )


def write_page(file: pathlib.Path, page: str) -> None:
    """Writes whole or not at all. Raises StorageError where the disk does not take it."""
    write_text(file, page)
