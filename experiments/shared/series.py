"""Several tables of the same methods, one a case (a subset of modalities, a number of subjects): their files."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from experiments.shared import render
from experiments.shared import table_command as command
from experiments.shared.compared import Difference, frame_of
from mpcl_jax.evaluation.leaderboard import METHOD, Row, Table
from mpcl_jax.evaluation.ranking import compare_with_focus
from mpcl_jax.evaluation.table_text import opponents_of, table_frame
from mpcl_jax.report.plots.style import Figure


class Case(NamedTuple):
    """One table of a series."""

    name: str  # "eda + face", "8 subjects"
    table: Table


def frame_of_cases(cases: Sequence[Case], head: str) -> pd.DataFrame:
    """A row per case and method with all digits; `head` names the column of the case."""
    columns = ["method", "kl", "kl_low", "kl_high", "kl_seed_sd", "skill", "seeds", "chebyshev", "cosine"]
    columns += ["interval_over", "split_sha256"]
    frames = [table_frame(case.table)[columns] for case in cases]
    names = [case.name for case, frame in zip(cases, frames, strict=True) for _ in range(len(frame))]
    whole = pd.concat(frames, ignore_index=True)
    whole.insert(0, head, names)
    return whole


def write(
    args: command.Options,
    cases: Sequence[Case],
    head: str,
    title: str,
    found: Sequence[Difference],
    figure: Figure,
) -> None:
    """Writes NAME.csv, NAME_differences.csv and NAME.png and prints the table and the differences."""
    frame = frame_of_cases(cases, head)
    command.write_files(args, {"": frame, "_differences": frame_of(found)}, {"": figure})
    lines = "\n".join(x.line() for x in found)
    print(f"\n## {title}\n\n{render.markdown_of(frame)}\n\n{lines}")


def differences_of(case: Case, others: Iterable[str] = ()) -> list[Difference]:
    """MPCL against the train mean and the best baseline, and each of `others` against MPCL."""
    outcomes, over = compare_with_focus(case.table), case.table.over
    opponents = opponents_of(table_frame(case.table))
    found = [Difference(METHOD, outcomes[name].turned(), over, name, case.name) for name in opponents]
    return found + [
        Difference(name, outcomes[name], over, METHOD, case.name) for name in others if name in outcomes
    ]


def methods_of(cases: Sequence[Case]) -> dict[str, list[Row]]:
    """The rows of each method, case by case."""
    names = [row.method for row in cases[0].table.rows]
    return {name: [next(r for r in case.table.rows if r.method == name) for case in cases] for name in names}
