"""Statistics of a table as text cells, and LaTeX: rendered on demand from CSV files."""

import math
import re

import pandas as pd

from mpcl_jax.evaluation.number_text import decimal, interval, p_text, shown_name
from mpcl_jax.evaluation.ranking import focus_of
from mpcl_jax.evaluation.statistics import BETTER, WORSE
from mpcl_jax.evaluation.table_text import NUMBER

_TEX = {
    "\\": r"\textbackslash{}",
    "−": "$-$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "~": r"\textasciitilde{}",
}
_TEX |= {"<": "$<$", ">": "$>$", "^": r"\textasciicircum{}"} | {letter: f"\\{letter}" for letter in "&%$#_{}"}


def method_cells(methods: pd.DataFrame) -> pd.DataFrame:
    """The methods of a `Ranking` as text, by rank."""

    def numbers(column: str, digits: int = 4) -> list[str]:
        return [decimal(x, digits) for x in methods[column].astype(float)]

    return pd.DataFrame(
        {
            "method": methods["method"].map(shown_name),
            "KL ↓": numbers("kl"),
            "sd": numbers("sd_units"),
            "95 % interval": list(map(interval, methods["kl_low"], methods["kl_high"])),
            "mean rank ↓": numbers("mean_rank", 2),
            "sd seeds": numbers("sd_seeds"),
            "rest": numbers("sd_rest"),
        }
    )


def pair_cells(methods: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of the focus as text, in the order of rank of the others.

    Shipped tables that were made before the present rule lack `p_skewed`; their verdicts are left out.
    """
    order = list(methods["method"])
    own = _from_focus(pairs, focus_of(order))
    own = own.assign(rank=own["b"].map(order.index)).sort_values("rank")
    cells = {
        "against": own["b"].map(shown_name),
        "difference": [decimal(x, sign=True) for x in own["difference"]],
        "95 % interval": list(map(interval, own["low"], own["high"])),
        "p Holm": own["p_holm_focus"].map(_p),
        "effect": [decimal(x, 2, sign=True) if math.isfinite(x) else "-" for x in own["effect"]],
        "superior": [decimal(x, 2) for x in own["superiority"]],
        "detectable": own["detectable"].map(decimal),
    }
    if "p_skewed" in own:
        cells |= {"p": own["p"].map(_p), "p skewed": own["p_skewed"].map(_p), "verdict": own["verdict_of_a"]}
    return pd.DataFrame(cells)


def _from_focus(pairs: pd.DataFrame, focus: str) -> pd.DataFrame:
    """The pairs of `focus`, which is `a` in all of them."""
    others = pairs[pairs["b"] == focus]
    turned = others.rename(columns={"a": "b", "b": "a", "low": "high", "high": "low"})
    turned[["difference", "low", "high", "effect"]] *= -1
    turned["superiority"] = 1 - turned["superiority"]
    turned["verdict_of_a"] = turned["verdict_of_a"].replace({BETTER: WORSE, WORSE: BETTER})
    return pd.concat([pairs[pairs["a"] == focus], turned])


def _p(value: float) -> str:
    return p_text(value).removeprefix("= ")


def latex_of(cells: pd.DataFrame, caption: str) -> str:
    """The same for a paper; needs the LaTeX package booktabs."""

    def tex(text) -> str:
        escaped = str(text).translate(str.maketrans(_TEX))
        return re.sub(r"^\*\*(.*)\*\*$", r"\\textbf{\1}", escaped)

    columns = "".join("r" if cells[name].astype(str).str.match(NUMBER).all() else "l" for name in cells)
    escaped = cells.map(tex).rename(columns=tex)
    return escaped.to_latex(index=False, escape=False, column_format=columns, caption=tex(caption))
