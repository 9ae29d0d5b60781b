"""What a page says in words and numbers, ready for the template: table, audit, samples, settings."""

import json
from typing import Any

import numpy as np

from mpcl_jax.config.schema import ORACLES
from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.report.explanation import Explanation, explain, recalled_weights, window_kl
from mpcl_jax.report.pictures import best_typical_worst
from mpcl_jax.report.slots import describe_slots, never_reported
from mpcl_jax.runs.read_run import COLOURS, RunFiles
from mpcl_jax.system.paths import shell_command

HEADS = ("chebyshev", "clark", "canberra", "kl", "cosine", "intersection", "skill")
HARDEST = 10  # windows that are listed
MOST_BYTES = 800_000  # of the samples that the interactive part holds
NEAR = 3  # decimals of shares in it


def table_rows(run: RunFiles) -> list[dict[str, Any]]:
    """Rows of the result table as text."""
    fair = [row for row in run.table if row["method"] not in ORACLES] or run.table
    best = min(fair, key=lambda row: float(row["kl"]))["method"]
    rows = []
    for row in run.table:
        low, high = float(row["kl_low"]), float(row["kl_high"])
        cells = [decimal(float(row[name]), 2 if name == "skill" else 4) for name in HEADS]
        interval = "–" if np.isnan(low) else f"[{decimal(low)}, {decimal(high)}]"
        rows.append(
            {
                "method": row["method"].replace("_", " "),
                "oracle": row["method"] in ORACLES,
                "cells": cells,
                "interval": interval,
                "best": row["method"] == best,
            }
        )
    return rows


def verdicts(run: RunFiles) -> list[dict[str, str]]:
    """The verdict lines, each with the kind of its answer: yes, no or open."""
    answers = {": better": "yes", ": worse": "no"}
    return [
        {"line": line, "kind": next((kind for mark, kind in answers.items() if mark in line), "open")}
        for line in run.verdict
    ]


def flagged_slots(run: RunFiles) -> dict[str, Any] | None:
    """Numbers of dead and collapsed slots, emotions without evidence, all flagged slots; None without a memory."""
    if run.memory is None:
        return None
    slots = describe_slots(run.memory)
    flagged = [slot for slot in slots if slot.flag]
    return {
        "count": len(slots),
        "dead": sum(slot.flag == "dead" for slot in slots),
        "collapsed": sum(slot.flag == "collapsed" for slot in slots),
        "never": never_reported(slots),
        "flagged": flagged,
        "slots": slots,
    }


def audit(run: RunFiles) -> list[dict[str, Any]]:
    """Every finding of the leak audit with its colour and ids, the worst first, and what the page itself can tell."""
    findings = sorted(run.audit.get("findings", ()), key=lambda x: COLOURS.index(x["colour"]))
    rows = [
        {"what": x["check"], "answer": x["says"], "colour": x["colour"], "ids": x["ids"]} for x in findings
    ]
    if not rows:
        says = "not audited yet: " + shell_command(["python", "-m", "mpcl_jax.cli.audit", str(run.folder)])
        rows.append({"what": "leaks", "answer": says, "colour": "amber", "ids": ()})
    smallest = run.predicted.min()
    colour = "green" if smallest > 0 else "red"
    rows.append(
        {"what": "smallest predicted share", "answer": f"{smallest:.2g}", "colour": colour, "ids": ()}
    )
    return rows


def hardest(run: RunFiles) -> list[dict[str, Any]]:
    """The windows with the highest KL."""
    kl = window_kl(run.reported, run.predicted)
    order = np.argsort(-kl, kind="stable")[:HARDEST]
    found = []
    for row in order:
        gap = run.predicted[row] - run.reported[row]
        c = int(np.abs(gap).argmax())
        found.append(
            {
                "id": run.id[row],
                "subject": run.subject[row],
                "kl": decimal(kl[row]),
                "emotion": run.emotions[c],
                "gap": decimal(100 * gap[c], 1, sign=True),
            }
        )
    return found


def explained(run: RunFiles) -> dict[str, Explanation]:
    """The best, the typical and the worst window."""
    return {what: explain(run, row) for what, row in best_typical_worst(run).items()}


def interactive(run: RunFiles) -> str:
    """JSON for the page's script, safe inside a script element: names and the windows to choose from.

    Where there are too many windows for a page, the hardest half of what fits and an even choice of the rest.
    """
    c, k = len(run.emotions), run.similarity.shape[-1]
    fits = max(4, MOST_BYTES // (2 * c * c + 14 * c + 500))
    kl = window_kl(run.reported, run.predicted)
    chosen = np.argsort(-kl, kind="stable")
    if len(chosen) > fits:
        rest = chosen[fits // 2 :]
        chosen = np.concatenate([chosen[: fits // 2], rest[:: -(-len(rest) // (fits - fits // 2))]])
    samples = [_sample(run, int(row), float(kl[row])) for row in np.sort(chosen)]
    document = {
        "emotions": run.emotions,
        "valence": run.valence,
        "sides": run.sides,
        "slots": k,
        "modalities": [] if run.inspection is None else run.inspection.modality.tolist(),
        "total": len(run.id),
        "samples": samples,
    }
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


def _sample(run: RunFiles, row: int, kl: float) -> dict[str, Any]:
    found = explain(run, row)
    weights = recalled_weights(run, row)
    return {
        "id": str(run.id[row]),
        "subject": str(run.subject[row]),
        "kl": round(kl, 4),
        "reported": run.reported[row].round(NEAR).tolist(),
        "predicted": run.predicted[row].round(NEAR).tolist(),
        "map": (100 * run.cooccurrence_map[row]).round().astype(int).ravel().tolist(),
        "recalled": [[x.side, x.emotion, x.slot, round(x.weight, NEAR)] for x in found.recalled],
        "sides": [round(float(x), NEAR) for x in weights.sum((1, 2))],
        "worth": [[x.name, round(x.gain, 4)] for x in (*found.modalities, *found.scales)],
    }


def flat_settings(tree: dict[str, Any], prefix: str = "config") -> list[tuple[str, str]]:
    """Every setting as (dotted name, value)."""
    rows = []
    for name, value in tree.items():
        dotted = f"{prefix}.{name}"
        rows += flat_settings(value, dotted) if isinstance(value, dict) else [(dotted, json.dumps(value))]
    return rows
