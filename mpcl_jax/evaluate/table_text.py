"""A `Table` as Markdown, as CSV and as verdict lines."""

import csv
import io
import math

import numpy as np

from mpcl_jax.config.schema import ORACLES
from mpcl_jax.evaluate.leaderboard import OF_IDS, REFERENCE, Row, Table, Verdict, count_of
from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.evaluate.statistics import FEWEST, LEVEL, NOT_SIGNIFICANT, Comparison, Decision

LEAKY = "LEAKY"
RULE = (
    '"better" and "worse" need all of: (1) Holm-corrected p below .05, over all comparisons of this table except '
    "oracles; (2) p below .05 in the test for skewed differences; (3) an interval on one side of 0; "
    f"(4) at least {FEWEST} units. See docs/evaluation.md."
)
HEADS = {
    "chebyshev": "Chebyshev ↓",
    "clark": "Clark ↓",
    "canberra": "Canberra ↓",
    "kl": "KL ↓",
    "cosine": "cosine ↑",
    "intersection": "intersection ↑",
    "skill": "skill ↑",
}


def to_markdown(table: Table, *, title: str = "Results") -> str:
    """Title, aligned table, caption and verdict lines; readable in a terminal as it is."""
    heads = ["method"]
    for name, head in HEADS.items():
        heads += [head, "95 %"] if name == "kl" else [head]
    cells = [_cells(row, shows_budget(table)) for row in table.rows]
    heads += [*(["tried"] if shows_budget(table) else []), "seeds"]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [f"## {title}{f' ({LEAKY} split)' if table.leaky else ''}", ""]
    for cell in (heads, ruler, *cells):
        first, *others = (text.rjust(width) for text, width in zip(cell, widths, strict=True))
        lines.append("| " + " | ".join([first.strip().ljust(widths[0]), *others]) + " |")
    answers = [f"- {line}" for line in verdict(table).splitlines()]
    return "\n".join([*lines, "", _caption(table), "", RULE, "", *answers]) + "\n"


def to_csv(table: Table, *, command: str, commit: str) -> str:
    """One line per method with all digits; the first line is a comment with `command` and `commit`."""
    heads = ["method", *HEADS, "kl_low", "kl_high", "kl_seed_sd", "seeds"]
    heads += ["tried"] if shows_budget(table) else []
    fixed = {
        "interval_over": table.over,
        "windows": table.windows,
        "subjects": table.subjects,
        "split": LEAKY if table.leaky else "grouped",
        "split_sha256": table.split_sha256,
    }
    lines = [
        [
            row.method,
            *(row.mean[name] for name in HEADS),
            row.low,
            row.high,
            row.spread,
            row.seeds,
            *([row.tried] if shows_budget(table) else []),
            *fixed.values(),
        ]
        for row in table.rows
    ]
    return comment_csv([*heads, *fixed], lines, command, commit)


def to_subject_csv(table: Table, *, command: str, commit: str) -> str:
    """One line per method and subject with the six measures; first line as in `to_csv`."""
    measures = [name for name in HEADS if name != "skill"]
    lines = [
        [row.method, who, *(values[name] for name in measures)]
        for row in table.rows
        for who, values in row.per_subject.items()
    ]
    return comment_csv(["method", "subject", *measures], lines, command, commit)


def verdict(table: Table) -> str:
    """One line per question: which method is better, by how much, or that the difference is not significant."""
    return "\n".join(_answer(question, table) for question in table.verdicts)


def _answer(question: Verdict, table: Table) -> str:
    found, decision = question.comparison, question.decision
    opponent = spoken(question.opponent)
    if question.opponent == REFERENCE:
        opponent = f"the {opponent}{', here the best baseline' * question.best}"
    elif question.best:
        opponent = f"the best baseline, {opponent}"
    few = decision.verdict != NOT_SIGNIFICANT and table.subjects < FEWEST
    words = decision.verdict + f" for the tested {count_of(table.subjects, 'subjects')} only" * few
    numbers = [f"KL {short(found.difference, sign=True)}{interval(found.low, found.high)}"]
    numbers += [f"skill {short(question.skill, 2)}", decision_words(found, decision, table.over)]
    prefix = f"{LEAKY} split: " if table.leaky else ""
    return f"{prefix}{spoken(question.method)} against {opponent}: {words} ({', '.join(numbers)})"


def decision_words(found: Comparison, decision: Decision, over: str) -> str:
    """The corrected p and its units; where nothing is significant also why, and what would have been."""
    text = f"corrected p {equals(decision.corrected)}, n = {over}"
    if decision.verdict != NOT_SIGNIFICANT:
        return text
    if found.n < FEWEST or decision.least >= LEVEL:
        return f"{text}; too few to be significant: the corrected p is at least {p_text(decision.least)}"
    if decision.corrected < LEVEL:
        return f"{text}; the test for skewed differences has p {equals(found.p_skewed)}"
    if found.low > 0 or found.high < 0:
        text += "; the interval excludes 0, but is not corrected"
    return f"{text}; detectable without correction: {short(found.detectable)}"


def p_text(value: float) -> str:
    """.012, "< .001", or "-" for NaN."""
    return "-" if math.isnan(value) else "< .001" if value < 0.001 else short(value, 3)


def equals(value: float) -> str:
    """ "= .012", "< .001"."""
    return p_text(value) if value < 0.001 or math.isnan(value) else f"= {p_text(value)}"


def _caption(table: Table) -> str:
    text = (
        f"Means over windows within subject, then over subjects ({count_of(table.windows, 'windows')}, "
        f"{count_of(table.subjects, 'subjects')}); 95 % interval over {table.over}"
    )
    if table.subjects < FEWEST:
        text += ", which says nothing about other subjects"
    if oracles := [spoken(row.method) for row in table.rows if row.method in ORACLES]:
        text += f". {', '.join(oracles)}: an oracle, given the true stimulus of each window; an upper bound"
    if table.leaky:
        text += (
            f". {LEAKY}: windows of the tested trials were trained on, so these are no results for new data"
        )
    if knowing_nothing := _as_the_train_mean(table):
        text += f". Equal to the train mean here, since no id of theirs was in training: {', '.join(knowing_nothing)}"
    if shows_budget(table):
        text += ". Tried: number of settings compared in each fold, on its training part"
    return f"{text}. Split {table.split_sha256[:12]}."


def _as_the_train_mean(table: Table) -> list[str]:
    """Baselines of ids whose ids say nothing on this split, such as the mean of a person never seen before."""
    reference = next(row for row in table.rows if row.method == REFERENCE)
    of_ids = (row for row in table.rows if row.method in OF_IDS)
    return [spoken(row.method) for row in of_ids if np.allclose(row.per_unit, reference.per_unit, atol=1e-9)]


def shows_budget(table: Table) -> bool:
    """Whether it is known of any method how many settings it chose among."""
    return any(row.tried is not None for row in table.rows)


def _cells(row: Row, budget: bool) -> list[str]:
    cells = [spoken(row.method).replace("|", "\\|")]
    for name in HEADS:
        cells.append(short(row.mean[name], 2 if name == "skill" else 4))
        if name == "kl":
            cells.append(interval(row.low, row.high).strip() or "-")
    if budget:
        cells.append("-" if row.tried is None else str(row.tried))
    return [*cells, str(row.seeds) if row.seeds == 1 else f"{row.seeds} (sd {short(row.spread)})"]


def spoken(method: str) -> str:
    """A method's name for people."""
    return method.replace("_", " ")


def interval(low: float, high: float) -> str:
    """ " [.0047, .0081]"; nothing for NaN."""
    return "" if math.isnan(low) else f" [{short(low)}, {short(high)}]"


def short(value: float, digits: int = 4, sign: bool = False) -> str:
    """`decimal` without a leading zero: .0047, −.0047 or 1.2150; "-" for NaN."""
    text = decimal(value, digits, sign)
    return text if abs(value) >= 1 else text.replace("0.", ".", 1)


def comment_csv(heads: list[str], lines: list[list], command: str, commit: str) -> str:
    """CSV behind a first line that is a comment with `command` and `commit`."""
    out = io.StringIO()
    out.write(f"# {' '.join(command.split())} @ {' '.join(commit.split())}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(lines)
    return out.getvalue()
