"""The figure of ranks: the mean rank of each method, and which methods do not differ significantly."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mpcl_jax.report.plots.style import BLUE, FAINT, GREY, INK, WIDTH, make_figure, name_ticks, styled

HIGHLIGHT = "MPCL"


def critical_difference(
    names: Sequence[str],
    rank: Sequence[float],
    groups: Sequence[Sequence[str]],
    *,
    test: str = "Holm, all pairs",
) -> Figure:
    """Mean ranks, the best on top; a bar joins neighbours without a significant difference.

    `names` in the order of `rank` (1 = best) · `groups` of names, neighbours in that order · `test` names the test.
    """
    names, rank = list(names), np.asarray(rank, float)
    with styled():
        figure = make_figure(WIDTH, 1.2 + 0.26 * len(names))
        axis = figure.subplots()
        axis.grid(axis="x")
        rows = np.arange(len(names))
        axis.hlines(rows, 1, rank, color=FAINT, linewidth=1)
        colour = [BLUE if name == HIGHLIGHT else GREY for name in names]
        axis.scatter(rank, rows, s=44, color=colour, edgecolors=INK, linewidths=0.8, zorder=3)
        for place, group in enumerate(groups):
            ends = [names.index(group[0]), names.index(group[-1])]
            x = len(names) + 0.35 + 0.22 * place
            axis.vlines(x, ends[0] - 0.2, ends[1] + 0.2, color=INK, linewidth=3)
        beside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
        for row, value in enumerate(rank):
            axis.annotate(f"{value:.1f}", (value, row), **beside)
        name_ticks(axis, [name.replace("_", " ") for name in names], most=24)
        axis.invert_yaxis()
        axis.set_xlim(0.8, len(names) + 0.6 + 0.22 * max(1, len(groups)))
        axis.set_xticks(range(1, len(names) + 1))
        bars = "bar: no significant difference" if groups else "all neighbours differ significantly"
        axis.set_xlabel(f"mean rank by KL (1 is best)\n{bars} ({test})")
    return figure
