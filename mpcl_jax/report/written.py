"""The section of a page on written trials: KL without and with the memory, and what the memory of each fold is."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mpcl_jax.evaluation.number_text import decimal, shown_name
from mpcl_jax.evaluation.written_trials import Recalled, cells_of, memory_caption, recalled_examples
from mpcl_jax.report.plots.results import WrittenCurve, written_trials
from mpcl_jax.report.plots.style import Figure
from mpcl_jax.runs.read_run import WrittenTrials

NUMBERS = ("kl_zero_shot", "kl", "difference", "low", "high", "p", "p_skewed", "p_holm")
MOST = 6  # recalled trials that are listed


def section_of(written: WrittenTrials | None) -> dict[str, Any] | None:
    """Rows of text, caption, the memory of MPCL in each fold, recalled trials; None without written trials."""
    if written is None:
        return None
    frame = pd.DataFrame(written.table)
    frame = frame.astype({name: float for name in NUMBERS if name in frame})
    return {
        "rows": cells_of(frame).to_dict("records"),
        "caption": memory_caption(frame),
        "learned": [_learned(fold, choice) for fold, choice in written.learned.items()],
        "recalled": [_recalled(found) for found in recalled_examples(written.memories, written.n)],
    }


def _learned(fold: str, choice: Mapping[str, Any]) -> dict[str, str]:
    """The memory of one fold as text."""
    kernel = choice["learned"].get(choice["memory"], {}).get("kernel")
    row = {"fold": fold, "memory": choice["memory"], "level": "-", "gains": "-", "blend": "-"}
    if kernel:
        gains = (f"{view.replace('_', ' ')} {gain:.2g}" for view, gain in kernel["gain"].items())
        row |= {"level": f"{kernel['level']:.2g}", "blend": f"{kernel['blend']:.2g}"}
        row["gains"] = ", ".join(gains) or "none"
    return row | {"reason": choice["reason"]}


def _recalled(found: Recalled) -> dict[str, str]:
    """The last trial of one subject as text, with the heaviest of the recalled trials."""
    heaviest = sorted(found.weight.items(), key=lambda pair: -abs(pair[1]))[:MOST]
    recalled = ", ".join(f"{trial} ({decimal(weight, 2)})" for trial, weight in heaviest)
    if left := len(found.weight) - len(heaviest):
        recalled += f", {left} more"
    row = {"subject": found.subject, "trial": found.trial, "recalled": recalled or "none"}
    return row | {"kl_zero_shot": decimal(found.kl_zero_shot), "kl": decimal(found.kl)}


def curve_figure(curve: Sequence[Mapping[str, Any]]) -> Figure | None:
    """KL by the number of written trials; `curve`: rows of memory_curve.csv. None with a single number of trials."""
    curves = {}
    for row in curve:
        curves.setdefault(row["method"], []).append(
            tuple(float(row[name]) for name in ("written_trials", "kl_zero_shot", "kl"))
        )
    named = {shown_name(name): WrittenCurve(*zip(*points, strict=True)) for name, points in curves.items()}
    return written_trials(named) if any(len(x.written) > 1 for x in named.values()) else None
