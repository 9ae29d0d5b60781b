"""How a number stands in tables, pages, pictures and on the terminal; files for programs keep Python's own form."""

import math

MINUS = "\u2212"  # the minus sign, as wide as a plus; matplotlib writes the same at its axes


def decimal(value: float, digits: int = 4, sign: bool = False) -> str:
    """0.0047, −0.0047 or, with `sign`, +0.0047; what rounds to 0 has no sign; "-" for NaN."""
    if math.isnan(value):
        return "-"
    text = f"{abs(value):.{digits}f}"
    mark = "" if float(text) == 0 else MINUS if value < 0 else "+" if sign else ""
    return mark + text
