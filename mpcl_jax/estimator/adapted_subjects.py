"""Predictions for the trials of several subjects, each with a personal memory of the subject's reported trials."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories
from mpcl_jax.estimator.memory_file import read_memory, save_memory
from mpcl_jax.estimator.one_subject import predict_subject
from mpcl_jax.estimator.opened_model import OpenedModel, opened_model
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
    """The predictions, one row a window, and the weights of the written trials; see `one_subject.predict_subject`.

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
