"""All files of a table: one page of text, and CSV of the table, its subjects and its statistics."""

import math

import pandas as pd

from mpcl_jax.evaluation import table_text
from mpcl_jax.evaluation.leaderboard import Table
from mpcl_jax.evaluation.number_text import decimal, interval, p_cell, p_text, shown_name
from mpcl_jax.evaluation.ranking import focus_of, groups_of, rank_methods
from mpcl_jax.evaluation.statistics import BETTER, FEWEST, LEVEL, NOT_SIGNIFICANT, WORSE, smallest_p


def files_of(table: Table, emotions, *, title: str, command: str, commit: str) -> dict[str, str]:
    """name -> text of all files of a table; `emotions` name the columns of errors."""
    methods, pairs = rank_methods(table, emotions)
    frames = {"table.csv": table_text.table_frame(table), "subjects.csv": table_text.subject_frame(table)}
    frames |= {"statistics.csv": methods, "pairs.csv": pairs}
    page = f"{table_text.to_markdown(table, title=title)}\n{tests_text(methods, pairs)}\n"
    texts = {name: table_text.csv_text(x, command=command, commit=commit) for name, x in frames.items()}
    return {"table.md": page} | texts


def tests_text(methods: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Friedman's test, and the groups of methods without a significant difference."""
    over, p_value = methods["units"].iloc[0], float(pairs["friedman_p"].iloc[0])
    if math.isnan(p_value):
        friedman = "Friedman's test needs three methods and three units."
    else:
        shown = "at least two methods differ" if p_value < LEVEL else NOT_SIGNIFICANT
        friedman = f"Friedman's test of {len(methods)} methods over {over}: p {p_text(p_value)}, {shown}."
    return f"{friedman}\n{_groups_text(methods, len(pairs))}"


def _groups_text(methods: pd.DataFrame, pairs: int) -> str:
    over = methods["units"].iloc[0]
    units = int(over.split()[0])
    smallest = smallest_p(units, pairs)
    if units < FEWEST or smallest >= LEVEL:
        least = f"no corrected p below {decimal(smallest, 3)} is possible"
        return f"With {over} and {pairs} pairs no difference can be significant: {least}."
    groups = groups_of(methods)
    if not groups:
        return "All neighbours in rank differ significantly (Holm's correction for all pairs)."
    texts = "; ".join(" · ".join(map(shown_name, names)) for names in groups)
    return f"Neighbours in rank without a significant difference (Holm's correction for all pairs): {texts}."


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
        "p Holm": own["p_holm_focus"].map(p_cell),
        "effect": [decimal(x, 2, sign=True) if math.isfinite(x) else "-" for x in own["effect"]],
        "superior": [decimal(x, 2) for x in own["superiority"]],
        "detectable": own["detectable"].map(decimal),
    }
    if "p_skewed" in own:
        cells |= {
            "p": own["p"].map(p_cell),
            "p skewed": own["p_skewed"].map(p_cell),
            "verdict": own["verdict_of_a"],
        }
    return pd.DataFrame(cells)


def _from_focus(pairs: pd.DataFrame, focus: str) -> pd.DataFrame:
    """The pairs of `focus`, which is `a` in all of them."""
    others = pairs[pairs["b"] == focus]
    turned = others.rename(columns={"a": "b", "b": "a", "low": "high", "high": "low"})
    turned[["difference", "low", "high", "effect"]] *= -1
    turned["superiority"] = 1 - turned["superiority"]
    turned["verdict_of_a"] = turned["verdict_of_a"].replace({BETTER: WORSE, WORSE: BETTER})
    return pd.concat([pairs[pairs["a"] == focus], turned])
