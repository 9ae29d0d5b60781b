"""Predictions for the trials of several subjects, each with a personal memory of the subject's reported trials."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories
from mpcl_jax.estimator.loading import load
from mpcl_jax.estimator.memory_file import checksum_of, read_memory, save_memory
from mpcl_jax.estimator.one_subject import predict_subject
from mpcl_jax.model.recall_kernel import RecallKernel
from mpcl_jax.runs.predict import FinishedModel, open_model
from mpcl_jax.train.fold_memory import load_memory, memory_file
from mpcl_jax.types import DataError, Recordings, take


class Adaptable(NamedTuple):
    """Models whose predictions are averaged, and the kernel of their personal memory."""

    models: Sequence[FinishedModel]
    kernel: RecallKernel | None  # None: the memory is off
    reason: str  # why it is on or off
    ranges: prediction.Ranges | None = None  # of the training data; values far outside are a warning


def open_adaptable(folder: Path, fold: int = 0) -> Adaptable:
    """A saved `MPCLRegressor`, or `fold` of a run that has learned a memory. Raises DataError where it has none."""
    if (folder / "model.json").is_file():
        saved = load(folder)
        return Adaptable(saved._open(), saved.memory_.kernel, saved.memory_.reason, saved._ranges)
    file = memory_file(folder / "folds" / f"{fold:02d}", "MPCL")
    if not file.is_file():
        fix = "train with --config.protocol.kind=sequential, or give a model that MPCLRegressor.save wrote"
        raise DataError(folder, f"this run has learned no personal memory; {fix} (docs/few_shot.md)")
    memory = load_memory(file)
    return Adaptable([open_model(folder, fold)], memory.kernel, memory.reason)


def adapt_subjects(
    model: Adaptable, recordings: Recordings, reported: np.ndarray, sequential: bool, memory: Path | None
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
            save_memory(memory, after, subjects[0], checksum_of(model.models, model.kernel))

    return pd.concat(tables), pd.concat(weights), save


def _continued(model: Adaptable, memory: Path, subject: str) -> Memories | None:
    """The memory in the file, None where there is none yet. Raises DataError for that of another model or subject."""
    if model.kernel is None or not memory.exists():
        return None
    checksum = checksum_of(model.models, model.kernel)
    found, owner = read_memory(memory, model.kernel, len(model.models), checksum)
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
