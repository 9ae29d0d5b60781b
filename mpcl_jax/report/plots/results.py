"""Figures of results: distributions, errors, ranks, missing modalities, learning curves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import stdtrit

from mpcl_jax.evaluation.number_text import count_of, shown_name
from mpcl_jax.report.plots import style
from mpcl_jax.report.plots.style import BLUE, FAINT, GREY, INK, ORACLE_LINE, PAPER, WIDTH

CURVES = {
    "loss": "total loss",
    "distribution": "distribution loss (nats)",
    "relation_distillation": "relation distillation (nats)",
    "prototype": "prototype loss (nats)",
    "cooccurrence": "co-occurrence loss (nats)",
    "validation_kl": "validation KL (nats)",
    "gradient_norm": "gradient norm",
    "skipped": "skipped steps (share)",
}


def distribution_bars(samples: dict[str, tuple], emotions: Sequence[str], valence: Sequence[str]) -> Figure:
    """Reported (wide, light) and predicted (narrow, dark) shares in per cent, one panel per sample.

    `samples` title -> reported [C] and predicted [C], both sum to 1.
    """
    order, rows = style.by_valence(valence), np.arange(len(emotions))
    with style.styled():
        figure = style.make_figure(max(WIDTH, 1.1 + 1.2 * len(samples)), 1.3 + 0.2 * len(emotions))
        axes = figure.subplots(1, len(samples), sharey=True, sharex=True, squeeze=False)[0]
        for axis, (title, (reported, predicted)) in zip(axes, samples.items(), strict=True):
            axis.barh(rows, 100 * reported[order], height=0.84, color=FAINT, edgecolor=GREY, linewidth=0.6)
            axis.barh(rows, 100 * predicted[order], height=0.34, color=BLUE)
            _separate_valence(axis, valence, order)
            axis.set(title=title, xlabel="share (%)")
        style.name_ticks(axes[0], [emotions[c] for c in order])
        axes[0].invert_yaxis()
        handles = [Patch(fc=FAINT, ec=GREY, label="reported"), Patch(color=BLUE, label="predicted")]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _separate_valence(axis: Axes, valence: Sequence[str], order: np.ndarray) -> None:
    for place in style.borders(valence, order):
        axis.axhline(place - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))


class EmotionError(NamedTuple):
    """Mean absolute error of each emotion's share, with a 95 % interval over subjects."""

    mean: np.ndarray  # [C]
    low: np.ndarray  # [C] NaN with fewer than 3 subjects
    high: np.ndarray  # [C]
    subjects: int  # number of subjects that were averaged


def emotion_errors(reported, predicted, subject) -> EmotionError:
    """Means over windows within subjects, then over subjects; Student's t for the interval. [P, C], [P, C], [P]."""
    error = np.abs(np.asarray(reported) - predicted)
    of_subjects = np.stack([error[subject == name].mean(0) for name in np.unique(subject)])
    mean, n = of_subjects.mean(0), len(of_subjects)
    half = np.full_like(mean, np.nan)
    if n >= 3:
        half = stdtrit(n - 1, 0.975) * of_subjects.std(0, ddof=1) / np.sqrt(n)
    return EmotionError(mean, mean - half, mean + half, n)


def error_per_emotion(
    model: EmotionError, train_mean: EmotionError | None, emotions: Sequence[str], valence: Sequence[str]
) -> Figure:
    """Dots with intervals for the model, open squares for the train mean."""
    order, rows = style.by_valence(valence), np.arange(len(emotions))
    with style.one_axis(1.3 + 0.21 * len(emotions), "x") as (figure, axis):
        if train_mean is not None:
            hollow = {"mfc": "none", "mec": style.ORANGE, "ms": 6, "label": "train mean"}
            axis.plot(100 * train_mean.mean[order], rows, "s", **hollow)
        axis.hlines(rows, 100 * model.low[order], 100 * model.high[order], color=BLUE, linewidth=1.6)
        known = "" if np.isnan(model.low).all() else ", 95 % interval"  # none is drawn with few subjects
        axis.plot(100 * model.mean[order], rows, "o", color=BLUE, ms=5, label=f"MPCL{known}")
        _separate_valence(axis, valence, order)
        style.name_ticks(axis, [emotions[c] for c in order])
        axis.invert_yaxis()
        axis.set_xlim(left=0)
        count = count_of(model.subjects, "subjects")
        axis.set_xlabel(f"mean absolute error (percentage points), n = {count}")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


class Method(NamedTuple):
    """One row of the dots: a method with the value of each subject."""

    name: str
    subjects: np.ndarray  # [U] KL of each subject
    mean: float
    low: float  # 95 % interval, NaN where there is none
    high: float
    oracle: bool = False  # receives the true stimulus of each window; drawn with dashes


def subject_dots(panels: dict[str, Sequence[Method]]) -> Figure:
    """A panel per title: a dot per subject and method, the mean with its interval on top of them."""
    rng, rows = np.random.default_rng(0), [len(methods) for methods in panels.values()]
    with style.styled():
        height = 0.36 if len(rows) == 1 else 0.24
        figure = style.make_figure(WIDTH, 1.0 + 0.3 * len(rows) + height * sum(rows))
        axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
        for axis, (title, methods) in zip(axes, panels.items(), strict=True):
            axis.grid(axis="x")
            for row, method in enumerate(methods):
                colour = BLUE if method.name == "MPCL" else GREY
                spread = row + 0.22 * (rng.random(len(method.subjects)) - 0.5)
                axis.plot(method.subjects, spread, "o", color=colour, alpha=0.55, ms=4.5, mew=0)
                line = ORACLE_LINE if method.oracle else "-"
                axis.hlines(row, method.low, method.high, color=INK, linewidth=2.2, linestyles=line)
                face = PAPER if method.oracle else colour
                axis.plot([method.mean], [row], "D", color=face, mec=INK, ms=6.5)
            style.name_ticks(axis, [m.name + m.oracle * " (oracle)" for m in methods], most=24)
            axis.invert_yaxis()
            axis.set_title(style.shortened(title, 40))
        axes[-1].set_xlabel("KL (nats), lower is better")
        marks = [
            Line2D([], [], ls="", marker="o", color=GREY, ms=4.5, label="one subject"),
            Line2D([], [], marker="D", color=INK, mfc=GREY, label="mean, 95 % interval"),
        ]
        if any(method.oracle for methods in panels.values() for method in methods):
            hollow = {"marker": "D", "color": INK, "mfc": PAPER, "linestyle": ORACLE_LINE}
            marks.append(Line2D([], [], label="oracle (upper bound)", **hollow))
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def critical_difference(names: Sequence[str], rank, groups: Sequence[Sequence[str]]) -> Figure:
    """Mean ranks, the best at the top; a bar joins neighbours without a significant difference.

    `names` in the order of `rank` (1 = best) · `groups` of names, neighbours in that order.
    """
    names, rank = list(names), np.asarray(rank, float)
    with style.one_axis(1.2 + 0.26 * len(names), "x") as (figure, axis):
        rows = np.arange(len(names))
        axis.hlines(rows, 1, rank, color=FAINT, linewidth=1)
        colour = [BLUE if name == "MPCL" else GREY for name in names]
        axis.scatter(rank, rows, s=44, color=colour, edgecolors=INK, linewidths=0.8, zorder=3)
        for place, group in enumerate(groups):
            ends = [names.index(group[0]), names.index(group[-1])]
            x = len(names) + 0.35 + 0.22 * place
            axis.vlines(x, ends[0] - 0.2, ends[1] + 0.2, color=INK, linewidth=3)
        beside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
        for row, value in enumerate(rank):
            axis.annotate(f"{value:.1f}", (value, row), **beside)
        style.name_ticks(axis, list(map(shown_name, names)), most=24)
        axis.invert_yaxis()
        axis.set_xlim(0.8, len(names) + 0.6 + 0.22 * max(1, len(groups)))
        axis.set_xticks(range(1, len(names) + 1))
        bars = "bar: no significant difference" if groups else "all neighbours differ significantly"
        axis.set_xlabel(f"mean rank by KL (1 is best)\n{bars} (Holm, all pairs)")
    return figure


def missing_modality_curve(
    subset: np.ndarray, kl: np.ndarray, modalities: Sequence[str], *, train_mean: float | None = None
) -> Figure:
    """KL by the number of available modalities: a dot per set of modalities, a line through the mean of each size.

    `subset` [Q, M] bool, the modalities that are left · `kl` [Q] · `train_mean` its KL, if known.
    """
    left = subset.sum(1)
    sizes = np.unique(left)[::-1]
    beside = {"textcoords": "offset points", "fontsize": 8.5}
    with style.one_axis(3.3, "y") as (figure, axis):
        axis.plot(-left, kl, "o", color=GREY, ms=5, alpha=0.8)
        axis.plot(-sizes, [kl[left == size].mean() for size in sizes], "-", color=BLUE, linewidth=2.2)
        if train_mean is not None:
            axis.axhline(train_mean, color=INK, linestyle=(0, (3, 3)), linewidth=1)
            axis.annotate("train mean", (-sizes[0], train_mean), xytext=(0, 3), ha="left", **beside)
        for size in sizes[1:]:
            mine = np.flatnonzero(left == size)
            for q, place in ((mine[kl[mine].argmin()], -12), (mine[kl[mine].argmax()], 6)):
                text = " + ".join(m for m, here in zip(modalities, subset[q], strict=True) if here)
                align = "right" if size == sizes[-1] else "center"
                name = style.shortened(text, 22)
                axis.annotate(name, (-size, kl[q]), xytext=(0, place), ha=align, **beside)
        axis.set_xticks(-sizes, [str(size) for size in sizes])
        axis.margins(x=0.12, y=0.15)
        axis.set(xlabel="number of available modalities", ylabel="KL (nats), mean over windows")
    return figure


class WrittenCurve(NamedTuple):
    """KL of one method by the number of written trials."""

    written: Sequence[float]
    zero_shot: Sequence[float]  # of the same test rows
    kl: Sequence[float]


def written_trials(curves: dict[str, WrittenCurve]) -> Figure:
    """KL by the number of written trials: MPCL without and with its memory, and the other methods with theirs."""
    with style.one_axis(3.3, "y") as (figure, axis):
        axis.xaxis.get_major_locator().set_params(integer=True)
        others = [curve for name, curve in curves.items() if name != "MPCL"]
        for number, curve in enumerate(others):
            label = "other methods with their memory" if number == 0 else None
            axis.plot(curve.written, curve.kl, color=GREY, linewidth=1.2, label=label)
        if own := curves.get("MPCL"):
            dashes = {"linestyle": (0, (3, 2)), "linewidth": 1.4, "label": "MPCL zero-shot"}
            axis.plot(own.written, own.zero_shot, color=BLUE, **dashes)
            axis.plot(own.written, own.kl, "o-", color=BLUE, linewidth=2.2, ms=4, label="MPCL with memory")
        axis.set(xlabel="number of written trials", ylabel="KL (nats), mean over subjects")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def learning_curves(metrics: Sequence[dict[str, float]]) -> Figure:
    """A panel per loss and metric of `CURVES`, then others: a thin line per fold, their mean in bold.

    `metrics` a dict per fold and epoch with the keys fold and epoch. A curve that is 0 throughout is left out.
    """
    found = dict.fromkeys(name for name in (*CURVES, *metrics[0]) if name in metrics[0])
    names = [x for x in found if x not in ("fold", "epoch") and any(entry.get(x) for entry in metrics)]
    folds, rows = sorted({entry["fold"] for entry in metrics}), -(-len(names) // 2)
    with style.styled():
        figure = style.make_figure(WIDTH, 1.6 * rows + 0.4)
        axes = figure.subplots(rows, 2, sharex=True, squeeze=False).ravel()
        for axis, name in zip(axes, names, strict=False):
            known = [entry for entry in metrics if entry.get(name) is not None]
            _fold_curves(axis, {f: {e["epoch"]: e[name] for e in known if e["fold"] == f} for f in folds})
            axis.set_title(CURVES.get(name, name.replace("_", " ")), fontsize=8.5)
        for axis in axes[len(names) :]:
            axis.set_visible(False)
        for axis in axes[max(0, len(names) - 2) : len(names)]:
            axis.set_xlabel("epoch")
            axis.tick_params(labelbottom=True)
    return figure


def _fold_curves(axis: Axes, curves: dict[int, dict[int, float]]) -> None:
    """A thin line per fold, from epoch to value, and their mean over the epochs that all have."""
    axis.grid(axis="y")
    axis.xaxis.get_major_locator().set_params(integer=True)
    for curve in curves.values():
        axis.plot(list(curve), list(curve.values()), color=style.SKY, linewidth=0.8)
    epochs = sorted(set.intersection(*(set(curve) for curve in curves.values())))
    axis.plot(epochs, [np.mean([c[e] for c in curves.values()]) for e in epochs], color=INK, linewidth=2)
    values = np.array([v for curve in curves.values() for v in curve.values()])
    if values.min() > 0 and values.max() > 1000 * values.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
