"""The page of a comparison that was made in memory: `EvaluationTable.report`."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mpcl_jax.report import content, pictures
from mpcl_jax.report.page import render
from mpcl_jax.report.plots.style import Figure
from mpcl_jax.report.written import curve_figure, section_of
from mpcl_jax.runs.read_run import WrittenTrials


class Compared(NamedTuple):
    """P test windows, C emotions; a field that `RunFiles` has too means the same."""

    title: str  # "my study, loso"
    sentences: tuple[str, ...]  # what is held out; then the notes on the data
    leaky: bool
    verdict: tuple[str, ...]
    caption: str
    tests: str  # Friedman's test and the groups without a difference
    table: tuple[dict[str, Any], ...]
    ranking: tuple[dict[str, Any], ...]
    subjects: tuple[dict[str, Any], ...]
    pairs: pd.DataFrame  # the compared method against each other one, as text
    focus: str  # the compared method in words
    emotions: tuple[str, ...]
    valence: tuple[str, ...]
    id: np.ndarray
    subject: np.ndarray
    reported: np.ndarray
    predicted: np.ndarray | None  # of MPCL, mean over seeds; None where MPCL is not compared
    baselines: dict[str, np.ndarray]
    written: WrittenTrials | None = None


def methods_page(compared: Compared) -> str:
    """A self-contained HTML page: table, verdicts, statistics, figures, windows with the highest KL."""
    emotions, drawn = len(compared.emotions), len(pictures.drawn_emotions(compared))
    return render(
        "methods.html",
        "",
        pictures.result_figures(compared) | _written_figure(compared),
        compared=compared,
        subjects=len(set(compared.subject.tolist())),
        table=content.table_rows(compared),
        verdicts=content.verdicts(compared),
        written=section_of(compared.written),
        pairs=compared.pairs.to_dict("records"),
        left_out=f" Only the {drawn} most reported of {emotions} emotions are drawn."
        if drawn < emotions
        else "",
        highest=[] if compared.predicted is None else content.highest_kl(compared),
    )


def _written_figure(compared: Compared) -> dict[str, Figure]:
    figure = compared.written and curve_figure(compared.written.curve)
    return {"written": figure} if figure else {}
