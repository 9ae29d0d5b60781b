"""One style for all figures: colours for every kind of colour vision, literal names, colour bars with units."""

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

# A page replaces these three and BLUE by its own colours: no other mark may have the first three colours.
INK, FAINT, PAPER = "#1b1f24", "#c9ced6", "#fefefe"
# The palette of Okabe and Ito; every pair that must be distinguished differs in lightness as well.
BLUE, ORANGE, VERMILION, SKY, GREY = "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#9AA3AF"
GROUP_MARKS = {"physiological": (BLUE, "o"), "behavioural": (ORANGE, "D")}
FONT = "DejaVu Sans"  # comes with matplotlib
ORACLE_LINE = (0, (2, 1.5))  # dashes, of a method that is given the true stimulus
SEQUENTIAL, DIVERGING = "cividis", "RdBu_r"  # amounts from 0; amounts around a neutral value
WIDTH = 5.0  # inches of a figure: its text is still readable on a phone that shows it 340 px wide

_STYLE = {
    "font.family": FONT,
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a $ in the name of a subject or an emotion is text
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.columnspacing": 1.2,
    "svg.fonttype": "none",  # text stays text: the viewer's fonts have every script
    "svg.hashsalt": "mpcl_jax",
}


def styled():
    """The context in which every figure is made and written: Matplotlib's defaults and this style.

    The user's own settings are restored afterwards. The backend does not change: no figure here belongs to pyplot.
    """
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if "backend" not in key}
    return matplotlib.rc_context(defaults | _STYLE)


def make_figure(width: float, height: float, *, square: bool = False) -> Figure:
    """An empty figure, sizes in inches; `square` for panels as high as wide, which need their names beside them."""
    return Figure(figsize=(width, height), layout="compressed" if square else "constrained")


@contextlib.contextmanager
def one_axis(height: float, grid: str) -> Iterator[tuple[Figure, Axes]]:
    """A figure of the usual width with one axis and a `grid` ("x" or "y"), made in this style."""
    with styled():
        figure = make_figure(WIDTH, height)
        axis = figure.subplots()
        axis.grid(axis=grid)
        yield figure, axis


def shortened(name: str, most: int = 18) -> str:
    """A name that fits beside a picture; the middle of a long one is left out.

    `most` counts letters; an ideograph is as wide as two.
    """
    name = " ".join(str(name).split())
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in name)
    most = most * max(len(name), 1) // max(len(name) + wide, 1)
    return name if len(name) <= most else f"{name[: most - 6]}…{name[-5:]}"


def by_valence(valence: Sequence[str]) -> np.ndarray:
    """The order of emotions [C] in which those of one valence group are adjacent, else as they came."""
    groups = list(dict.fromkeys(valence))
    return np.argsort([groups.index(v) for v in valence], kind="stable")


def borders(valence: Sequence[str], order: np.ndarray) -> list[int]:
    """Places between two ordered emotions where another valence group begins."""
    ordered = [valence[c] for c in order]
    return [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1]]


# Ends at its tick, however long the viewer's font makes it.
UPRIGHT = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"}


def draw_cells(axis: Axes, values, *, extent, low: float, high: float, colours=SEQUENTIAL) -> AxesImage:
    """Values [rows, columns] as coloured cells, the first row at the bottom; NaN is grey.

    One small image, whatever the number of cells: a page with a hundred emotions stays small.
    `extent` left, right, bottom, top of the image · `low`, `high` the ends of the colours.
    """
    axis.spines[:].set_visible(False)
    return axis.imshow(
        np.ma.masked_invalid(values),
        cmap=matplotlib.colormaps[colours].with_extremes(bad=FAINT),
        vmin=low,
        vmax=high,
        extent=extent,
        origin="lower",
        aspect="auto",
        interpolation="none",
    )


def add_colour_bar(figure: Figure, image: AxesImage, axes, label: str, **options) -> Colorbar:
    """A horizontal colour bar below `axes`, its meaning and unit in `label`; `options` of `Figure.colorbar`."""
    bar = figure.colorbar(image, ax=axes, location="bottom", aspect=30, **options)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return bar


def name_ticks(axis: Axes, names: Sequence[str], *, x: bool = False, most: int = 18) -> None:
    """One tick per name at 0, 1, … of the y axis, from top to bottom; `x` also on the x axis, upright."""
    names = [shortened(name, most) for name in names]
    axis.set_yticks(range(len(names)), names)
    if x:
        axis.set_xticks(range(len(names)), names, **UPRIGHT)
