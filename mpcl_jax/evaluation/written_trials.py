"""What written trials are worth to each method: the same test rows without and with its personal memory."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mpcl_jax import metrics
from mpcl_jax.config.schema import ORACLES
from mpcl_jax.data.splits.descriptions import kind_of
from mpcl_jax.data.splits.manifest import Split, trial_positions
from mpcl_jax.evaluation.leaderboard import Table
from mpcl_jax.evaluation.number_text import decimal, interval, p_text, shown_name
from mpcl_jax.evaluation.statistics import decide, paired_comparison, subject_interval
from mpcl_jax.evaluation.table_text import markdown_of
from mpcl_jax.train.fold_memory import FoldMemory, adapted_shares
from mpcl_jax.types import Recordings

# Method -> for each seed the memory of each fold of a split.
Memories = Mapping[str, Sequence[Sequence[FoldMemory]]]
TITLE = "Personal memory: the same method without and with written trials"


def shares_after(
    memories: Memories, recordings: Recordings, split: Split, n: int | None, name: str | None = None
) -> dict[str, list[np.ndarray]]:
    """Method -> for each seed the predicted shares [N, C] of all test rows after `n` trials (None: all earlier ones).

    `name`: a memory of `fold_memory.memories_of`; None = the chosen one of each fold.
    """
    return {
        method: [
            np.concatenate(
                [
                    adapted_shares(memory, recordings, fold.test, n, name)
                    for memory, fold in zip(of_folds, split.folds, strict=True)
                ]
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
            | {"p_holm": found.corrected, "verdict": found.verdict if row.method in fair else ""}
            | {"memory": ", ".join(f"{name} {count}" for name, count in chosen.most_common())}
            | {"units": table.over, "split_sha256": table.split_sha256}
        )
    return pd.DataFrame(lines, dtype=object)


def curve_frame(memories: Memories, recordings: Recordings, split: Split) -> pd.DataFrame:
    """KL of each method by the number n of written trials: a row per method and n.

    `few_shot`: the same test rows for every n from 0 to the number of reserved trials. `sequential`: the trial n + 1
    of each subject that has one, and `kl_zero_shot` of the same trials. Means are over windows of a trial, trials,
    then subjects; intervals are over subjects.
    """
    rows = np.concatenate([fold.test for fold in split.folds])
    position = trial_positions(recordings.subject, recordings.trial)[rows]
    zero_shot = shares_after(memories, recordings, split, 0)
    if kind_of(split.protocol) == "few_shot":
        of_n = {n: shares_after(memories, recordings, split, n) for n in range(position.min() + 1)}
        parts = {n: np.ones(len(rows), bool) for n in of_n}
    else:
        after = shares_after(memories, recordings, split, None)
        of_n = dict.fromkeys(np.unique(position).tolist(), after)
        parts = {n: position == n for n in of_n}
    lines = []
    for method in memories:
        for n, shares in of_n.items():
            own = rows[parts[n]]
            kl, before = (
                kl_of_subjects(recordings, own, [x[parts[n]] for x in found[method]])
                for found in (shares, zero_shot)
            )
            low, high = subject_interval(kl)
            lines.append(
                {"method": method, "written_trials": n, "kl_zero_shot": before.mean(), "kl": kl.mean()}
                | {"kl_low": low, "kl_high": high, "subjects": len(kl)}
            )
    return pd.DataFrame(lines, dtype=object)


def kl_of_subjects(recordings: Recordings, rows: np.ndarray, seeds: Sequence[np.ndarray]) -> np.ndarray:
    """KL [S] of each subject, mean over seeds, windows of a trial, then trials."""
    kl = np.mean([metrics.kl(recordings.labels[rows], shares) for shares in seeds], axis=0)
    frame = pd.DataFrame({"subject": recordings.subject[rows], "trial": recordings.trial[rows], "kl": kl})
    of_trials = frame.groupby(["subject", "trial"], sort=True)["kl"].mean()
    return of_trials.groupby("subject").mean().to_numpy()


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
        "p Holm": [p_text(x).removeprefix("= ") for x in frame["p_holm"]],
        "verdict": frame["verdict"],
        "memory, number of folds": frame["memory"],
    }
    return pd.DataFrame(cells)


def memory_caption(frame: pd.DataFrame) -> str:
    """What the columns of `cells_of` are."""
    return (
        f"Difference: with memory minus zero-shot, over {frame['units'].iloc[0]}. Each fold chose its memory on "
        "training subjects. p is corrected for all methods of this table, oracles excluded."
    )
