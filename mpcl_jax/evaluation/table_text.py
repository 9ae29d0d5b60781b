"""A `Table` as DataFrame, CSV, Markdown, and its verdict lines.

Text is made from the DataFrame of the CSV file, so that a CSV file alone gives the same text again.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mpcl_jax.config.schema import BASELINES, ORACLES
from mpcl_jax.evaluation.leaderboard import CONSTANTS, METHOD, OF_IDS, REFERENCE, Table
from mpcl_jax.evaluation.number_text import count_of, decimal, interval, p_text, shown_name
from mpcl_jax.evaluation.ranking import compare_with_focus, focus_of
from mpcl_jax.evaluation.statistics import FEWEST, LEVEL, NOT_SIGNIFICANT, Comparison, smallest_p
from mpcl_jax.metrics import HIGHER_IS_BETTER

LEAKY = "LEAKY"
RULE = (
    f'"better" and "worse" require all of: (1) p below {LEVEL} after Holm\'s correction for all comparisons of this '
    f"table, oracles excluded; (2) p below {LEVEL} in the test for skewed differences; (3) an interval on one side "
    f'of 0; (4) at least {FEWEST} units. "Not significant" does not mean "equal". See docs/evaluation.md.'
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
BOLD = "Bold: best value of a column, oracles excluded."
SHORT = ("chebyshev", "kl", "cosine", "skill")  # the columns of a short table


def table_frame(table: Table) -> pd.DataFrame:
    """One row per method with all digits: the columns of table.csv."""
    rows = [
        {"method": row.method, **{name: row.mean[name] for name in HEADS}, "kl_low": row.low}
        | {"kl_high": row.high, "kl_seed_sd": row.spread, "seeds": row.seeds, "tried": row.tried}
        | {"interval_over": table.over, "windows": table.windows, "subjects": table.subjects}
        | {"split": LEAKY if table.leaky else "grouped", "split_sha256": table.split_sha256}
        for row in table.rows
    ]
    frame = pd.DataFrame(rows, dtype=object)
    if table.equal_trials:
        frame["weighted"] = "trials"
    return frame.drop(columns="tried") if frame["tried"].isna().all() else frame.fillna({"tried": ""})


def subject_frame(table: Table) -> pd.DataFrame:
    """One row per method and subject with the six measures: the columns of subjects.csv."""
    found = ((row.method, subject, x) for row in table.rows for subject, x in row.per_subject.items())
    rows = [{"method": method, "subject": subject, **x} for method, subject, x in found]
    return pd.DataFrame(rows, dtype=object)


def csv_text(frame: pd.DataFrame, *, command: str, commit: str) -> str:
    """CSV with all digits behind a first line that is a comment with `command` and `commit`."""
    comment = f"# {' '.join(command.split())} @ {' '.join(commit.split())}\n"
    return comment + frame.to_csv(index=False, na_rep="nan", lineterminator="\n")


def cells_of(frame: pd.DataFrame, measures: Sequence[str] = SHORT) -> pd.DataFrame:
    """A `table_frame` as text: bold marks the best value of a column, oracles excluded."""
    oracle = frame["method"].isin(ORACLES)
    cells = {"method": frame["method"].map(shown_name) + oracle.map({True: " (oracle)", False: ""})}
    for name in measures:
        values = frame[name].astype(float)
        texts = [decimal(x, 2 if name == "skill" else 4) for x in values]
        sign = -1 if name in (*HIGHER_IS_BETTER, "skill") else 1
        best = texts[int(np.nanargmin(sign * values.mask(oracle)))] if values[~oracle].notna().any() else None
        cells[HEADS[name]] = [
            f"**{x}**" if x == best and not out else x for x, out in zip(texts, oracle, strict=True)
        ]
        if name == "kl":
            cells["95 % interval"] = list(map(interval, frame["kl_low"], frame["kl_high"]))
    if "tried" in frame and len(measures) == len(HEADS):
        cells["tried"] = ["-" if x == "" or pd.isna(x) else str(int(x)) for x in frame["tried"]]
    seeds = zip(frame["seeds"], frame["kl_seed_sd"], strict=True)
    cells["seeds"] = [str(n) if n == 1 else f"{n} (sd {decimal(spread)})" for n, spread in seeds]
    return pd.DataFrame(cells)


NUMBER = re.compile(r"(\*\*)?[−+\[\d]|< |-?$")


def markdown_of(cells: pd.DataFrame) -> str:
    """A Markdown table of text cells, aligned; text to the left, numbers to the right."""
    columns = [[str(x).replace("|", "\\|") for x in (name, *cells[name])] for name in cells]
    aligned = []
    for column in columns:
        width = max(3, *map(len, column))
        if all(NUMBER.match(text) for text in column[1:]):
            aligned.append([text.rjust(width) for text in (column[0], "-" * (width - 1) + ":", *column[1:])])
        else:
            aligned.append([text.ljust(width) for text in (column[0], "-" * width, *column[1:])])
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*aligned, strict=True))


def to_markdown(table: Table, *, title: str = "Results") -> str:
    """Title, aligned table, caption, rule and verdict lines; readable in a terminal as it is."""
    frame = table_frame(table)
    head = f"## {title}{f' ({LEAKY} split)' if table.leaky else ''}"
    parts = [head, markdown_of(cells_of(frame, tuple(HEADS))), f"*{BOLD}*", caption_of(frame)]
    if verdicts := verdict_lines(frame, compare_with_focus(table)):
        parts += [RULE, "\n".join(f"- {line}" for line in verdicts)]
    return "\n\n".join(parts) + "\n"


def caption_of(frame: pd.DataFrame) -> str:
    """What the numbers of a `table_frame` are means of, and what limits them."""
    first = frame.iloc[0]
    counts = f"{count_of(first['windows'], 'windows')}, {count_of(first['subjects'], 'subjects')}"
    within = "within trial, then over trials of a subject" if "weighted" in frame else "within subject"
    text = f"Means over windows {within}, then over subjects ({counts})"
    text += f"; 95 % interval over {first['interval_over']}"
    if first["subjects"] < FEWEST:
        text += "; it says nothing about other subjects"
    if "weighted" in frame:
        text += ". Every method, the train mean too, has its personal memory"
    if oracles := [shown_name(name) for name in frame["method"] if name in ORACLES]:
        text += f". {', '.join(oracles)}: an oracle; it knows the true stimulus of each window, so it is not ranked"
    if first["split"] == LEAKY:
        text += f". {LEAKY}: windows of the tested trials were trained on, so this is no result for new data"
    if equal := _as_the_train_mean(frame):
        reason = "because training has no ids or lengths of the tested rows"
        text += f". Equal to the train mean, {reason}: {', '.join(equal)}"
    if "tried" in frame:
        text += ". Tried: number of settings compared in each fold, on its training part"
    return f"{text}. Split {first['split_sha256'][:12]}."


def _as_the_train_mean(frame: pd.DataFrame) -> list[str]:
    values = frame.set_index("method")[[name for name in HEADS if name != "skill"]].astype(float)
    names = [name for name in values.index if name in OF_IDS and REFERENCE in values.index]
    return [shown_name(x) for x in names if np.allclose(values.loc[x], values.loc[REFERENCE], atol=1e-9)]


def verdict_lines(frame: pd.DataFrame, found: dict[str, Comparison]) -> list[str]:
    """MPCL against the train mean and the best baseline; without MPCL, every fitted method against the mean.

    `frame`: a `table_frame` · `found`: every other method minus the focus, as `compare_with_focus` returns them.
    """
    if focus_of(list(frame["method"])) == REFERENCE:
        shown = [name for name in found if name not in CONSTANTS]
        return [_verdict(frame, name, f"the {shown_name(REFERENCE)}", found[name]) for name in shown]
    return [_verdict(frame, METHOD, text, found[name].turned()) for name, text in opponents_of(frame).items()]


def opponents_of(frame: pd.DataFrame) -> dict[str, str]:
    """What MPCL is compared with in words, the train mean and the best baseline: method -> its name in a sentence."""
    chosen = frame["tried"].map(lambda x: x != "" and not pd.isna(x)) if "tried" in frame else False
    baselines = frame[(frame["method"].isin(BASELINES) | chosen) & ~frame["method"].isin(ORACLES)]
    best = baselines["method"][baselines["kl"].astype(float).idxmin()]
    reference = f"the {shown_name(REFERENCE)}"
    if best == REFERENCE:
        return {REFERENCE: f"{reference}, which is the best baseline"}
    return {REFERENCE: reference, best: f"the best baseline, {shown_name(best)}"}


def _verdict(frame: pd.DataFrame, method: str, opponent: str, found: Comparison) -> str:
    first, verdict = frame.iloc[0], found.verdict
    if verdict != NOT_SIGNIFICANT and first["subjects"] < FEWEST:
        verdict += f" for the tested {count_of(first['subjects'], 'subjects')} only"
    prefix = f"{LEAKY} split: " if first["split"] == LEAKY else ""
    numbers = comparison_text(found, first["interval_over"])
    return f"{prefix}{shown_name(method)} against {opponent}: {verdict} ({numbers})"


def comparison_text(found: Comparison, over: str) -> str:
    """Difference, interval, units and corrected p; where the difference is not significant, also why."""
    p = f"p {p_text(found.corrected)} after Holm's correction for {count_of(found.comparisons, 'comparisons')}"
    text = f"KL {decimal(found.difference, sign=True)} {interval(found.low, found.high)}, n = {over}, {p}"
    if found.verdict != NOT_SIGNIFICANT:
        return text
    smallest = smallest_p(found.n, found.comparisons)
    if found.n < FEWEST or smallest >= LEVEL:
        return f"{text}; too few units: no corrected p below {decimal(smallest, 3)} is possible"
    if found.corrected < LEVEL:
        return f"{text}; the test for skewed differences has p {p_text(found.p_skewed)}"
    if found.low > 0 or found.high < 0:
        text += "; the interval excludes 0 but is not corrected"
    found_at = f"a difference of {decimal(found.detectable)} would be found with probability 0.8"
    return f"{text}; without correction, {found_at}"
