"""The trials of one subject, predicted with a personal memory of those that have a report."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from mpcl_jax.data.one_report import require_one_report
from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories, Seen, adapted, seen_by, write
from mpcl_jax.model.recall_kernel import RecallKernel
from mpcl_jax.runs.predict import FinishedModel
from mpcl_jax.types import DataError, Recordings


class Predicted(NamedTuple):
    """n predicted windows."""

    rows: np.ndarray  # [n] their rows in the recordings
    shares: np.ndarray  # [n, C] float64, rows sum to 1
    recalled: list[
        dict[str, float]
    ]  # of each window: written trial -> weight of its residual in the correction
    memories: Memories | None  # after all reported trials were written; None where the memory is off


def predict_subject(
    models: Sequence[FinishedModel],
    kernel: RecallKernel | None,
    recordings: Recordings,
    reported: np.ndarray,
    memories: Memories | None = None,
    sequential: bool = False,
) -> Predicted:
    """The predictions of one subject's trials; every window needs a modality of the model.

    `kernel`: None where the memory is off. `reported` [N] bool: windows whose labels are a report, in the order of
    the model's emotions. All reported trials are written first, and the others predicted. `sequential`: in the order
    of the rows, each trial is predicted and then, if it has a report, written. A trial that `memories` holds is
    neither written nor predicted again. A model that standardises each subject uses all windows for it. Raises
    DataError for a trial of which only some windows have a report, or which has two reports.
    """
    _require_whole_trials(recordings, reported)
    trial, labels = recordings.trial, recordings.labels
    rows = prediction.rows_of_recordings(recordings, models[0].spec.shapes, models[0].per_subject)
    seen = seen_by(models, rows)
    if memories is None and kernel is not None:
        memories = Memories(kernel)
    new = ~np.isin(trial, memories.trials if memories else ())
    steps = [trial == name for name in dict.fromkeys(trial[new].tolist())]
    if not sequential:
        memories = _written(memories, seen, labels, trial, reported & new)
        steps = [~reported & new]
    found = []
    for step in steps:
        found += _predicted(memories, seen, trial, np.flatnonzero(step))
        if sequential:
            memories = _written(memories, seen, labels, trial, reported & step)
    shares = np.stack([x[1] for x in found]) if found else np.zeros((0, labels.shape[1]))
    return Predicted(np.array([x[0] for x in found], int), shares, [x[2] for x in found], memories)


def _written(
    memories: Memories | None, seen: list[Seen], labels: np.ndarray, trial: np.ndarray, rows: np.ndarray
) -> Memories | None:
    """`memories` and `rows` (mask); unchanged where the memory is off."""
    if memories is None or not rows.any():
        return memories
    return write(memories, _part(seen, rows), labels[rows], trial[rows])


def _predicted(
    memories: Memories | None, seen: list[Seen], trial: np.ndarray, rows: np.ndarray
) -> list[tuple]:
    """(row, shares [C], written trial -> weight) of each of `rows`."""
    if not len(rows):
        return []
    log_probs, weight = adapted(memories, _part(seen, rows), trial[rows])
    names = memories.trials if memories else ()
    recalled = [dict(zip(names, x.tolist(), strict=True)) for x in weight]
    return list(zip(rows.tolist(), prediction.mean_shares(log_probs), recalled, strict=True))


def _part(seen: list[Seen], rows: np.ndarray) -> list[Seen]:
    return jax.tree.map(lambda x: x[rows], seen)


def _require_whole_trials(recordings: Recordings, reported: np.ndarray) -> None:
    for name in dict.fromkeys(recordings.trial.tolist()):
        own = reported[recordings.trial == name]
        if own.any() and not own.all():
            reason = f"trial {name!r} has a report for {own.sum()} of {len(own)} windows; give it to all or to none"
            raise DataError(recordings.name, reason)
    require_one_report(recordings.name, recordings.labels, recordings.trial, recordings.subject)
