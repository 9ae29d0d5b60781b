"""How numbers stand in tables, pages, pictures and on the terminal; CSV files keep all digits."""

import math

# Names of methods in text, where they are not those of the settings with blanks; CSV files keep the latter.
NAMES = {"knn": "kNN", "sa_bfgs": "SA-BFGS", "extra_trees": "ExtraTrees", "mlp": "MLP"}
NAMES |= {"emotion_dict": "EmotionDict", "helo": "HeLo", "helo_sinkhorn": "HeLo (Sinkhorn)"}
MINUS = "\u2212"  # the minus sign, as wide as a plus; matplotlib writes the same at its axes


def decimal(value: float, digits: int = 4, sign: bool = False) -> str:
    """0.0047, −0.0047 or, with `sign`, +0.0047; what rounds to 0 has no sign; "-" for NaN."""
    if math.isnan(value):
        return "-"
    text = f"{abs(value):.{digits}f}"
    mark = "" if float(text) == 0 else MINUS if value < 0 else "+" if sign else ""
    return mark + text


def interval(low: float, high: float, sign: bool = False) -> str:
    """ "[0.0525, 0.0767]"; "-" for NaN."""
    return "-" if math.isnan(low) else f"[{decimal(low, sign=sign)}, {decimal(high, sign=sign)}]"


def p_text(value: float) -> str:
    """ "= 0.012", "< 0.001"; "-" for NaN."""
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"= {decimal(value, 3)}"


def p_cell(value: float) -> str:
    """The same in a table: "0.012", "< 0.001"."""
    return p_text(value).removeprefix("= ")


def count_of(n: int, plural: str) -> str:
    """ "3 trials", "1 trial"."""
    return f"{n} {plural if n != 1 else plural.removesuffix('s')}"


def shown_name(method: str) -> str:
    """The name of a method in text: "sa_bfgs" is "SA-BFGS", "train_mean" is "train mean"; settings keep theirs."""
    return NAMES.get(method, method if "." in method else method.replace("_", " "))
