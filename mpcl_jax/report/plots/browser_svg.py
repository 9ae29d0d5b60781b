"""A figure as SVG inside a page: the browser's fonts draw its text, the page sets its colours.

The font that matplotlib measures with lacks many scripts. Characters that it lacks are measured as stand-ins of about
the width that the browser needs, so that there is room for them.
"""

import codecs
import io
import re
import unicodedata

from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_svg import FigureCanvasSVG, RendererSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from mpcl_jax.report.plots.style import BLUE, FAINT, FONT, INK, PAPER, styled

# What report.css defines; anything else keeps its colour.
OF_PAGE = {
    INK: "currentColor",
    FAINT: "var(--faint)",
    BLUE.lower(): "var(--blue)",
    PAPER: "var(--card)",
    f"'{FONT}'": "var(--picture)",
}
SLACK = 1.03  # of widths: Verdana, where there is no DejaVu Sans, sets wider spaces
FULL, HALF = "\u2014", "n"  # in the measuring font as wide as an ideograph, and as a letter


def to_svg(figure: Figure) -> str:
    """The `<svg>` element, without ids of groups and without comments; text and markup of names stay text."""
    out = io.BytesIO()
    with styled():
        _Canvas(figure)  # the figure writes itself by its canvas
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue().decode()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    return re.sub(r"<[^<>]*>", _for_the_page, svg)


def _for_the_page(tag: re.Match) -> str:
    """A tag with the page's colours and font. Only tags: a name may look like a colour."""
    text = re.sub(r'^<g id="[^"]*"', "<g", tag[0])
    for own, of_page in OF_PAGE.items():
        text = text.replace(own, of_page)
    return text


def measurable(text: str, font: FontProperties) -> str:
    """`text` with a stand-in for every character that `font` lacks; marks above others take no room."""
    has = get_font(findfont(font)).get_char_index

    def stand_in(letter: str) -> str:
        if unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf"):
            return ""
        return FULL if unicodedata.east_asian_width(letter) in "WF" else HALF

    return "".join(x if has(ord(x)) else stand_in(x) for x in text)


class _Renderer(RendererSVG):
    def get_text_width_height_descent(self, s, prop, ismath):
        """Points that the browser will need for `s`, with a little slack."""
        width, height, descent = super().get_text_width_height_descent(measurable(s, prop), prop, ismath)
        return SLACK * width, height, descent


class _Canvas(FigureCanvasSVG):
    def print_svg(self, filename, *, bbox_inches_restore=None, metadata=None, **_):
        """As matplotlib's own, with the renderer above; `filename` is an open binary file."""
        dpi, (width, height) = self.figure.dpi, self.figure.get_size_inches()
        self.figure.dpi = 72  # points
        file = codecs.getwriter("utf-8")(filename)
        own = _Renderer(72 * width, 72 * height, file, image_dpi=dpi, metadata=metadata)
        renderer = MixedModeRenderer(
            self.figure, width, height, dpi, own, bbox_inches_restore=bbox_inches_restore
        )
        self.figure.draw(renderer)
        renderer.finalize()
