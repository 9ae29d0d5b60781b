"""The personal memory of an adapted `MPCLRegressor`: one of each model, in the order of the seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpcl_jax.model import personal_memory
from mpcl_jax.model.outputs import MPCLOutput
from mpcl_jax.model.personal_memory import PersonalMemory


class Memories(NamedTuple):
    """The written trials of one subject."""

    of_models: tuple[PersonalMemory, ...]
    trials: tuple[str, ...]  # their ids, in the order in which they were written


def write(
    memories: Memories, outputs: Sequence[MPCLOutput], labels: np.ndarray, trial: np.ndarray
) -> Memories:
    """`memories` and the trials of N more windows: `outputs` of each model for them, `labels` [N, C], `trial` [N]."""
    new = [personal_memory.write_trials(trial, x.query, x.log_probs, labels) for x in outputs]
    before = memories.of_models or [None] * len(new)
    joined = tuple(_joined(old, more) for old, more in zip(before, new, strict=True))
    return Memories(joined, (*memories.trials, *dict.fromkeys(trial.tolist())))


def adapted(memories: Memories | None, outputs: Sequence[MPCLOutput], beta: float) -> list[np.ndarray]:
    """Log-probabilities [N, C] of each model after the correction by its memory; unchanged without one."""
    if memories is None or not memories.trials:
        return [x.log_probs for x in outputs]
    return [
        personal_memory.adapt(x.log_probs, x.query, memory, beta)
        for x, memory in zip(outputs, memories.of_models, strict=True)
    ]


def _joined(old: PersonalMemory | None, new: PersonalMemory) -> PersonalMemory:
    if old is None:
        return new
    return PersonalMemory(*(np.concatenate(pair) for pair in zip(old, new, strict=True)))
