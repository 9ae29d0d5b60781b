"""A picture of a split: who and what is trained on, chosen on, tested, left out."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mpcl_jax.data.splits.descriptions import in_order
from mpcl_jax.data.splits.manifest import Split
from mpcl_jax.report.plots.style import BLUE, INK, ORANGE, SKY, make_figure, name_ticks, shortened, styled
from mpcl_jax.types import Recordings

PARTS = {"not used": "white", "training": SKY, "validation": ORANGE, "test": BLUE}
MOST_NAMES = 12  # people or clips that are named one by one


def split_grid(recordings: Recordings, split: Split, *, most_folds: int = 3) -> Figure:
    """Subjects × stimuli, one panel for each of the first folds; a field has a stripe for each of its windows.

    Stimuli stand in for trials, so that those of different people lie above one another.
    """
    people, clips = in_order(recordings.subject), in_order(recordings.stimulus)
    row, column, stripes = _places(recordings, people, clips)
    folds = split.folds[:most_folds]
    with styled():
        figure = make_figure(max(4.0, 0.6 + 2.5 * len(folds)), 1.3 + 0.13 * max(8, min(len(people), 28)))
        axes = figure.subplots(1, len(folds), sharey=True, squeeze=False)[0]
        for axis, fold in zip(axes, folds, strict=True):
            part = np.zeros((len(people), len(clips) * stripes), int)
            for number, rows in enumerate((fold.train, fold.validation, fold.test), 1):
                part[row[rows], column[rows]] = number
            colours = ListedColormap(list(PARTS.values()))
            extent = (-0.5, len(clips) - 0.5, len(people) - 0.5, -0.5)
            axis.imshow(
                part, cmap=colours, vmin=0, vmax=3, aspect="auto", interpolation="none", extent=extent
            )
            axis.hlines(np.arange(len(people) + 1) - 0.5, *extent[:2], color="white", linewidth=0.5)
            axis.vlines(np.arange(len(clips) + 1) - 0.5, *extent[2:], color="white", linewidth=1.5)
            axis.set_title(fold.name)
            axis.set_xlabel("trials, each of one clip")
            axis.set(xlim=extent[:2], ylim=extent[2:])
            axis.spines[:].set_visible(False)
            axis.set_xticks([])
        if len(people) <= MOST_NAMES:
            name_ticks(axes[0], people, x=False, y=True)
        else:
            axes[0].set_yticks([])
        axes[0].set_ylabel(f"{len(people)} people")
        handles = [Patch(fc=colour, ec=INK, lw=0.4, label=name) for name, colour in PARTS.items()]
        figure.legend(handles=handles[1:] + handles[:1], loc="outside lower center", ncols=4)
        leaky = " (LEAKY)" if split.leaky else ""
        figure.suptitle(f"{shortened(split.protocol, 40)}{leaky}", x=0.01, ha="left", fontweight="bold")
    return figure


def _places(
    recordings: Recordings, people: list[str], clips: list[str]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Row and column of every window [N], and how many columns a field has."""
    at = [{name: place for place, name in enumerate(names)} for names in (people, clips)]
    row = np.array([at[0][name] for name in recordings.subject.tolist()])
    clip = np.array([at[1][name] for name in recordings.stimulus.tolist()])
    stripe, seen = np.zeros(len(row), int), {}
    for n, field in enumerate(zip(row.tolist(), clip.tolist(), strict=True)):
        stripe[n] = seen.setdefault(field, 0)
        seen[field] += 1
    stripes = int(stripe.max()) + 1
    return row, clip * stripes + stripe, stripes
