"""The personal memory of an adapted `MPCLRegressor`: one of each model, in the order of the seeds."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.one_report import require_one_report
from mpcl_jax.data.tables.read_arrays import ids_of
from mpcl_jax.estimator import prediction
from mpcl_jax.model import personal_memory
from mpcl_jax.model.outputs import MPCLOutput, Recall
from mpcl_jax.model.personal_memory import PersonalMemory
from mpcl_jax.model.recall_kernel import RecallKernel, views_of
from mpcl_jax.runs.predict import LEAST_WINDOWS, FinishedModel, normalised
from mpcl_jax.train.fit import Learned
from mpcl_jax.types import DataError


class Memories(NamedTuple):
    """The written trials of one subject."""

    kernel: RecallKernel
    of_models: tuple[PersonalMemory, ...] = ()

    @property
    def trials(self) -> tuple[str, ...]:
        """Ids of the written trials, in the order in which they were written."""
        return self.of_models[0].trials if self.of_models else ()


class Seen(NamedTuple):
    """What one model makes of N rows."""

    output: MPCLOutput
    recall: Recall
    views: dict[str, np.ndarray]  # view -> [N, F]


def seen_by(models: Sequence[FinishedModel], rows: prediction.Rows) -> list[Seen]:
    """Outputs and views of each model; every row needs a value."""
    found = []
    for model, (output, recalled) in zip(models, prediction.recalls_of(models, rows), strict=True):
        signals, _ = normalised(model, rows.signals, rows.present, rows.subject)
        found.append(Seen(output, recalled, views_of(signals, output.log_probs, output.query)))
    return found


def write(memories: Memories, seen: Sequence[Seen], labels: np.ndarray, trial: np.ndarray) -> Memories:
    """`memories` and N more windows, which each model has `seen`: `labels` [N, C], `trial` [N] ids."""
    before = memories.of_models or [None] * len(seen)
    written = (
        personal_memory.write_trials(old, memories.kernel, trial, x.views, x.output.log_probs, labels)
        for old, x in zip(before, seen, strict=True)
    )
    return memories._replace(of_models=tuple(written))


def written(
    learned: Learned,
    memories: Memories | None,
    models: Sequence[FinishedModel],
    rows: prediction.Rows,
    labels: np.ndarray,
    trial: Any,
) -> Memories | None:
    """`memories` and the trials of N more rows with `labels` [N, C]; None and a warning where the memory is off.

    `trial`: [N] ids, one id, or None: each row is a trial of its own. Rows of a trial that is written
    already are added to it. Raises DataError for a row without any value, for two reports in one trial, and
    for too few rows of a model that standardises each subject.
    """
    if models[0].per_subject and len(labels) < LEAST_WINDOWS:
        reason = (
            f"has {len(labels)} rows; the model standardises the rows of a call, which needs {LEAST_WINDOWS}"
        )
        raise DataError("X", f"{reason}; give more trials at once, or fit with per_subject_standardise=False")
    if not rows.known.all():
        raise DataError("X", f"row {int((~rows.known).argmax())} has no value in any modality; drop it")
    before = memories.trials if memories else ()
    ids = ids_of("trial", trial, len(labels))
    if ids is None:
        ids = np.arange(len(before), len(before) + len(labels)).astype(str)
    require_one_report("Y", labels, ids, None)
    if learned.kernel is None:
        warnings.warn(f"the personal memory is {learned.reason}", UserWarning, stacklevel=4)
        return None
    return write(memories or Memories(learned.kernel), seen_by(models, rows), labels, ids)


def adapted(
    memories: Memories | None, seen: Sequence[Seen], trial: np.ndarray | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Log-probabilities [N, C] of each model after the correction by its memory, unchanged without one.

    Also the weight of each of n written trials in the correction of each row, [N, n], mean over models. `trial` [N]:
    ids; rows of one trial recall together, by the means of their views.
    """
    if memories is None or not memories.trials:
        return [x.output.log_probs for x in seen], np.zeros((len(seen[0].output.log_probs), 0))
    found = [
        personal_memory.adapt(memory, memories.kernel, _means(x.views, trial), x.output.log_probs)
        for x, memory in zip(seen, memories.of_models, strict=True)
    ]
    return [log_probs for log_probs, _ in found], np.mean([weight for _, weight in found], axis=0)


def _means(views: dict[str, np.ndarray], trial: np.ndarray | None) -> dict[str, np.ndarray]:
    if trial is None:
        return views
    _, of_row, count = np.unique(trial, return_inverse=True, return_counts=True)
    member = (of_row == np.arange(len(count))[:, None]) / count[:, None]  # [trials, N], rows sum to 1
    return {view: (member @ x)[of_row] for view, x in views.items()}
