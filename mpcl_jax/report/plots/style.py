"""One look for all pictures: colours that the colour-blind and a grey printer tell apart, names taken literally."""

import unicodedata
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

# Two inks, the paper, and BLUE, that a page replaces by its own; no figure uses the first three for anything else.
INK, FAINT, PAPER = "#1b1f24", "#c9ced6", "#fefefe"
# Okabe and Ito's palette; every pair that must be told apart differs in lightness as well.
BLUE, ORANGE, VERMILION, SKY, GREY = "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#9AA3AF"
SIDES = {"physiological": (BLUE, "o"), "behavioural": (ORANGE, "D")}
FONT = "DejaVu Sans"  # comes with matplotlib
ORACLE_LINE = (0, (2, 1.5))  # dashes, of a method that is given the true stimulus
MAP = "cividis"  # lightness grows with the value, for every kind of colour vision

_STYLE = {
    "font.family": FONT,
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,  # the minus sign of `number_text`
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # names of people and emotions are text, whatever signs they hold
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "svg.fonttype": "none",  # text stays text: the viewer's fonts have every script
    "svg.hashsalt": "mpcl_jax",
    "figure.dpi": 110.0,
}


def styled():
    """The context in which every figure is made and written: Matplotlib's defaults and this look, nothing of a user.

    Behind it the user's own settings are back. The backend is left alone: no figure here belongs to pyplot.
    """
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if "backend" not in key}
    return matplotlib.rc_context(defaults | _STYLE)


def make_figure(width: float, height: float, *, square: bool = False) -> Figure:
    """An empty figure, sizes in inches; `square` for panels as high as wide, whose names else get no room."""
    return Figure(figsize=(width, height), layout="compressed" if square else "constrained")


def shortened(name: str, most: int = 18) -> str:
    """A name that fits beside a picture; the middle of a long one is left out.

    `most` counts letters; an ideograph is as wide as two.
    """
    name = " ".join(str(name).split())
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in name)
    most = most * max(len(name), 1) // max(len(name) + wide, 1)
    return name if len(name) <= most else f"{name[: most - 6]}…{name[-5:]}"


def by_valence(valence: Sequence[str]) -> np.ndarray:
    """The order of emotions [C] in which those of one valence stand together, else as they came."""
    groups = list(dict.fromkeys(valence))
    return np.argsort([groups.index(v) for v in valence], kind="stable")


def borders(valence: Sequence[str], order: np.ndarray) -> list[int]:
    """Places between two ordered emotions where another valence begins."""
    ordered = [valence[c] for c in order]
    return [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1]]


# Ends at its tick, however long the viewer's font makes it.
UPRIGHT = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"}


def draw_cells(axis: Axes, values, *, extent, low: float, high: float) -> AxesImage:
    """Values [rows, columns] as coloured fields, the first row at the bottom; NaN is left empty.

    One small image, whatever the number of fields: a page with a hundred emotions stays small.
    `extent` left, right, bottom, top of the image · `low`, `high` the ends of the colours.
    """
    return axis.imshow(
        np.ma.masked_invalid(values),
        cmap=MAP,
        vmin=low,
        vmax=high,
        extent=extent,
        origin="lower",
        aspect="auto",
        interpolation="none",
    )


def name_ticks(axis: Axes, names: Sequence[str], *, x: bool, y: bool, most: int = 18) -> None:
    """One tick per name at 0, 1, …; those of x stand upright."""
    names = [shortened(name, most) for name in names]
    if x:
        axis.set_xticks(range(len(names)), names, **UPRIGHT)
    if y:
        axis.set_yticks(range(len(names)), names)
