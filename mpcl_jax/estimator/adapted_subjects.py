"""Predictions for the trials of several subjects, each with a personal memory of the subject's reported trials."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.one_report import require_one_report
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories, Seen, adapted, seen_by, write
from mpcl_jax.estimator.memory_file import read_memory, save_memory
from mpcl_jax.estimator.opened_model import OpenedModel, opened_model
from mpcl_jax.model.recall_kernel import RecallKernel
from mpcl_jax.runs.predict import FinishedModel
from mpcl_jax.train.fold_memory import memory_file
from mpcl_jax.types import DataError, Recordings, take


def open_adaptable(folder: Path, fold: int = 0) -> OpenedModel:
    """A saved `MPCLRegressor`, or `fold` of a run that has learned a memory. Raises DataError where it has none."""
    learned = memory_file(folder / "folds" / f"{fold:02d}", "MPCL").is_file()
    if not learned and not (folder / "model.json").is_file():
        fix = "train with --config.protocol.kind=sequential, or give a model that MPCLRegressor.save wrote"
        raise DataError(folder, f"this run has learned no personal memory; {fix} (docs/few_shot.md)")
    return opened_model(folder, fold)


def adapt_subjects(
    model: OpenedModel, recordings: Recordings, reported: np.ndarray, sequential: bool, memory: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame, Callable[[], None]]:
    """The predictions, one row a window, and the weights of the written trials; see `predict_subject`.

    `memory`: a file with the memory of one subject, which is continued where it exists. The third value writes it;
    call it when the predictions are saved, since a written trial is not predicted again. Warns where the memory is
    off, and of values far outside the training range. Raises ConfigError for a file and several subjects.
    """
    subjects = list(dict.fromkeys(recordings.subject.tolist()))
    if memory and len(subjects) > 1:
        count = f"the data are of {len(subjects)} subjects"
        raise ConfigError(f"--memory {memory}: is of one subject, {count}; give them one by one")
    if model.kernel is None:
        text = f"the personal memory is {model.reason}; the predictions are those of mpcl predict"
        warnings.warn(text, UserWarning, stacklevel=2)
    if model.ranges:
        rows = prediction.rows_of_recordings(recordings, model.models[0].spec.shapes, per_subject=False)
        prediction.warn_out_of_range(rows, model.ranges, {})
    before = _continued(model, memory, subjects[0]) if memory else None
    tables, weights, ids, after = [], [], np.array(row_ids(recordings)), None
    for subject in subjects:
        own = np.flatnonzero(recordings.subject == subject)
        of_subject = take(recordings, own), reported[own]
        found = predict_subject(model.models, model.kernel, *of_subject, before, sequential)
        rows = own[found.rows]
        written = list(map(len, found.recalled))
        tables.append(_table(recordings, reported, ids, rows, written, found.shares))
        weights.append(_weights(ids[rows], found.recalled))
        after = found.memories

    if before and reported.any() and after.trials == before.trials:
        text = f"no new trial was written to {memory}: it holds all reported trials of the data"
        warnings.warn(text, UserWarning, stacklevel=2)

    def save() -> None:
        if memory and after and after.trials:
            save_memory(memory, after, subjects[0], model.checksum)

    return pd.concat(tables), pd.concat(weights), save


def _continued(model: OpenedModel, memory: Path, subject: str) -> Memories | None:
    """The memory in the file, None where there is none yet. Raises DataError for that of another model or subject."""
    if model.kernel is None or not memory.exists():
        return None
    found, owner = read_memory(memory, model.kernel, len(model.models), model.checksum)
    if owner != subject:
        raise DataError(memory, f"is of subject {owner!r}, the data are of {subject!r}; give a new name")
    return found


def _table(
    recordings: Recordings,
    reported: np.ndarray,
    ids: np.ndarray,
    rows: np.ndarray,
    written: list[int],
    shares,
) -> pd.DataFrame:
    columns = {"id": ids[rows]}
    columns |= {name: getattr(recordings, name)[rows] for name in ("subject", "trial", "stimulus")}
    columns |= {"reported": reported[rows].astype(int), "written_trials": written}
    columns |= {f"predicted_{e}": x for e, x in zip(recordings.emotions, shares.T, strict=True)}
    return pd.DataFrame(columns)


def _weights(ids: np.ndarray, recalled: list[dict[str, float]]) -> pd.DataFrame:
    pairs = zip(ids, recalled, strict=True)
    rows = [(name, trial, weight) for name, of_trial in pairs for trial, weight in of_trial.items()]
    return pd.DataFrame(rows, columns=["id", "written_trial", "weight"])


class Predicted(NamedTuple):
    """n predicted windows."""

    rows: np.ndarray  # [n] their rows in the recordings
    shares: np.ndarray  # [n, C] float64, rows sum to 1
    # Of each window: written trial -> weight of its residual in the correction.
    recalled: list[dict[str, float]]
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
