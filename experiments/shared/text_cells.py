"""Statistics of a table as text cells, and LaTeX: rendered on demand from CSV files."""

import re

import pandas as pd

from mpcl_jax.evaluation.number_text import decimal, interval, shown_name
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


def latex_of(cells: pd.DataFrame, caption: str) -> str:
    """The same for a paper; needs the LaTeX package booktabs."""

    def tex(text) -> str:
        escaped = str(text).translate(str.maketrans(_TEX))
        return re.sub(r"^\*\*(.*)\*\*$", r"\\textbf{\1}", escaped)

    columns = "".join("r" if cells[name].astype(str).str.match(NUMBER).all() else "l" for name in cells)
    escaped = cells.map(tex).rename(columns=tex)
    return escaped.to_latex(index=False, escape=False, column_format=columns, caption=tex(caption))
