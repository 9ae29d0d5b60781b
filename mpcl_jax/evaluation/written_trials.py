"""What written trials are worth to each method: the same test rows without and with its personal memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mpcl_jax import metrics
from mpcl_jax.config.schema import ORACLES
from mpcl_jax.data.splits.descriptions import kind_of
from mpcl_jax.data.splits.manifest import trial_positions
from mpcl_jax.evaluation.leaderboard import Table
from mpcl_jax.evaluation.number_text import decimal, interval, p_cell, shown_name
from mpcl_jax.evaluation.statistics import LEVEL, decide, paired_comparison, subject_interval
from mpcl_jax.evaluation.table_text import markdown_of
from mpcl_jax.train.fold_memory import FoldMemory, adapted_shares, recalled_trials
from mpcl_jax.train.sequences import trials_of

# Method -> for each seed the memory of each fold of a split.
Memories = Mapping[str, Sequence[Sequence[FoldMemory]]]
TITLE = "Personal memory: the same method without and with written trials"


def shares_after(
    memories: Memories, tested: Sequence[np.ndarray], n: int | None, name: str | None = None
) -> dict[str, list[np.ndarray]]:
    """Method -> for each seed the predicted shares [N, C] of all test rows after `n` trials (None: all earlier ones).

    `tested`: the test rows of each fold · `name`: a memory of `fold_memory.memories_of`; None = the chosen one of
    each fold.
    """
    return {
        method: [
            np.concatenate(
                [adapted_shares(memory, rows, n, name) for memory, rows in zip(of_folds, tested, strict=True)]
            )
            for of_folds in seeds
        ]
        for method, seeds in memories.items()
    }


def memory_frame(table: Table, zero_shot: Table, memories: Memories) -> pd.DataFrame:
    """A row per method: KL without and with its memory, their difference, and the memories of its folds.

    `zero_shot`: the table of the same methods without any written trial. p and verdict are corrected for all methods
    but oracles. `memory`: how often each memory was chosen, over folds and seeds.
    """
    before = {row.method: row for row in zero_shot.rows}
    compared = {
        row.method: paired_comparison(row.per_unit, before[row.method].per_unit, weight=table.unit_weight)
        for row in table.rows
    }
    fair = [name for name in compared if name not in ORACLES]
    compared |= dict(zip(fair, decide([compared[name] for name in fair]), strict=True))
    lines = []
    for row in table.rows:
        found = compared[row.method]
        chosen = Counter(memory.chosen for of_folds in memories[row.method] for memory in of_folds)
        lines.append(
            {"method": row.method, "kl_zero_shot": before[row.method].mean["kl"], "kl": row.mean["kl"]}
            | {"difference": found.difference, "low": found.low, "high": found.high}
            | {"p": found.p_value, "p_skewed": found.p_skewed, "p_holm": found.corrected}
            | {"verdict": found.verdict if row.method in fair else ""}
            | {"memory": ", ".join(f"{name} {count}" for name, count in chosen.most_common())}
            | {"units": table.over, "split_sha256": table.split_sha256}
        )
    return pd.DataFrame(lines, dtype=object)


def curve_frame(memories: Memories, tested: Sequence[np.ndarray], protocol: str) -> pd.DataFrame:
    """KL of each method by the number n of written trials: a row per method and n; `tested`: test rows of each fold.

    `few_shot`: the same test rows for every n from 0 to the number of reserved trials. `sequential`: the trial n + 1
    of each subject that has one, and `kl_zero_shot` of the same trials. Means are over windows of a trial, trials,
    then subjects; intervals are over subjects.
    """
    labels, subject, trial, position = of_test_rows(next(iter(memories.values()))[0], tested)
    zero_shot = shares_after(memories, tested, 0)
    if kind_of(protocol) == "few_shot":
        of_n = {n: shares_after(memories, tested, n) for n in range(position.min() + 1)}
        parts = {n: np.ones(len(position), bool) for n in of_n}
    else:
        after = shares_after(memories, tested, None)
        of_n = dict.fromkeys(np.unique(position).tolist(), after)
        parts = {n: position == n for n in of_n}
    lines = []
    for method in memories:
        for n, shares in of_n.items():
            own = parts[n]
            kl, before = (
                kl_of_subjects(labels[own], subject[own], trial[own], [x[own] for x in found[method]])
                for found in (shares, zero_shot)
            )
            low, high = subject_interval(kl)
            lines.append(
                {"method": method, "written_trials": n, "kl_zero_shot": before.mean(), "kl": kl.mean()}
                | {"kl_low": low, "kl_high": high, "subjects": len(kl)}
            )
    return pd.DataFrame(lines, dtype=object)


def of_test_rows(of_folds: Sequence[FoldMemory], tested: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Labels [N, C], subject, trial and the position of the trial in its subject, [N], of all test rows."""
    found = []
    for memory, rows in zip(of_folds, tested, strict=True):
        x, place = memory.tested, np.searchsorted(memory.rows, rows)
        own = (x.labels, x.subject, x.trial, trial_positions(x.subject, x.trial))
        found.append([values[place] for values in own])
    return [np.concatenate(values) for values in zip(*found, strict=True)]


def kl_of_subjects(
    labels: np.ndarray, subject: np.ndarray, trial: np.ndarray, seeds: Sequence[np.ndarray]
) -> np.ndarray:
    """KL [S] of each subject, mean over seeds, windows of a trial, then trials; `seeds`: shares [N, C] of each."""
    kl = np.mean([metrics.kl(labels, shares) for shares in seeds], axis=0)
    frame = pd.DataFrame({"subject": subject, "trial": trial, "kl": kl})
    of_trials = frame.groupby(["subject", "trial"], sort=True)["kl"].mean()
    return of_trials.groupby("subject").mean().to_numpy()


class Recalled(NamedTuple):
    """The last trial of a tested subject, and what its prediction recalled."""

    subject: str
    trial: str
    kl_zero_shot: float
    kl: float  # with the written trials
    weight: dict[str, float]  # written trial -> weight of its residual in the correction of log p


def recalled_examples(memories: Sequence[FoldMemory], n: int | None) -> list[Recalled]:
    """The last trials of three subjects: those with the largest, the median and the smallest gain by the memory.

    `memories`: of one method in each fold · `n` as in `fold_memory.adapted_shares`.
    """
    found = []
    for memory in memories:
        tested, after = memory.tested, adapted_shares(memory, memory.rows, n)
        kl = [metrics.kl(tested.labels, shares) for shares in (memory.zero_shot, after)]
        for *_, last in trials_of(tested.subject, tested.trial):
            ids = str(tested.subject[last[0]]), str(tested.trial[last[0]])
            found.append((memory, ids, *(float(of_rows[last].mean()) for of_rows in kl)))
    found.sort(key=lambda x: x[3] - x[2])
    chosen = [found[place] for place in sorted({0, len(found) // 2, len(found) - 1}) if found]
    return [Recalled(*ids, *kl, recalled_trials(memory, *ids, n)) for memory, ids, *kl in chosen]


def memory_markdown(frame: pd.DataFrame) -> str:
    """Title, table and caption of a `memory_frame`."""
    return f"## {TITLE}\n\n{markdown_of(cells_of(frame))}\n\n*{memory_caption(frame)}*\n"


def cells_of(frame: pd.DataFrame) -> pd.DataFrame:
    """A `memory_frame` as text."""
    cells = {
        "method": frame["method"].map(shown_name),
        "KL zero-shot": frame["kl_zero_shot"].map(decimal),
        "KL with memory": frame["kl"].map(decimal),
        "difference": [decimal(x, sign=True) for x in frame["difference"]],
        "95 % interval": list(map(interval, frame["low"], frame["high"])),
        "p Holm": list(map(p_cell, frame["p_holm"])),
    }
    if "p_skewed" in frame:  # tables that were made before this column lack it
        cells |= {"p skewed": list(map(p_cell, frame["p_skewed"]))}
    cells |= {"verdict": frame["verdict"], "memory, number of folds": frame["memory"]}
    return pd.DataFrame(cells)


def memory_caption(frame: pd.DataFrame) -> str:
    """What the columns of `cells_of` are."""
    text = (
        f"Difference: with memory minus zero-shot, over {frame['units'].iloc[0]}. Each fold chose its memory on "
        "training subjects. p is corrected for all methods of this table, oracles excluded."
    )
    if "p_skewed" not in frame:
        return text
    return (
        f"{text} p skewed: the test for skewed differences, not corrected. A verdict needs both p below {LEVEL} and "
        "an interval on one side of 0."
    )
