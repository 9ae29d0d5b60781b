"""Texts and numbers of a page, ready for the template: table, audit, windows, settings."""

import json
from typing import Any

import numpy as np
import pandas as pd

from mpcl_jax import metrics
from mpcl_jax.config.schema import ORACLES
from mpcl_jax.evaluation.number_text import decimal, shown_name
from mpcl_jax.evaluation.table_text import HEADS, cells_of
from mpcl_jax.report.explanation import explain, recalled_weights
from mpcl_jax.report.slots import describe_slots, never_reported
from mpcl_jax.runs.read_run import COLOURS, RunFiles
from mpcl_jax.system.paths import shell_command

HIGHEST = 10  # number of listed windows with the highest KL
MOST_BYTES = 800_000  # of the windows in the interactive part
DIGITS = 3  # of shares in it


def table_rows(run: RunFiles) -> list[dict[str, Any]]:
    """Rows of the result table as text; cells: head of a column -> (text, whether it is the best of the column)."""
    numbers = {"kl_low": float, "kl_high": float, "seeds": int, "kl_seed_sd": float}
    texts = cells_of(pd.DataFrame(run.table).astype(numbers), tuple(HEADS)).drop(columns=["method", "seeds"])
    rows = []
    for key, cells in zip((row["method"] for row in run.table), texts.to_dict("records"), strict=True):
        cells = {head: (text.strip("*"), text.startswith("**")) for head, text in cells.items()}
        rows.append({"key": key, "method": shown_name(key), "oracle": key in ORACLES, "cells": cells})
    return rows


def verdicts(run: RunFiles) -> list[dict[str, str]]:
    """The verdict lines, each with the kind of its answer: yes, no or open."""
    answers = {": better": "yes", ": worse": "no"}
    return [
        {"line": line, "kind": next((kind for mark, kind in answers.items() if mark in line), "open")}
        for line in run.verdict
    ]


def flagged_slots(run: RunFiles) -> dict[str, Any] | None:
    """All slots, numbers of dead and collapsed ones, emotions without evidence; None without a memory."""
    if run.memory is None:
        return None
    slots = describe_slots(run.memory)
    counts = {flag: sum(slot.flag == flag for slot in slots) for flag in ("dead", "collapsed")}
    return counts | {"never": never_reported(slots), "slots": slots}


def audit(run: RunFiles) -> list[dict[str, Any]]:
    """Every finding of the leak audit with its colour and ids, the worst first, and the smallest predicted share."""
    findings = sorted(run.audit.get("findings", ()), key=lambda x: COLOURS.index(x["colour"]))
    if not findings:
        command = shell_command(["mpcl", "audit", str(run.folder)])
        findings = [{"check": "leaks", "says": f"not audited yet: {command}", "colour": "amber", "ids": ()}]
    least = run.predicted.min()
    colour = "green" if least > 0 else "red"
    found = {"check": "smallest predicted share", "says": f"{least:.2g}", "colour": colour, "ids": ()}
    return [*findings, found]


def highest_kl(run: RunFiles) -> list[dict[str, Any]]:
    """The windows with the highest KL, each with the emotion of the largest difference."""
    kl = metrics.kl(run.reported, run.predicted)
    found = []
    for row in np.argsort(-kl, kind="stable")[:HIGHEST]:
        gap = run.predicted[row] - run.reported[row]
        c = int(np.abs(gap).argmax())
        window = {"id": run.id[row], "subject": run.subject[row], "kl": decimal(kl[row])}
        found.append(window | {"emotion": run.emotions[c], "gap": decimal(100 * gap[c], 1, sign=True)})
    return found


def interactive(run: RunFiles) -> str:
    """JSON for the page's script, safe inside a script element: names and the windows to choose from.

    If there are too many windows for a page, half of those shown have the highest KL; the others are evenly chosen.
    """
    c = len(run.emotions)
    fits = max(4, MOST_BYTES // (2 * c * c + 14 * c + 500))
    kl = metrics.kl(run.reported, run.predicted)
    chosen = np.argsort(-kl, kind="stable")
    if len(chosen) > fits:
        rest = chosen[fits // 2 :]
        chosen = np.concatenate([chosen[: fits // 2], rest[:: -(-len(rest) // (fits - fits // 2))]])
    document = {
        "emotions": run.emotions,
        "valence": run.valence,
        "modality_groups": run.modality_groups,
        "total": len(run.id),
        "samples": [_sample(run, int(row)) for row in np.sort(chosen)],
    }
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


def _sample(run: RunFiles, row: int) -> dict[str, Any]:
    found = explain(run, row)
    return {
        "id": found.id,
        "subject": found.subject,
        "kl": round(found.kl, 4),
        "reported": run.reported[row].round(DIGITS).tolist(),
        "predicted": run.predicted[row].round(DIGITS).tolist(),
        "map": (100 * run.cooccurrence_map[row]).round().astype(int).ravel().tolist(),
        "recalled": [[x.group, x.emotion, x.slot, round(x.weight, DIGITS)] for x in found.recalled],
        "modality_groups": [round(float(x), DIGITS) for x in recalled_weights(run, row).sum((1, 2))],
        "gains": [[x.name, round(x.gain, 4)] for x in (*found.modalities, *found.scales)],
    }


def flat_settings(tree: dict[str, Any], prefix: str = "config") -> list[tuple[str, str]]:
    """Every setting as (dotted name, value)."""
    rows = []
    for name, value in tree.items():
        dotted = f"{prefix}.{name}"
        rows += flat_settings(value, dotted) if isinstance(value, dict) else [(dotted, json.dumps(value))]
    return rows
