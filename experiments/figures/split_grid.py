"""The figure of a split: which subjects and stimuli are in training, validation and test, and which are not used."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mpcl_jax.data.splits.descriptions import in_order
from mpcl_jax.data.splits.manifest import Split
from mpcl_jax.report.plots.style import BLUE, INK, ORANGE, SKY, make_figure, name_ticks, shortened, styled
from mpcl_jax.types import Recordings

PARTS = {"not used": "white", "training": SKY, "validation": ORANGE, "test": BLUE, "written": INK}
MOST_NAMES = 12  # subjects that are named one by one


def split_grid(recordings: Recordings, split: Split, *, most_folds: int = 3) -> Figure:
    """Subjects × stimuli, one panel for each of the first folds; a cell has a stripe for each of its windows.

    A column is one stimulus, so that the trials of different subjects with the same stimulus are aligned.
    """
    subjects, stimuli = in_order(recordings.subject), in_order(recordings.stimulus)
    row, column, stripes = _places(recordings, subjects, stimuli)
    folds = split.folds[:most_folds]
    with styled():
        figure = make_figure(max(4.0, 0.6 + 2.5 * len(folds)), 1.3 + 0.13 * max(8, min(len(subjects), 28)))
        axes = figure.subplots(1, len(folds), sharey=True, squeeze=False)[0]
        for axis, fold in zip(axes, folds, strict=True):
            part = np.zeros((len(subjects), len(stimuli) * stripes), int)
            for number, rows in enumerate((fold.train, fold.validation, fold.test, fold.written), 1):
                part[row[rows], column[rows]] = number
            extent = (-0.5, len(stimuli) - 0.5, len(subjects) - 0.5, -0.5)
            look = {"cmap": ListedColormap(list(PARTS.values())), "vmin": 0, "vmax": 4, "aspect": "auto"}
            axis.imshow(part, interpolation="none", extent=extent, **look)
            axis.hlines(np.arange(len(subjects) + 1) - 0.5, *extent[:2], color="white", linewidth=0.5)
            axis.vlines(np.arange(len(stimuli) + 1) - 0.5, *extent[2:], color="white", linewidth=1.5)
            axis.set(xlim=extent[:2], ylim=extent[2:], title=fold.name, xlabel="stimulus (one trial each)")
            axis.spines[:].set_visible(False)
            axis.set_xticks([])
        axes[0].set_yticks([])
        if len(subjects) <= MOST_NAMES:
            name_ticks(axes[0], subjects)
        axes[0].set_ylabel(f"{len(subjects)} subjects")
        handles = [Patch(fc=colour, ec=INK, lw=0.4, label=name) for name, colour in PARTS.items()]
        handles = handles if any(len(fold.written) for fold in folds) else handles[:4]
        figure.legend(handles=handles[1:] + handles[:1], loc="outside lower center", ncols=5)
        leaky = " (LEAKY)" if split.leaky else ""
        figure.suptitle(f"{shortened(split.protocol, 40)}{leaky}", x=0.01, ha="left", fontweight="bold")
    return figure


def _places(
    recordings: Recordings, subjects: list[str], stimuli: list[str]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Row and column of every window [N], and the number of columns of a cell."""
    row = np.array([subjects.index(name) for name in recordings.subject.tolist()])
    stimulus = np.array([stimuli.index(name) for name in recordings.stimulus.tolist()])
    stripe, seen = np.zeros(len(row), int), {}
    for n, cell in enumerate(zip(row.tolist(), stimulus.tolist(), strict=True)):
        stripe[n] = seen.setdefault(cell, 0)
        seen[cell] += 1
    stripes = int(stripe.max()) + 1
    return row, stimulus * stripes + stripe, stripes
