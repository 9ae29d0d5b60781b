"""Figures of the memory: co-occurrence maps, a map of the prototypes, drift and usage over training, associations."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpcl_jax.evaluation.number_text import decimal
from mpcl_jax.report.plots import style
from mpcl_jax.report.plots.style import DIVERGING, FAINT, GREY, GROUP_MARKS, INK, PAPER, SKY, VERMILION, WIDTH
from mpcl_jax.report.slots import correlation, lift, off_diagonal
from mpcl_jax.types import GROUPS

FARTHEST = 2.0  # colours end at 4 times and at a quarter of the independent value


def cooccurrence_maps(
    maps: dict[str, np.ndarray],
    emotions: Sequence[str],
    valence: Sequence[str],
    *,
    references: Sequence[str] = (),
    shown: Sequence[int] | None = None,
) -> Figure:
    """Heat maps in two columns: the lift of each pair of emotions, 1 = as often as if they were independent.

    `maps` title -> [C, C] joint shares >= 0, rows and columns of emotions. Titles name the correlation over the pairs
    of different emotions with the maps called `references`. Emotions are ordered by valence group; `shown` holds the
    indices of those that are drawn, None = all.
    """
    order = [c for c in style.by_valence(valence) if shown is None or c in shown]
    count, columns = len(order), min(2, len(maps))
    rows, size = -(-len(maps) // columns), max(1.95, 0.15 * count)
    ticks = [style.shortened(emotions[c]) for c in order]
    with style.styled():
        height = 1.5 + rows * (size + 0.25 + 0.16 * len(references))
        figure = style.make_figure(WIDTH - 2 * 1.95 + size * columns, height, square=True)
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axis, (name, joint) in zip(axes, maps.items(), strict=False):
            values = log_lift(joint)[np.ix_(order, order)]
            look = {"extent": (0, count, 0, count), "low": -FARTHEST, "high": FARTHEST, "colours": DIVERGING}
            image = style.draw_cells(axis, values, **look)
            for place in style.borders(valence, order):
                axis.axhline(place, color=PAPER, linewidth=2)
                axis.axvline(place, color=PAPER, linewidth=2)
            axis.set_aspect("equal")
            axis.set_xticks(np.arange(count) + 0.5, ticks, **style.UPRIGHT)
            axis.set_yticks(np.arange(count) + 0.5, ticks)
            others = {x: correlation(*map(off_diagonal, (joint, maps[x]))) for x in references if x != name}
            fits = [f"r = {decimal(float(r), 2)} with {x.split()[0].lower()}" for x, r in others.items()]
            axis.set_title(name, pad=4 + 10 * len(fits))
            axis.text(0, 1.01, "\n".join(fits), fontsize=8.5, va="bottom", transform=axis.transAxes)
        for axis in axes[len(maps) :]:
            axis.remove()
        axes[0].invert_yaxis()  # shared by all
        look = {"ticks": [-2, -1, 0, 1, 2], "extend": "both", "shrink": 0.8}
        label = "lift: joint frequency / frequency if independent"
        bar = style.add_colour_bar(figure, image, list(axes[: len(maps)]), label, **look)
        bar.ax.set_xticklabels(["¼", "½", "1", "2", "4"])
    return figure


def log_lift(joint: np.ndarray) -> np.ndarray:
    """log₂ of the lift [C, C], within the colours' range; NaN on the diagonal and for emotions that never occur."""
    joint = np.asarray(joint, np.float64)
    values = np.log2(np.maximum(lift(joint), 1e-6)).clip(-FARTHEST, FARTHEST)
    values[(joint.sum(1)[:, None] <= 1e-9) | (joint.sum(0)[None] <= 1e-9)] = np.nan
    np.fill_diagonal(values, np.nan)
    return values


def prototype_map(
    places: np.ndarray,
    usage: np.ndarray,
    emotions: Sequence[str],
    valence: Sequence[str],
    modality_groups: Sequence[str] = GROUPS,
) -> Figure:
    """All prototypes in the plane: a circle and a diamond per slot, joined; their area is the slot's usage.

    `places` [G, C, K, 2] of one or two `modality_groups`, by `prototype_places` · `usage` [C, K] >= 0.
    Marks of the first valence group are filled; names are left and right of the map, ordered as their prototypes.
    """
    share = usage / np.maximum(usage.sum(1, keepdims=True), 1e-12)
    count = len(usage)
    groups = list(dict.fromkeys(valence))
    with style.styled():
        figure = style.make_figure(WIDTH, max(3.8, 0.22 * count + 1.2))
        axis = figure.subplots()
        pairs = np.moveaxis(places, 0, 2).reshape(-1, len(modality_groups), 2)
        axis.add_collection(LineCollection(pairs, colors=GREY, linewidths=0.8, zorder=1))
        marks = []
        for g, name in enumerate(modality_groups):
            colour, marker = GROUP_MARKS[name]
            marks.append(Line2D([], [], ls="", marker=marker, color=colour, label=name))
            for group in groups:
                mine = [c for c in range(count) if valence[c] == group]
                x, y = places[g, mine].reshape(-1, 2).T
                face = colour if group == groups[0] else PAPER
                area = 12 + 130 * share[mine].ravel()
                axis.scatter(x, y, s=area, marker=marker, c=face, edgecolors=colour, linewidths=1.3, zorder=2)
        for group in groups:
            face = GREY if group == groups[0] else PAPER
            marks.append(Line2D([], [], ls="", marker="s", mfc=face, mec=GREY, label=group or "emotion"))
        _side_names(axis, places[:, np.arange(count), usage.argmax(1)].mean(0), emotions)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        figure.legend(handles=marks, loc="outside lower center", ncols=2 if len(marks) > 3 else len(marks))
    return figure


def _side_names(axis, centres: np.ndarray, emotions: Sequence[str]) -> None:
    """Names left and right of the map, evenly spaced, each joined to its place [C, 2]."""
    (left, low), (right, high) = axis.dataLim.min, axis.dataLim.max
    room, order = 0.08 * (right - left), np.argsort(centres[:, 0], kind="stable")
    half = -(-len(order) // 2)
    for chosen, edge, align in ((order[:half], left - room, "right"), (order[half:], right + room, "left")):
        ranked = chosen[np.argsort(centres[chosen, 1], kind="stable")]
        for c, y in zip(ranked, np.linspace(low, high, len(ranked)), strict=True):
            line = {"arrowstyle": "-", "color": FAINT, "lw": 0.7, "shrinkB": 0}
            look = {"ha": align, "va": "center", "fontsize": 8.5, "arrowprops": line, "zorder": 0}
            axis.annotate(style.shortened(emotions[c]), xy=centres[c], xytext=(edge, y), **look)
    margin = 0.65 * (right - left)
    axis.set_xlim(left - room - margin, right + room + margin)
    axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def prototype_places(bank: np.ndarray) -> np.ndarray:
    """Places of one bank or of both together, [G, C, K, 2]: the first two principal components.

    The banks have separate spaces, so the behavioural bank is first rotated onto the physiological one
    (orthogonal Procrustes); the remaining distance is disagreement about the relations between prototypes.
    """
    first, *others = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in bank)
    turned = [first]
    for other in others:
        left, _, right = np.linalg.svd(other.T @ first)
        turned.append(other @ (left @ right))
    together = np.concatenate(turned)
    centred = together - together.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    axes *= np.sign(axes[:, np.abs(axes).argmax(1)].diagonal())[:, None]  # the same sign on every machine
    return (centred @ axes.T).reshape(*bank.shape[:3], 2)


def slot_history(epoch, drift, usage, emotions: Sequence[str], valence: Sequence[str]) -> Figure:
    """How far prototypes move in an epoch (above), and which slots an emotion uses (below).

    `epoch` [E] · `drift` [E, C, K] 1 - cosine to an epoch before · `usage` [E, C, K] share of its emotion's evidence.
    """
    order = style.by_valence(valence)
    count, slots = drift.shape[1:]
    below = max(1.9, 0.045 * count * slots, 0.15 * count)
    with style.styled():
        figure = style.make_figure(WIDTH, 2.3 + below + 0.8)
        upper, lower = figure.subplots(2, 1, height_ratios=[2.3, below + 0.8])
        moved = np.maximum(drift.mean(2), 1e-4)  # [E, C]
        groups, looks = list(dict.fromkeys(valence)), ((SKY, "-"), (VERMILION, "--"))
        look = {group: looks[min(place, 1)] for place, group in enumerate(groups)}
        for c in range(count):
            colour, dash = look[valence[c]]
            upper.plot(epoch, moved[:, c], color=colour, linestyle=dash, linewidth=0.9, alpha=0.8)
        upper.plot(epoch, np.median(moved, 1), color=INK, linewidth=2)
        handles = [Line2D([], [], color=INK, lw=2, label="median")]
        handles += [Line2D([], [], color=look[x][0], ls=look[x][1], label=x or "emotion") for x in groups[:2]]
        beside_title = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.1}
        upper.legend(handles=handles, ncols=3, **beside_title)
        upper.set_yscale("log")
        upper.yaxis.set_major_formatter("{x:g}")
        upper.minorticks_off()
        upper.grid(axis="y")
        upper.set(title="Drift per epoch", xlabel="epoch", ylabel="drift (1 − cosine)")
        share = usage[:, order].reshape(len(epoch), -1).T  # [C · K, E]
        extent = (epoch[0] - 1, epoch[-1], 0, count * slots)
        image = style.draw_cells(lower, share, extent=extent, low=0, high=1)
        for place in range(slots, count * slots, slots):
            lower.axhline(place, color=PAPER, linewidth=1)
        lower.set_yticks(np.arange(count) * slots + slots / 2, [style.shortened(emotions[c]) for c in order])
        lower.invert_yaxis()
        lower.set(title="Usage of each slot (one row per slot)", xlabel="epoch")
        for axis in (upper, lower):
            axis.xaxis.get_major_locator().set_params(integer=True)
        label = "usage: share of the emotion's evidence"
        style.add_colour_bar(figure, image, lower, label, ticks=[0, 0.5, 1])
    return figure


def association_weights(association, modalities: Sequence[str], scales: Sequence[float]) -> Figure:
    """What each modality retrieves of which, and at which scale, in per cent of all that it retrieves.

    `association` [S, M, M] state by stored modality, sums to 1 over scales and stored · `scales` [S] inverse
    temperatures at the start.
    """
    count, panels = len(modalities), len(scales)
    cell = max(0.3, (WIDTH - 1.0) / (count * panels + panels))
    with style.styled():
        figure = style.make_figure(1.0 + cell * (count + 1) * panels, 1.9 + cell * count, square=True)
        axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
        most = max(100 * float(association.max()), 1e-9)
        for axis, scale, shares in zip(axes, scales, 100 * association, strict=True):
            extent = (-0.5, count - 0.5, -0.5, count - 0.5)
            image = style.draw_cells(axis, shares, extent=extent, low=0, high=most)
            for (m, n), value in np.ndenumerate(shares):
                colour = "white" if value < 0.6 * most else "black"
                axis.text(n, m, f"{value:.0f}", ha="center", va="center", fontsize=8.5, color=colour)
            style.name_ticks(axis, modalities, x=True, most=14)
            axis.set_aspect("equal")
            axis.set_title(f"scale {scale:g}\n{shares.sum() / max(count, 1):.0f} % of all")
        axes[0].invert_yaxis()
        axes[0].set_ylabel("retrieving modality")
        axes[panels // 2].set_xlabel("retrieved modality")
        label = "share of what the row's modality retrieves (%)"
        style.add_colour_bar(figure, image, list(axes), label, shrink=0.8)
    return figure
