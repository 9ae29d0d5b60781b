"""What each epoch did to the prototypes of a fold: computed with the epoch, kept as a line of `memory.jsonl`."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mpcl_jax.model.prototypes import Prototypes
from mpcl_jax.train import processes
from mpcl_jax.train.progress import MetricsLog


class SlotReport(NamedTuple):
    """One epoch; for a group of folds with one more axis in front."""

    drift: Any  # [C, K] 1 - cosine to where the slot was an epoch ago, mean of both banks
    usage: Any  # [C, K] share of its emotion's recent evidence


def slot_report(before: Prototypes | None, after: Prototypes | None) -> SlotReport | None:
    """The report of an epoch from the memory before and after it; None without a memory."""
    if before is None or after is None:
        return None
    cosine = jnp.sum(before.bank * after.bank, axis=-1).mean(axis=0)
    total = after.usage.sum(axis=1, keepdims=True)
    return SlotReport(1.0 - cosine, after.usage / jnp.maximum(total, 1e-12))


def slot_log(fold_folder: pathlib.Path) -> MetricsLog:
    """The `memory.jsonl` of a fold; only the first process writes."""
    return MetricsLog(fold_folder / "memory.jsonl" if processes.is_first() else None)


def write_slots(fold_folders: Sequence, numbers: Sequence[int], epoch: int, slots: SlotReport | None) -> None:
    """Appends a line to the log of each fold of a group; `numbers` are those of the folds."""
    if slots is None:
        return
    drift, usage = (np.asarray(x, np.float64).reshape(-1, *x.shape[-2:]) for x in jax.device_get(slots))
    for i, (folder, number) in enumerate(zip(fold_folders, numbers, strict=True)):
        # Four digits: curves to look at.
        curves = {"drift": drift[i].round(4).tolist(), "usage": usage[i].round(4).tolist()}
        slot_log(folder).write({"fold": number, "epoch": epoch, **curves})
