"""Several tables of the same methods, one a case (a set of modalities, a number of people): their files."""

from typing import NamedTuple

from experiments.shared import table_command as command
from mpcl_jax.config.schema import ORACLES
from mpcl_jax.evaluate import table_text
from mpcl_jax.evaluate.leaderboard import Row, Table
from mpcl_jax.evaluate.statistics_text import booktabs, grid, tex
from mpcl_jax.evaluate.table_text import comment_csv, interval, short, spoken


class Case(NamedTuple):
    """One table of a series."""

    name: str  # "eda + face", "8 subjects"
    table: Table


def to_csv(cases: list[Case], head: str, args: command.Options) -> str:
    """A line per case and method with all digits; `head`: what a case is."""
    heads = [head, "method", "kl", "kl_low", "kl_high", "kl_seed_sd", "skill", "seeds", "chebyshev", "cosine"]
    lines = [
        [
            case.name,
            row.method,
            row.mean["kl"],
            row.low,
            row.high,
            row.spread,
            row.mean["skill"],
            row.seeds,
            row.mean["chebyshev"],
            row.mean["cosine"],
            case.table.over,
            case.table.split_sha256,
        ]
        for case in cases
        for row in case.table.rows
    ]
    return comment_csv([*heads, "interval_over", "split_sha256"], lines, **command.made_by(args))


def to_markdown(cases: list[Case], head: str, title: str, verdicts: list[str]) -> str:
    """A line per case, a column per method: KL with its interval; then the verdict lines."""
    methods = [row.method for row in cases[0].table.rows]
    cells = [[case.name, *(_cell(row) for row in case.table.rows)] for case in cases]
    over = cases[0].table.over
    leaky = (
        f" {table_text.LEAKY}: windows of the tested trials were trained on." if cases[0].table.leaky else ""
    )
    lines = [f"## {title}", "", *grid([head, *map(spoken, methods)], cells), ""]
    lines += [f"KL ↓, means over windows within subject, then over subjects; 95 % over {over}.{leaky}", ""]
    return "\n".join([*lines, *verdicts]) + "\n"


def to_latex(cases: list[Case], head: str, title: str) -> str:
    """The same for a paper (needs the package booktabs); the lowest mean of each line is bold."""
    methods = [row.method for row in cases[0].table.rows]
    body = []
    for case in cases:
        fair = [row for row in case.table.rows if row.method not in ORACLES]
        best = min(fair, key=lambda row: row.mean["kl"]).method
        numbers = [tex(short(row.mean["kl"])) for row in case.table.rows]
        bold = [
            f"\\textbf{{{x}}}" if row.method == best else x
            for x, row in zip(numbers, case.table.rows, strict=True)
        ]
        body.append([tex(case.name), *bold])
    caption = f"{tex(title)}. Mean KL over {tex(cases[0].table.over)}."
    return booktabs("l" + "r" * len(methods), [tex(x) for x in (head, *map(spoken, methods))], body, caption)


def _cell(row: Row) -> str:
    return f"{short(row.mean['kl'])}{interval(row.low, row.high)}"


def write(
    args: command.Options, cases: list[Case], head: str, title: str, verdicts: list[str], figure
) -> None:
    """Writes NAME.csv, .md, .tex and .png and prints the Markdown."""
    markdown, by = to_markdown(cases, head, title, verdicts), command.made_by(args)
    texts = {
        ".csv": to_csv(cases, head, args),
        ".md": f"{markdown}\n`{by['command']}` at {by['commit']}\n",
        ".tex": f"% {by['command']} @ {by['commit']}\n{to_latex(cases, head, title)}",
    }
    command.write_files(args, texts, {"": figure})
    print(f"\n{markdown}")


def verdicts_of(case: Case) -> list[str]:
    """The verdict lines of one table, each with the name of its case."""
    return [f"- {case.name}: {line}" for line in table_text.verdict(case.table).splitlines()]


def methods_of(cases: list[Case]) -> dict[str, list[Row]]:
    """The rows of each method, case by case."""
    names = [row.method for row in cases[0].table.rows]
    return {name: [next(r for r in case.table.rows if r.method == name) for case in cases] for name in names}
