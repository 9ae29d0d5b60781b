"""All files of a table: the table and its statistics as CSV, a page of Markdown and a LaTeX table."""

import math

import pandas as pd

from mpcl_jax.evaluate import table_text
from mpcl_jax.evaluate.leaderboard import Table
from mpcl_jax.evaluate.number_text import decimal, interval, p_text, shown_name
from mpcl_jax.evaluate.ranking import focus_of, groups_of, rank_methods
from mpcl_jax.evaluate.statistics import (
    BETTER,
    FEWEST,
    LEVEL,
    NOT_SIGNIFICANT,
    WORSE,
    smallest_p,
)

HOW = """\
**Columns.** KL is averaged over windows within a subject. *sd*: over the units of the interval. *sd seeds*, *rest*:
variance components of seeds, and of one seed on one unit. *95 % interval*: BCa bootstrap of the mean over the units,
9,999 resamples, not corrected; too narrow for few units. *p*: sign flips, all 2ⁿ up to n = 13, else 9,999 drawn.
*p Holm*: corrected for all pairs of the compared method. *p skewed*: t statistic under exponential differences with
mean 0, not corrected. *effect*: mean difference / its standard deviation. *superior*: share of units in which the
method is better, ties half. *detectable*: the difference found significant with probability 0.8 without correction.
*verdict*: p Holm and p skewed below 0.05 and the interval on one side of 0. Differences below a millionth of the
values are ties. Oracles are not ranked. See docs/evaluation.md."""


def files_of(table: Table, emotions, *, title: str, command: str, commit: str) -> dict[str, str]:
    """name -> text of all files of a table: CSV, Markdown and LaTeX; `emotions` name the columns of errors."""
    frame = table_text.table_frame(table)
    methods, pairs = rank_methods(table, emotions)
    frames = {"table.csv": frame, "subjects.csv": table_text.subject_frame(table)}
    frames |= {"statistics.csv": methods, "pairs.csv": pairs}
    return {
        "table.md": table_text.to_markdown(table, title=title),
        **{name: table_text.csv_text(x, command=command, commit=commit) for name, x in frames.items()},
        "statistics.md": to_markdown(methods, pairs, title=title, leaky=table.leaky),
        "statistics.tex": to_latex(frame, pairs, title=title),
    }


def to_markdown(methods: pd.DataFrame, pairs: pd.DataFrame, *, title: str, leaky: bool) -> str:
    """Methods by rank, Friedman's test, groups without a difference, one method against all."""
    focus = shown_name(focus_of(list(methods["method"])))
    head = f"## {title}: statistics{f' ({table_text.LEAKY} split)' if leaky else ''}"
    parts = [head, table_text.markdown_of(method_cells(methods)), _tests_text(methods, pairs)]
    parts += [f"{focus} against each method, KL of {focus} minus KL of the other:"]
    parts += [table_text.markdown_of(pair_cells(methods, pairs)), HOW]
    return "\n\n".join([*parts, f"Split {methods['split_sha256'].iloc[0][:12]}."]) + "\n"


def to_latex(frame: pd.DataFrame, pairs: pd.DataFrame, *, title: str) -> str:
    """The short table for a paper, with the corrected p against the focus; `frame`: a `table_frame`."""
    focus = focus_of(list(frame["method"]))
    p = _from_focus(pairs, focus).set_index("b")["p_holm_focus"]
    cells = table_text.cells_of(frame)
    cells["p (Holm)"] = [_p(p[name]) if name in p else "-" for name in frame["method"]]
    caption = f"{title}. {table_text.caption_of(frame)} {table_text.BOLD}"
    test = f"p: test against {shown_name(focus)}, Holm-corrected for {len(p)} comparisons."
    return table_text.latex_of(cells, f"{caption} {test}")


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


def summary(page: str) -> str:
    """The two paragraphs of the page that a terminal shows: Friedman's test, and the groups without a difference."""
    return "\n".join(page.split("\n\n")[2:4])


def _tests_text(methods: pd.DataFrame, pairs: pd.DataFrame) -> str:
    over, p_value = methods["units"].iloc[0], float(pairs["friedman_p"].iloc[0])
    if math.isnan(p_value):
        friedman = "Friedman's test needs three methods and three units."
    else:
        shown = "at least two methods differ" if p_value < LEVEL else NOT_SIGNIFICANT
        friedman = f"Friedman's test of {len(methods)} methods over {over}: p {p_text(p_value)}, {shown}."
    return f"{friedman}\n\n{_groups_text(methods, len(pairs))}"


def _groups_text(methods: pd.DataFrame, pairs: int) -> str:
    over = methods["units"].iloc[0]
    units = int(over.split()[0])
    smallest = smallest_p(units, pairs)
    if units < FEWEST or smallest >= LEVEL:
        return (
            f"With {over} and {pairs} pairs no difference can be significant: no corrected p below "
            f"{decimal(smallest, 3)} is possible. Compare fewer methods or more subjects."
        )
    groups = groups_of(methods)
    if not groups:
        return "All neighbours in rank differ significantly (Holm's correction for all pairs)."
    texts = "; ".join(" · ".join(map(shown_name, names)) for names in groups)
    return f"Neighbours in rank without a significant difference (Holm's correction for all pairs): {texts}."
