"""Pictures of results: distributions, errors, lost modalities, learning curves, several runs."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import stdtrit

from mpcl_jax.report.plots.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORACLE_LINE,
    ORANGE,
    PAPER,
    SKY,
    borders,
    by_valence,
    make_figure,
    name_ticks,
    shortened,
    styled,
)

ORACLE = "oracle: an upper bound given the stimulus"


class Sample(NamedTuple):
    """One window to draw."""

    title: str
    reported: np.ndarray  # [C] sums to 1
    predicted: np.ndarray  # [C] sums to 1


def distribution_bars(samples: Sequence[Sample], emotions: Sequence[str], valence: Sequence[str]) -> Figure:
    """Reported (wide, light) and predicted (narrow, dark) shares, one panel per sample."""
    order, rows = by_valence(valence), np.arange(len(emotions))
    with styled():
        figure = make_figure(1.6 + 2.3 * len(samples), 1.3 + 0.2 * len(emotions))
        axes = figure.subplots(1, len(samples), sharey=True, sharex=True, squeeze=False)[0]
        for axis, sample in zip(axes, samples, strict=True):
            axis.barh(
                rows, 100 * sample.reported[order], height=0.84, color=FAINT, edgecolor=GREY, linewidth=0.6
            )
            axis.barh(rows, 100 * sample.predicted[order], height=0.34, color=BLUE)
            for place in borders(valence, order):
                axis.axhline(place - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
            axis.set_title("\n".join(shortened(line, 30) for line in sample.title.splitlines()))
            axis.set_xlabel("share (%)")
        name_ticks(axes[0], [emotions[c] for c in order], x=False, y=True)
        axes[0].invert_yaxis()
        handles = [Patch(fc=FAINT, ec=GREY, label="reported"), Patch(color=BLUE, label="predicted")]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


class EmotionError(NamedTuple):
    """Mean absolute error of each emotion's share, with a 95 % interval over subjects."""

    mean: np.ndarray  # [C]
    low: np.ndarray  # [C] NaN with fewer than 3 subjects
    high: np.ndarray  # [C]
    subjects: int  # that the mean and the interval are over


def emotion_errors(reported, predicted, subject) -> EmotionError:
    """Means over windows within subjects, then over subjects; Student's t for the interval. [P, C], [P, C], [P]."""
    wrong = np.abs(np.asarray(reported) - predicted)
    people = np.stack([wrong[subject == who].mean(0) for who in np.unique(subject)])
    mean, n = people.mean(0), len(people)
    half = np.full_like(mean, np.nan)
    if n >= 3:
        half = stdtrit(n - 1, 0.975) * people.std(0, ddof=1) / np.sqrt(n)
    return EmotionError(mean, mean - half, mean + half, n)


def error_per_emotion(
    model: EmotionError,
    baseline: EmotionError | None,
    emotions: Sequence[str],
    valence: Sequence[str],
    *,
    name: str = "train mean",
) -> Figure:
    """Dots with intervals for the model, open squares for a baseline called `name`."""
    order, rows = by_valence(valence), np.arange(len(emotions))
    with styled():
        figure = make_figure(6.2, 1.3 + 0.21 * len(emotions))
        axis = figure.subplots()
        axis.grid(axis="x")
        if baseline is not None:
            axis.plot(
                100 * baseline.mean[order], rows, "s", mfc="none", mec=ORANGE, ms=6, label=shortened(name)
            )
        axis.hlines(rows, 100 * model.low[order], 100 * model.high[order], color=BLUE, linewidth=1.6)
        over = "1 subject" if model.subjects == 1 else f"{model.subjects} subjects"
        known = "" if np.isnan(model.low).all() else "95 % "  # no interval is drawn with few subjects
        label = f"MPCL, {known}over {over}"
        axis.plot(100 * model.mean[order], rows, "o", color=BLUE, ms=5, label=label)
        for place in borders(valence, order):
            axis.axhline(place - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
        name_ticks(axis, [emotions[c] for c in order], x=False, y=True)
        axis.invert_yaxis()
        axis.set_xlim(left=0)
        axis.set_xlabel("mean absolute error (percentage points)")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


class Method(NamedTuple):
    """One row of the dots: a method with each person's value."""

    name: str
    people: np.ndarray  # [U] KL of each person
    mean: float
    low: float  # 95 % interval, NaN where there is none
    high: float
    oracle: bool = False  # it is given the true stimulus of each window: an upper bound, drawn apart


def spoken(method: Method) -> str:
    """The name beside a method's mark; an oracle is called one."""
    return f"{method.name} (oracle)" if method.oracle else method.name


def oracle_legend(oracles: Iterable[bool]) -> list[Line2D]:
    """What an oracle's mark means, for a legend; nothing where no method is one."""
    mark = Line2D([], [], marker="D", color=INK, mfc=PAPER, linestyle=ORACLE_LINE, label=ORACLE)
    return [mark] if any(oracles) else []


def subject_dots(
    methods: Sequence[Method], *, highlight: str = "MPCL", measure: str = "KL, lower is better"
) -> Figure:
    """A dot per person and method, the mean with its interval on top of them."""
    rng = np.random.default_rng(0)
    with styled():
        figure = make_figure(6.8, 1.1 + 0.42 * len(methods))
        axis = figure.subplots()
        axis.grid(axis="x")
        for row, method in enumerate(methods):
            colour = BLUE if method.name == highlight else GREY
            spread = row + 0.22 * (rng.random(len(method.people)) - 0.5)
            axis.plot(method.people, spread, "o", color=colour, alpha=0.45, ms=4, mew=0)
            line = ORACLE_LINE if method.oracle else "-"
            axis.hlines(row, method.low, method.high, color=INK, linewidth=2.2, linestyles=line)
            face = PAPER if method.oracle else colour
            axis.plot([method.mean], [row], "D", color=face, mec=INK, ms=6.5)
        name_ticks(axis, [spoken(method) for method in methods], x=False, y=True, most=28)
        axis.invert_yaxis()
        axis.set_xlabel(measure)
        marks = [
            Line2D([], [], ls="", marker="o", color=GREY, ms=4, label="one subject"),
            Line2D([], [], marker="D", color=INK, mfc=GREY, label="mean, 95 % interval"),
            *oracle_legend(method.oracle for method in methods),
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def missing_modality_curve(
    subset: np.ndarray, kl: np.ndarray, modalities: Sequence[str], *, train_mean: float | None = None
) -> Figure:
    """KL with fewer and fewer modalities: a dot per set, the mean of each size as a line.

    `subset` [Q, M] bool, what was left · `kl` [Q] · `train_mean` its KL, if known.
    """
    left = subset.sum(1)
    sizes = np.unique(left)[::-1]
    with styled():
        figure = make_figure(6.8, 3.6)
        axis = figure.subplots()
        axis.grid(axis="y")
        axis.plot(-left, kl, "o", color=GREY, ms=5, alpha=0.8)
        axis.plot(-sizes, [kl[left == size].mean() for size in sizes], "-", color=BLUE, linewidth=2.2)
        if train_mean is not None:
            axis.axhline(train_mean, color=INK, linestyle=(0, (3, 3)), linewidth=1)
            axis.annotate(
                "train mean",
                (-sizes[-1], train_mean),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
        for size in sizes[1:]:
            mine = np.flatnonzero(left == size)
            for q, place in ((mine[kl[mine].argmin()], -10), (mine[kl[mine].argmax()], 5)):
                text = shortened(
                    " + ".join(m for m, here in zip(modalities, subset[q], strict=True) if here), 24
                )
                align = "right" if size == sizes[-1] else "center"
                axis.annotate(
                    text, (-size, kl[q]), xytext=(0, place), textcoords="offset points", ha=align, fontsize=7
                )
        axis.set_xticks(-sizes, [str(size) for size in sizes])
        axis.margins(x=0.12, y=0.15)
        axis.set(xlabel="modalities left", ylabel="KL, mean over windows")
    return figure


def learning_curves(metrics: Sequence[dict[str, float]]) -> Figure:
    """A panel per named loss and metric: a thin line per fold, their mean in bold.

    `metrics` a dict per fold and epoch with the keys fold and epoch.
    """
    names = [name for name in metrics[0] if name not in ("fold", "epoch")]
    folds = sorted({entry["fold"] for entry in metrics})
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    with styled():
        figure = make_figure(2.9 * columns, 2.0 * rows + 0.4)
        axes = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for axis, name in zip(axes, names, strict=False):
            axis.grid(axis="y")
            curves = {
                f: {e["epoch"]: e[name] for e in metrics if e["fold"] == f and e.get(name) is not None}
                for f in folds
            }
            for curve in curves.values():
                axis.plot(list(curve), list(curve.values()), color=SKY, linewidth=0.8)
            epochs = sorted(set.intersection(*(set(curve) for curve in curves.values())))
            axis.plot(
                epochs, [np.mean([c[e] for c in curves.values()]) for e in epochs], color=INK, linewidth=2
            )
            values = np.array([v for curve in curves.values() for v in curve.values()])
            if values.min() > 0 and values.max() > 1000 * values.min():
                axis.set_yscale("log")
                axis.yaxis.set_major_formatter("{x:g}")
                axis.minorticks_off()
            axis.set_title(name.replace("_", " "))
        for axis in axes[len(names) :]:
            axis.set_visible(False)
        for axis in axes[max(0, len(names) - columns) : len(names)]:
            axis.set_xlabel("epoch")
            axis.tick_params(labelbottom=True)
    return figure


def run_comparison(names: Sequence[str], methods: Sequence[Sequence[Method]]) -> Figure:
    """Several runs, one below the other: MPCL and the baselines of each, means with intervals."""
    marks = ("o", "s", "^", "v", "P", "X", "D")
    labels = list(dict.fromkeys(spoken(method) for run in methods for method in run))
    with styled():
        figure = make_figure(7.2, 1.4 + 0.5 * len(names))
        axis = figure.subplots()
        axis.grid(axis="x")
        for row, run in enumerate(methods):
            for place, method in enumerate(run):
                mine = method.name == "MPCL"
                y = row + 0.6 * (place + 0.5) / len(run) - 0.3
                axis.hlines(
                    y,
                    method.low,
                    method.high,
                    color=BLUE if mine else GREY,
                    linewidth=2 if mine else 1,
                    linestyles=ORACLE_LINE if method.oracle else "-",
                )
                mark = marks[labels.index(spoken(method)) % len(marks)]
                axis.plot(
                    [method.mean], [y], mark, color=BLUE if mine else PAPER, mec=BLUE if mine else INK, ms=6
                )
        name_ticks(axis, names, x=False, y=True, most=28)
        axis.invert_yaxis()
        axis.set_xlabel("KL, lower is better")
        handles = [
            Line2D(
                [],
                [],
                ls="",
                marker=marks[i % len(marks)],
                mec=BLUE if n == "MPCL" else INK,
                mfc=BLUE if n == "MPCL" else PAPER,
                label=shortened(n, 28),
            )
            for i, n in enumerate(labels)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
