"""Figures of the experiments: the effect of a change, and the error along a setting or an amount of data."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpcl_jax.evaluation.number_text import shown_name
from mpcl_jax.report.plots import style
from mpcl_jax.report.plots.style import BLUE, GREY, INK, VERMILION

COLOURS = (BLUE, style.ORANGE, INK, VERMILION, style.SKY, GREY)
MARKS = ("o", "s", "^", "D", "v", "P", "X")


class Curve(NamedTuple):
    """Means with intervals along one axis."""

    name: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]  # NaN where there is no interval
    high: Sequence[float]


def differences(names: Sequence[str], mean, low, high, significant, *, label: str) -> Figure:
    """A row per change, in the order given: its difference [M] with interval; the line at 0 is "no change".

    `significant` [M] bool by `statistics.decide`: these are marked; an interval that excludes 0 marks nothing.
    """
    mean, low, high = (np.asarray(x, float) for x in (mean, low, high))
    rows, marked = np.arange(len(names)), np.asarray(significant, bool)
    with style.styled():
        figure = style.make_figure(6.8, 1.0 + 0.26 * len(names))
        axis = figure.subplots()
        axis.grid(axis="x")
        axis.axvline(0, color=INK, linewidth=1)
        axis.hlines(rows, low, high, color=[BLUE if x else GREY for x in marked], linewidth=2)
        for kind, colour, mark in ((marked, BLUE, "o"), (~marked, GREY, "D")):
            axis.plot(mean[kind], rows[kind], mark, color=colour, mec=INK, mew=0.7, ms=6)
        style.name_ticks(axis, names, most=36)
        axis.invert_yaxis()
        axis.margins(y=0.04)
        axis.set_xlabel(label)
    return figure


def curves(lines: Sequence[Curve], *, across: str, up: str) -> Figure:
    """Error along an amount of something; one line per method, intervals as bars, slightly shifted."""
    with style.styled():
        figure = style.make_figure(6.8, 4.0)
        axis = figure.subplots()
        axis.grid(axis="y")
        places = {value: place for place, value in enumerate(sorted({x for line in lines for x in line.x}))}
        for number, line in enumerate(lines):
            shift = (number - (len(lines) - 1) / 2) * 0.5 / max(len(lines), 1)
            _with_intervals(axis, [places[x] + shift for x in line.x], line, number)
        axis.set_xticks(range(len(places)), [f"{x:g}" for x in places])
        axis.set(xlabel=across, ylabel=up)
        axis.legend(ncols=2)
    return figure


def sweeps(panels: Sequence[tuple[Curve, float]], *, up: str) -> Figure:
    """A panel per setting: error along its values, evenly spaced; the value in use has a ring around it."""
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    with style.styled():
        figure = style.make_figure(1.0 + 2.1 * columns, 0.6 + 2.0 * rows)
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (line, used) in zip(axes.flat, panels, strict=False):
            axis.grid(axis="y")
            _with_intervals(axis, range(len(line.x)), line, 0)
            place = list(line.x).index(used)
            axis.plot(place, line.mean[place], "o", ms=13, mfc="none", mec=VERMILION)
            axis.set_xticks(range(len(line.x)), [f"{x:g}" for x in line.x])
            axis.margins(x=0.12)
            axis.set_title(line.name)
        figure.supylabel(up, fontsize="medium")
    return figure


def _with_intervals(axis: Axes, places, line: Curve, number: int) -> None:
    colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
    axis.vlines(places, line.low, line.high, color=colour, alpha=0.35, linewidth=2.5)
    name = shown_name(line.name)
    # A repeated colour is distinguished by its mark and a dashed line.
    dash = "-" if number < len(COLOURS) else "--"
    axis.plot(places, line.mean, f"{mark}{dash}", color=colour, linewidth=1.6, ms=5, label=name)
