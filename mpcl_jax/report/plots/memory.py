"""Pictures of the memory: co-occurrence side by side, a map of the prototypes, drift and usage over training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.report.plots.style import (
    FAINT,
    GREY,
    INK,
    PAPER,
    SIDES,
    SKY,
    UPRIGHT,
    VERMILION,
    borders,
    by_valence,
    draw_cells,
    make_figure,
    name_ticks,
    shortened,
    styled,
)
from mpcl_jax.report.slots import correlation, lift, off_diagonal
from mpcl_jax.types import GROUPS

METHODS = ("pca", "umap")  # of `prototype_places`
FARTHEST = 2.0  # colours end at 4 times and a quarter as often
MANY = 12  # emotions above which maps stand in two columns, so that their names stay legible on a page


def cooccurrence_maps(
    maps: dict[str, np.ndarray],
    emotions: Sequence[str],
    valence: Sequence[str],
    *,
    references: Sequence[str] = (),
    shown: Sequence[int] | None = None,
) -> Figure:
    """Heat maps side by side: how many times as often as if independent two emotions go together.

    `maps` name -> [C, C] joint shares >= 0, rows and columns of emotions. Titles say how well the pairs of different
    emotions correlate with the maps called `references`. Emotions stand ordered by valence; `shown` holds the indices
    of those that are drawn, None = all.
    """
    order = [c for c in by_valence(valence) if shown is None or c in shown]
    count = len(order)
    columns = len(maps) if count <= MANY else min(2, len(maps))
    rows, size = -(-len(maps) // columns), 1.3 + 0.16 * max(count, 9)
    with styled():
        height = rows * (size + 0.5 + 0.16 * len(references)) + 0.6
        figure = make_figure(1.6 + size * columns, height, square=True)
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axis in axes[len(maps) :]:
            axis.remove()
        for axis, (name, joint) in zip(axes, maps.items(), strict=False):
            values = log_lift(joint)[np.ix_(order, order)]
            drawn = draw_cells(axis, values, extent=(0, count, 0, count), low=-FARTHEST, high=FARTHEST)
            for place in borders(valence, order):
                axis.axhline(place, color=PAPER, linewidth=2)
                axis.axvline(place, color=PAPER, linewidth=2)
            axis.set_aspect("equal")
            ticks = [shortened(emotions[c]) for c in order]
            axis.set_xticks(np.arange(count) + 0.5, ticks, fontsize=10, **UPRIGHT)
            axis.set_yticks(np.arange(count) + 0.5, ticks, fontsize=10)
            axis.spines[:].set_visible(False)
            others = [reference for reference in references if reference != name]
            told = [
                f"r = {decimal(map_correlation(joint, maps[x]), 2)} with {x.split(' ')[0]}" for x in others
            ]
            axis.set_title("\n".join([name, *told]), fontsize=12)
        axes[0].invert_yaxis()  # shared by all
        bar = figure.colorbar(
            drawn, ax=list(axes[: len(maps)]), shrink=0.7, pad=0.02, ticks=[-2, -1, 0, 1, 2], extend="both"
        )
        bar.ax.set_yticklabels(["¼", "½", "1", "2", "4"], fontsize=11)
        bar.set_label("times as often as if independent", fontsize=11)
        bar.outline.set_visible(False)
    return figure


def log_lift(joint: np.ndarray) -> np.ndarray:
    """log₂ of the lift [C, C], within the colours' range; NaN on the diagonal and for emotions that never occur."""
    joint = np.asarray(joint, np.float64)
    values = np.log2(np.maximum(lift(joint), 1e-6)).clip(-FARTHEST, FARTHEST)
    values[(joint.sum(1)[:, None] <= 1e-9) | (joint.sum(0)[None] <= 1e-9)] = np.nan
    np.fill_diagonal(values, np.nan)
    return values


def map_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation over the pairs of different emotions of two maps [C, C]."""
    return float(correlation(off_diagonal(np.asarray(a)), off_diagonal(np.asarray(b))))


def prototype_map(
    bank: np.ndarray,
    usage: np.ndarray,
    emotions: Sequence[str],
    valence: Sequence[str],
    *,
    places=None,
    sides: Sequence[str] = GROUPS,
) -> Figure:
    """All prototypes in the plane: a circle and a diamond per slot, joined; their area is the slot's usage.

    `bank` [G, C, K, D] unit rows of the modality groups `sides`, one or two · `usage` [C, K] >= 0 ·
    `places` [G, C, K, 2], None = `prototype_places`. The lightness of a mark is its valence group's; names stand at
    the sides, in the order of their prototypes.
    """
    places = prototype_places(bank) if places is None else places
    share = usage / np.maximum(usage.sum(1, keepdims=True), 1e-12)
    count, slots = usage.shape
    groups = list(dict.fromkeys(valence))
    with styled():
        figure = make_figure(7.6, max(4.8, 0.24 * count + 1.2))
        axis = figure.subplots()
        pairs = np.moveaxis(places, 0, 2).reshape(-1, len(sides), 2)
        axis.add_collection(LineCollection(pairs, colors=GREY, linewidths=0.8, zorder=1))
        for g, side in enumerate(sides):
            colour, marker = SIDES[side]
            for v, group in enumerate(groups):
                mine = np.array([c for c in range(count) if valence[c] == group])
                x, y = places[g, mine].reshape(-1, 2).T
                face = colour if v == 0 else PAPER
                area = 12 + 130 * share[mine].ravel()
                axis.scatter(x, y, s=area, marker=marker, c=face, edgecolors=colour, linewidths=1.3, zorder=2)
        most_used = usage.argmax(1)
        _side_names(axis, places[:, np.arange(count), most_used].mean(0), emotions)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        styles = {side: SIDES[side] for side in sides}
        marks = [Line2D([], [], ls="", marker=m, color=c, label=side) for side, (c, m) in styles.items()]
        for v, group in enumerate(groups):
            face = GREY if v == 0 else PAPER
            marks.append(Line2D([], [], ls="", marker="s", mfc=face, mec=GREY, label=group or "emotion"))
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def _side_names(axis, centres: np.ndarray, emotions: Sequence[str]) -> None:
    """Names left and right of the map, evenly spaced, each joined to its place [C, 2]."""
    low, high = axis.dataLim.intervaly
    left, right = axis.dataLim.intervalx
    room, order = 0.08 * (right - left), np.argsort(centres[:, 0], kind="stable")
    half = -(-len(order) // 2)
    for chosen, edge, align in ((order[:half], left - room, "right"), (order[half:], right + room, "left")):
        ranked = chosen[np.argsort(centres[chosen, 1], kind="stable")]
        for c, y in zip(ranked, np.linspace(low, high, len(ranked)), strict=True):
            axis.annotate(
                shortened(emotions[c]),
                xy=centres[c],
                xytext=(edge, y),
                ha=align,
                va="center",
                fontsize=8,
                arrowprops={"arrowstyle": "-", "color": FAINT, "lw": 0.7, "shrinkB": 0},
                zorder=0,
            )
    margin = 0.35 * (right - left)
    axis.set_xlim(left - room - margin, right + room + margin)
    axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def prototype_places(bank: np.ndarray, method: str = "pca") -> np.ndarray:
    """Places of one bank or of both together, [G, C, K, 2]: principal components, or UMAP by `method = "umap"`.

    The sides live in spaces of their own, so the behavioural bank is first rotated onto the physiological one
    (orthogonal Procrustes); what distance is left is disagreement about how prototypes lie to one another.
    Raises ConfigError for another method, and for UMAP where umap-learn is not installed.
    """
    if method not in METHODS:
        raise ConfigError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    first, *others = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in bank)
    turned = [first]
    for other in others:
        left, _, right = np.linalg.svd(other.T @ first)
        turned.append(other @ (left @ right))
    together = np.concatenate(turned)
    places = _principal_components(together) if method == "pca" else _umap(together)
    return places.reshape(*bank.shape[:3], 2)


def _principal_components(both: np.ndarray) -> np.ndarray:
    both = both - both.mean(0)
    _, _, axes = np.linalg.svd(both, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(1)].diagonal())[:, None]
    return both @ axes.T


def _umap(both: np.ndarray) -> np.ndarray:
    try:
        import umap  # an extra that takes seconds to import: only for those who ask for it
    except ImportError:
        raise ConfigError("method = 'umap': needs `pip install mpcl-jax[umap]`") from None
    neighbours = min(15, len(both) - 1)
    # One job, so that the seed decides; of few points the spectral start is not defined.
    drawn = umap.UMAP(n_neighbors=neighbours, metric="cosine", init="pca", random_state=0, n_jobs=1)
    return np.asarray(drawn.fit_transform(both), np.float64)


def slot_history(epoch, drift, usage, emotions: Sequence[str], valence: Sequence[str]) -> Figure:
    """How far prototypes move in an epoch, and which slots an emotion uses.

    `epoch` [E] · `drift` [E, C, K] 1 - cosine to an epoch before · `usage` [E, C, K] share of its emotion's evidence.
    """
    order = by_valence(valence)
    count, slots = drift.shape[1:]
    with styled():
        figure = make_figure(8.4, max(3.4, 0.06 * count * slots + 1.4))
        left, right = figure.subplots(1, 2)
        moved = np.maximum(drift.mean(2), 1e-5)  # [E, C]
        groups = list(dict.fromkeys(valence))
        for c in range(count):
            colour, dash = ((SKY, "-"), (VERMILION, (0, (4, 2))))[min(groups.index(valence[c]), 1)]
            left.plot(epoch, moved[:, c], color=colour, linestyle=dash, linewidth=0.9, alpha=0.8)
        left.plot(epoch, np.median(moved, 1), color=INK, linewidth=2)
        handles = [Line2D([], [], color=INK, lw=2, label="median")]
        for group, colour, dash in zip(groups[:2], (SKY, VERMILION), ("-", (0, (4, 2))), strict=False):
            handles.append(Line2D([], [], color=colour, linestyle=dash, label=group or "emotion"))
        left.legend(handles=handles)
        left.set_yscale("log")
        left.yaxis.set_major_formatter("{x:g}")
        left.minorticks_off()
        left.grid(axis="y")
        left.set(title="drift of the prototypes", xlabel="epoch", ylabel="1 − cosine to the epoch before")
        share = usage[:, order].reshape(len(epoch), -1).T  # [C · K, E]
        extent = (epoch[0] - 1, epoch[-1], 0, count * slots)
        drawn = draw_cells(right, share, extent=extent, low=0, high=1)
        for place in range(slots, count * slots, slots):
            right.axhline(place, color=PAPER, linewidth=1)
        right.set_yticks(np.arange(count) * slots + slots / 2, [shortened(emotions[c]) for c in order])
        right.invert_yaxis()
        right.spines[:].set_visible(False)
        right.set(title="usage of the slots", xlabel="epoch")
        bar = figure.colorbar(drawn, ax=right, ticks=[0, 0.5, 1])
        bar.set_label("share of its emotion's evidence")
        bar.outline.set_visible(False)
    return figure


def association_weights(
    association: np.ndarray, modalities: Sequence[str], scales: Sequence[float]
) -> Figure:
    """What each modality recalls of which, and at which scale, in per cent of all that it recalls.

    `association` [S, M, M] state by stored modality, sums to 1 over scales and stored · `scales` [S] inverse
    temperatures at the start.
    """
    count = len(modalities)
    with styled():
        figure = make_figure(2.0 + (0.6 + 0.48 * count) * len(scales), 2.3 + 0.5 * count, square=True)
        axes = figure.subplots(1, len(scales), sharey=True, squeeze=False)[0]
        most = max(float(association.max()), 1e-9)
        for axis, scale, shares in zip(axes, scales, association, strict=True):
            extent = (-0.5, count - 0.5, -0.5, count - 0.5)
            draw_cells(axis, shares, extent=extent, low=0, high=most)
            for m, n in np.ndindex(shares.shape):
                dark = shares[m, n] < 0.6 * most
                axis.text(
                    n,
                    m,
                    f"{100 * shares[m, n]:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
            name_ticks(axis, modalities, x=True, y=True, most=14)
            axis.set_aspect("equal")
            axis.set_title(f"scale {scale:g}\n{100 * shares.sum() / max(len(shares), 1):.0f} %")
            axis.set_xlabel("recalled")
            axis.spines[:].set_visible(False)
        axes[0].invert_yaxis()
        axes[0].set_ylabel("by")
    return figure
