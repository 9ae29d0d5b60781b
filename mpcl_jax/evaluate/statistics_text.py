"""A `Ranking` in words: a page of Markdown, two CSV files (methods, pairs) and a LaTeX table."""

import math

from mpcl_jax.evaluate.leaderboard import Table
from mpcl_jax.evaluate.ranking import Pair, Ranking, rank_methods
from mpcl_jax.evaluate.statistics import BETTER, FEWEST, LEVEL, NOT_SIGNIFICANT, WORSE
from mpcl_jax.evaluate.table_text import LEAKY, comment_csv, equals, interval, p_text, short, spoken

HOW = """\
**How.** KL is averaged over windows within a subject. *sd*: over {units}. *sd seeds*, *rest*: variance
components of seeds, and of one seed on one of the {units}; seeds never count as more {units}. *95 %*: BCa
bootstrap of the mean, 9,999 resamples of {units}, not corrected; over few of them it is too narrow
(experiments/tables/null_calibration.py), so nothing is called better by it alone. *p*: exchanging the two
methods within {units} (sign flips), all 2ⁿ ways up to n = 13, else 9,999 drawn; exact for equal methods. *Holm*:
*p* corrected for the {few} pairs of {focus}; groups of ranks are corrected for all {many} pairs. *skewed*: p of
the t statistic under exponentially distributed differences with mean 0, whose long tail few {units} miss; not
corrected. *effect*: mean difference / its standard deviation. *superior*: share of {units} in which the first is
better, ties half. *detectable*: the difference found significant with probability .8 without correction, (critical
t + z.8) · standard error, normal approximation. *Verdict*: *Holm* and *skewed* below .05 and the interval on one
side of 0; "not significant" is not "equal". Values that differ by less than a millionth of their size are ties.
Oracles are not ranked."""


def to_markdown(ranking: Ranking, table: Table, *, title: str = "Statistics") -> str:
    """Methods by rank, Friedman's test, who does not differ, one method against all, and how it was computed."""
    lines = [f"## {title}: statistics{f' ({LEAKY} split)' if table.leaky else ''}", ""]
    lines += grid(
        ("method", "KL ↓", "sd", "95 %", "mean rank", "sd seeds", "rest"), _method_cells(ranking, table)
    )
    focus = ranking.focus
    lines += ["", _friedman(ranking), ""]
    lines += [
        *_group_lines(ranking),
        "",
        f"{spoken(focus)} against each, KL of {spoken(focus)} minus KL of the other:",
    ]
    heads = (
        "against",
        "difference",
        "95 %",
        "p",
        "Holm",
        "skewed",
        "effect",
        "superior",
        "detectable",
        "verdict",
    )
    lines += ["", *grid(heads, [_pair_cells(pair) for pair in against(ranking, focus)]), ""]
    units = ranking.over.split(" of ")[0].partition(" ")[2]
    units = units if units.endswith("s") else f"{units}s"
    few, many = len(ranking.methods) - 1, len(ranking.pairs)
    lines += [HOW.format(units=units, few=few, many=many, focus=spoken(focus))]
    lines += ["", f"Split {table.split_sha256[:12]}."]
    return "\n".join(lines) + "\n"


def to_csv(ranking: Ranking, table: Table, emotions, *, command: str, commit: str) -> str:
    """One line per method with all digits: rank, spreads, further measures, the error of each emotion."""
    named = {row.method: row for row in table.rows}
    measures = list(table.rows[0].agreement)
    heads = [
        "method",
        "kl",
        "kl_low",
        "kl_high",
        "mean_rank",
        "groups",
        "sd_units",
        "sd_seeds",
        "sd_rest",
        "seeds",
    ]
    heads += [*measures, *(f"error_{name}" for name in emotions), "units", "split_sha256"]
    lines = []
    for method, rank in zip(ranking.methods, ranking.rank, strict=True):
        row = named[method]
        values = [
            row.mean["kl"],
            row.low,
            row.high,
            rank,
            group_letters(ranking, method),
            *ranking.spread[method],
            row.seeds,
        ]
        further = [*row.agreement.values(), *row.emotion_error.tolist()]
        lines.append([method, *values, *further, ranking.over, table.split_sha256])
    return comment_csv(heads, lines, command, commit)


def files_of(table: Table, emotions, *, title: str, command: str, commit: str) -> dict[str, str]:
    """All of them as name -> text: statistics.md, statistics.csv, pairs.csv, statistics.tex."""
    ranking, made_by = rank_methods(table), {"command": command, "commit": commit}
    return {
        "statistics.md": to_markdown(ranking, table, title=title),
        "statistics.csv": to_csv(ranking, table, emotions, **made_by),
        "pairs.csv": to_pairs_csv(ranking, table, **made_by),
        "statistics.tex": to_latex(ranking, table, title=title),
    }


def summary(text: str) -> str:
    """The lines of `to_markdown` that a terminal shows: Friedman's test, and the groups that do not differ."""
    return "\n".join(text.split("\n\n")[2:4])


def group_letters(ranking: Ranking, method: str) -> str:
    """ "a", "ab": a letter for each group of ranks that a method belongs to; methods without a common one differ."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "".join(letters[i % 26] for i, group in enumerate(ranking.groups) if method in group)


def to_pairs_csv(ranking: Ranking, table: Table, *, command: str, commit: str) -> str:
    """One line per pair of methods, the better rank first, with all digits."""
    heads = [
        "a",
        "b",
        "difference",
        "low",
        "high",
        "p",
        "p_skewed",
        "p_wilcoxon",
        "p_holm_all",
        "p_holm_focus",
    ]
    heads += ["effect", "superiority", "detectable", "verdict_of_a", "friedman_p", "units", "split_sha256"]
    fixed = [ranking.p_value, ranking.over, table.split_sha256]
    lines = []
    for pair in ranking.pairs:
        found = pair.comparison
        tests = [
            found.difference,
            found.low,
            found.high,
            found.p_value,
            found.p_skewed,
            pair.wilcoxon,
            pair.holm,
            pair.holm_focus,
        ]
        size = [pair.effect, pair.superiority, found.detectable, pair.verdict]
        lines.append([pair.a, pair.b, *tests, *size, *fixed])
    return comment_csv(heads, lines, command, commit)


def to_latex(ranking: Ranking, table: Table, *, title: str = "Results") -> str:
    """A table for a paper (needs the package booktabs); the best mean is bold, Holm's p is against the focus."""
    focus = ranking.focus
    best = min(
        (row for row in table.rows if row.method in ranking.methods), key=lambda row: row.mean["kl"]
    ).method
    holm = {pair.b: pair.holm_focus for pair in against(ranking, focus)}
    body = []
    for row in (row for row in table.rows if row.method in ranking.methods):
        number = tex(short(row.mean["kl"]))
        number = f"\\textbf{{{number}}}" if row.method == best else number
        p = "--" if row.method not in holm else tex(p_text(holm[row.method]))
        cells = [tex(spoken(row.method)), number, tex(short(ranking.spread[row.method].units))]
        cells += [tex(interval(row.low, row.high).strip() or "-"), tex(short(row.mean["skill"], 2))]
        cells += [tex(f"{ranking.rank[ranking.methods.index(row.method)]:.1f}"), p]
        body.append(cells)
    leaky = f" {LEAKY}: windows of the tested trials were trained on." if table.leaky else ""
    caption = (
        f"{tex(title)}.{leaky} Mean KL over {tex(table.over)}, standard deviation and "
        f"95\\,\\% BCa interval over them; skill against the train mean; mean rank; $p$ of exchanging with "
        f"{tex(spoken(focus))}, Holm-corrected for {len(ranking.methods) - 1} comparisons. "
        f"Friedman $p$ {tex(equals(ranking.p_value))}."
    )
    head = [
        "Method",
        r"KL $\downarrow$",
        "sd",
        r"95\,\%",
        r"skill $\uparrow$",
        r"rank $\downarrow$",
        "$p$ (Holm)",
    ]
    return booktabs("lrrcrrr", head, body, caption)


def booktabs(columns: str, head: list[str], body: list[list[str]], caption: str) -> str:
    """A LaTeX table of cells that are LaTeX already; `columns` such as "lrr"."""
    rows = ["  " + " & ".join(cells) + r" \\" for cells in (head, *body)]
    lines = [r"\begin{table}", r"  \centering", rf"  \begin{{tabular}}{{{columns}}}", r"  \toprule"]
    lines += [rows[0], r"  \midrule", *rows[1:], r"  \bottomrule", r"  \end{tabular}"]
    return "\n".join([*lines, f"  \\caption{{{caption}}}", r"\end{table}"]) + "\n"


def against(ranking: Ranking, focus: str) -> list[Pair]:
    """The pairs of `focus`, seen from its side, in the order of rank of the others."""
    found = [
        pair if pair.a == focus else _turned(pair) for pair in ranking.pairs if focus in (pair.a, pair.b)
    ]
    return sorted(found, key=lambda pair: ranking.methods.index(pair.b))


def _turned(pair: Pair) -> Pair:
    found = pair.comparison
    opposite = {BETTER: WORSE, WORSE: BETTER, NOT_SIGNIFICANT: NOT_SIGNIFICANT}
    comparison = found._replace(difference=-found.difference, low=-found.high, high=-found.low)
    return pair._replace(
        a=pair.b,
        b=pair.a,
        comparison=comparison,
        effect=-pair.effect,
        superiority=1 - pair.superiority,
        verdict=opposite[pair.verdict],
    )


def _method_cells(ranking: Ranking, table: Table) -> list[list[str]]:
    named = {row.method: row for row in table.rows}
    cells = []
    for method, rank in zip(ranking.methods, ranking.rank, strict=True):
        row, spread = named[method], ranking.spread[method]
        inside = interval(row.low, row.high).strip() or "-"
        spreads = [short(x) for x in (spread.units, spread.seeds, spread.rest)]
        cells.append([spoken(method), short(row.mean["kl"]), spreads[0], inside, f"{rank:.2f}", *spreads[1:]])
    return cells


def _pair_cells(pair: Pair) -> list[str]:
    found = pair.comparison
    return [
        spoken(pair.b),
        short(found.difference, sign=True),
        interval(found.low, found.high).strip() or "-",
        p_text(found.p_value),
        p_text(pair.holm_focus),
        p_text(found.p_skewed),
        short(pair.effect, 2, sign=True) if math.isfinite(pair.effect) else "-",
        short(pair.superiority, 2),
        short(found.detectable),
        pair.verdict,
    ]


def _friedman(ranking: Ranking) -> str:
    if math.isnan(ranking.p_value):
        return "Friedman's test needs three methods and three units."
    shown = (
        "at least two methods differ"
        if ranking.p_value < LEVEL
        else "no significant difference between the methods"
    )
    degrees = len(ranking.methods) - 1
    return (
        f"Friedman: χ² = {ranking.statistic:.2f}, {degrees} degrees of freedom, p {equals(ranking.p_value)} over "
        f"{ranking.over}: {shown}."
    )


def _group_lines(ranking: Ranking) -> list[str]:
    if ranking.units < FEWEST:
        return [f"With {ranking.over} no two methods can differ significantly: fewer than {FEWEST} units."]
    smallest = 2 / 2**ranking.units
    if smallest * len(ranking.pairs) >= LEVEL:
        return [
            f"With {ranking.over} the smallest p is {smallest:.2g}: corrected for {len(ranking.pairs)} pairs, no two "
            "methods can differ significantly. Compare fewer methods, or more subjects."
        ]
    if not ranking.groups:
        return ["Every two neighbours in rank differ significantly (Holm, all pairs)."]
    groups = "; ".join(" · ".join(spoken(name) for name in group) for group in ranking.groups)
    return [f"Neighbours in rank whose differences are not significant (Holm, all pairs): {groups}."]


def grid(heads, rows: list[list[str]]) -> list[str]:
    """A Markdown table, aligned; the first column to the left."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for cells in (heads, ruler, *rows):
        first, *others = (text.rjust(width) for text, width in zip(cells, widths, strict=True))
        lines.append("| " + " | ".join([first.strip().ljust(widths[0]), *others]) + " |")
    return lines


_TEX = {"\\": r"\textbackslash{}", "−": "$-$", "<": "$<$", ">": "$>$", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}"} | {letter: f"\\{letter}" for letter in "&%$#_{}"}


def tex(text: str) -> str:
    """`text` as LaTeX prints it."""
    return "".join(_TEX.get(letter, letter) for letter in text)
