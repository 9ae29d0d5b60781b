"""Puts figures and texts into the templates. Autoescape is on: text of users and files is never markup."""

import base64
import hashlib
import importlib.resources

import jinja2
from markupsafe import Markup

from mpcl_jax import __version__
from mpcl_jax.evaluation.number_text import decimal
from mpcl_jax.report import content, pictures
from mpcl_jax.report.explanation import explain
from mpcl_jax.report.plots import results
from mpcl_jax.report.plots.browser_svg import to_svg
from mpcl_jax.report.plots.style import Figure
from mpcl_jax.report.slots import bank_agreement
from mpcl_jax.report.written import section_of
from mpcl_jax.runs.read_run import RunFiles
from mpcl_jax.system.paths import shell_command

ASSETS = importlib.resources.files("mpcl_jax.report")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def render(template: str, script: str, figures: dict[str, Figure], **context) -> str:
    """A page: the template with `figures`, `script` and `context`, which loads nothing from outside."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimal": decimal}
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Nothing is fetched; the only script is the one of this package, named by its digest.
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    drawn = {
        name: {"svg": Markup(to_svg(figure)), "points": round(72 * figure.get_figwidth())}
        for name, figure in figures.items()
    }
    return environment.get_template(template).render(
        policy=policy,
        css=Markup(_asset("report.css")),
        script=Markup(script),
        version=__version__,
        figures=drawn,
        **context,
    )


def run_page(run: RunFiles) -> str:
    """The page of one run."""
    return render(
        "run.html",
        _asset("report.js"),
        pictures.figures_of(run),
        run=run,
        folder=shell_command([str(run.folder)]),
        first_id=shell_command([str(run.id[0])]),
        table=content.table_rows(run),
        verdicts=content.verdicts(run),
        written=section_of(run.written),
        slots=content.flagged_slots(run),
        agreement=decimal(bank_agreement(run.memory.bank), 2)
        if run.memory and len(run.modality_groups) == 2
        else "",
        drawn=len(pictures.drawn_emotions(run)),
        explained={what: explain(run, row) for what, row in pictures.best_median_worst(run).items()},
        highest=content.highest_kl(run),
        audit=content.audit(run),
        settings=content.flat_settings(run.config),
        samples=Markup(content.interactive(run)),
    )


def comparison_page(runs: list[RunFiles]) -> str:
    """Several runs on one page; names which of them were tested on the same split."""
    labels = [f"{run.folder.parent.name}/{run.folder.name}" for run in runs]
    splits = list(dict.fromkeys(run.split["sha256"] for run in runs))
    rows = [
        {
            "label": label,
            "run": run,
            "split": splits.index(run.split["sha256"]) + 1,
            "cells": next(row["cells"] for row in content.table_rows(run) if row["key"] == "MPCL"),
            "verdicts": content.verdicts(run),
        }
        for label, run in zip(labels, runs, strict=True)
    ]
    settings = [dict(content.flat_settings(run.config)) for run in runs]
    names = dict.fromkeys(name for of_run in settings for name in of_run)
    values = {name: [of_run.get(name, "–") for of_run in settings] for name in names}
    panels = {f"{n}: {row['label']}": pictures.methods_of(row["run"]) for n, row in enumerate(rows, 1)}
    return render(
        "comparison.html",
        "",
        {"methods": results.subject_dots(panels)},
        rows=rows,
        heads=[head for head in rows[0]["cells"] if head != "tried"],
        labels=labels,
        splits=len(splits),
        leaky=any(run.leaky for run in runs),
        differing={name: of_runs for name, of_runs in values.items() if len(set(of_runs)) > 1},
    )
