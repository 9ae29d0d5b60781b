"""The trials of one subject, predicted with a personal memory of those that have a report."""

from typing import NamedTuple

import jax
import numpy as np

from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories, Seen, adapted, seen_by, write
from mpcl_jax.estimator.regressor import MPCLRegressor
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
    model: MPCLRegressor,
    recordings: Recordings,
    reported: np.ndarray,
    memories: Memories | None = None,
    sequential: bool = False,
) -> Predicted:
    """The predictions of one subject's trials; every window needs a modality of the model.

    `reported` [N] bool: windows whose labels are a report, in the order of the model's emotions. All reported trials
    are written first, and the others predicted. `sequential`: in the order of the rows, each trial is predicted and
    then, if it has a report, written. A trial that `memories` holds is not written again. A model that standardises
    each subject uses all windows for it. Raises DataError for a trial of which only some windows have a report.
    """
    _require_whole_trials(recordings, reported)
    rows = prediction.rows_of_recordings(
        recordings, model.modalities_, model.config_.data.per_subject_standardise
    )
    prediction.warn_out_of_range(rows, model._ranges)
    seen, trial = seen_by(model._open(), rows), recordings.trial
    if memories is None and model.memory_.kernel is not None:
        memories = Memories(model.memory_.kernel)
    known = set(memories.trials) if memories else set()
    new = reported & ~np.isin(trial, list(known)) if memories else np.zeros(len(trial), bool)

    def written(rows: np.ndarray) -> Memories | None:
        return (
            write(memories, _part(seen, rows), recordings.labels[rows], trial[rows])
            if rows.any()
            else memories
        )

    if sequential:
        steps = [trial == name for name in dict.fromkeys(trial.tolist())]
    else:
        memories, steps = written(new), [~reported]
    found = []
    for step in steps:
        found += _predicted(memories, seen, trial, np.flatnonzero(step))
        if sequential:
            memories = written(step & new)
    shares = np.stack([x[1] for x in found]) if found else np.zeros((0, len(model.emotions_)))
    return Predicted(np.array([x[0] for x in found], int), shares, [x[2] for x in found], memories)


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
