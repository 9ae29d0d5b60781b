"""Which steps of an epoch changed nothing, and with which samples; `step.py` says why a step is skipped."""

from typing import NamedTuple

import numpy as np

from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train.folds import FoldArrays, Program
from mpcl_jax.train.state import Guard


class Skip(NamedTuple):
    """One skipped step; a line of `skipped.jsonl`, behind fold and epoch."""

    step: int  # of its epoch, counted from 1
    in_a_row: int  # skipped steps up to this one
    samples: list[str]  # ids of the windows in its batch (`manifest.row_ids`)


def skipped_steps(program: Program, fold: FoldArrays, key, guard: Guard, ids: list[str]) -> list[Skip]:
    """The skipped steps of the epoch of `key`, after which the fold's guard was `guard`. `ids`: of all rows."""
    in_a_row = np.asarray(guard.skipped)
    if not in_a_row.any():
        return []
    rows = np.asarray(program.batches(fold, key))
    return [
        Skip(int(step) + 1, int(in_a_row[step]), sorted({ids[row] for row in rows[step]}))
        for step in np.flatnonzero(in_a_row)
    ]


def require_fewer(skips: list[Skip], most: int, where: str) -> None:
    """Raises TrainingError, naming step and samples, if `most` or more steps were skipped in a row."""
    for skip in skips:
        if skip.in_a_row >= most:
            shown = ", ".join(skip.samples[:6]) + (", …" if len(skip.samples) > 6 else "")
            raise TrainingError(
                f"{where}, step {skip.step}: loss, gradient or memory were not finite, or the loss was a spike, "
                f"{skip.in_a_row} steps in a row; the samples of this one: {shown} (all are in skipped.jsonl). "
                "Look at these samples, or lower config.train.learning_rate; the last checkpoint is from before"
            )
