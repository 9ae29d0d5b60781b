"""What an exported file is made of: a fitted `MPCLRegressor`, a folder that it saved, or one fold of a run."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from mpcl_jax import __version__
from mpcl_jax.config.resolve import resolve
from mpcl_jax.data.features.own_signals import ACCEPTED
from mpcl_jax.data.features.own_signals import names as names_of_kind
from mpcl_jax.estimator.loading import load
from mpcl_jax.estimator.memory_file import checksum_of, read_memory
from mpcl_jax.estimator.regressor import MPCLRegressor
from mpcl_jax.export.program import Exportable, inputs_of
from mpcl_jax.runs.predict import open_model, predict
from mpcl_jax.runs.read_run import read_json
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataError, DataSpec, Recordings

RULES = (
    "One row is one window, in the units of the training data. A missing value is NaN. A modality of which a window "
    "has only NaN is absent. Rows of the result sum to 1; columns are `emotions`."
)
REFUSED = "A window without any value gets NaN."
MEAN = "A window without any value gets the mean label of the training data."
STANDARDISED = (
    "A call holds windows of one subject, 10 or more of each modality: they are standardised together."
)
ONE_BY_ONE = "The personal memory corrects each window by itself, as `predict` without `trial` does."


def exportable(model: Any, fold: int = 0, subject: str = "") -> Exportable:
    """`model`: a fitted `MPCLRegressor`, or the path of a saved one or of a run, of which `fold` is taken.

    `subject`: a name for the header, of an adapted model alone. Raises DataError where the model cannot be read.
    """
    if isinstance(model, str | os.PathLike):
        folder = user_path(model)
        if not (folder / "model.json").is_file():
            return _of_run(folder, fold)
        model = load(folder)
    if not isinstance(model, MPCLRegressor):
        raise DataError(
            "model", f"is {type(model).__name__}; wanted an MPCLRegressor or the folder of a model"
        )
    model._fitted("_fits")  # raises NotFittedError
    memories = model._memories if model._memories and model._memories.trials else None
    if subject and not memories:
        raise DataError("subject", "is for an adapted model; leave it out, or call adapt first")
    mean = model.missing_rows == "mean"
    about = _about(model._spec, model.config_.data.per_subject_standardise, mean) | {
        "trained_on": model._about["name"],
        "window_seconds": model._about["window_seconds"],
    }
    for m, inputs in about["inputs"].items():
        inputs |= _described(m, model)
    if memories:
        about["personal_memory"] = {"subject": subject, "trials": len(memories.trials)}
        about["rules"] += f" {ONE_BY_ONE}"

    def predicted(signals: dict, present: dict) -> np.ndarray:
        return model.predict(_recordings(model._spec, signals, present))

    empty = model.mean_label_ if mean else np.full(len(model.emotions_), np.nan)
    return Exportable(model._open(), [fit.config for fit in model._fits], empty, memories, predicted, about)


def with_memory_of(folder: Path, file: Path) -> tuple[MPCLRegressor, str]:
    """The saved model in `folder` with the personal memory in `file`, and its subject. Raises DataError."""
    if not (folder / "model.json").is_file():
        raise DataError(folder, "is no saved model; --memory is for a folder that MPCLRegressor.save wrote")
    if not file.is_file():
        raise DataError(file, "does not exist; mpcl adapt --memory writes such a file")
    model = load(folder)
    if model.memory_.kernel is None:
        raise DataError(folder, f"has no personal memory: it is {model.memory_.reason}; leave out --memory")
    checksum = checksum_of(model._open(), model.memory_.kernel)
    model._memories, subject = read_memory(file, model.memory_.kernel, len(model._fits), checksum)
    return model, subject


def _of_run(folder: Path, fold: int) -> Exportable:
    model = open_model(folder, fold)
    subject = "one" if model.per_subject else None

    def predicted(signals: dict, present: dict) -> np.ndarray:
        return predict(model, signals, present, subject)

    about = _about(model.spec, model.per_subject, False)
    about |= {"trained_on": read_json(folder / "data.json")["name"], "fold": fold}
    configs = [resolve(read_json(folder / "config.json"))]
    return Exportable([model], configs, np.full(len(model.spec.emotions), np.nan), None, predicted, about)


def _about(spec: DataSpec, standardised: bool, mean: bool) -> dict[str, Any]:
    rules = [RULES, MEAN if mean else REFUSED, *([STANDARDISED] if standardised else [])]
    return {
        "mpcl_jax": __version__,
        "inputs": {
            m: {"shape": ["rows", *shape], "type": "float32", "group": spec.groups[m]}
            for m, shape in inputs_of(spec).items()
        },
        "output": {"shape": ["rows", len(spec.emotions)], "type": "float32"},
        "emotions": list(spec.emotions),
        "valence": list(spec.valence),
        "rules": " ".join(rules),
    }


def _described(m: str, model: MPCLRegressor) -> dict[str, Any]:
    """Names of the features and the unit of the signal, where they are known."""
    layout = model._layout
    if kind := layout.kinds.get(m):
        # Features of a kind are as many for each channel.
        channels = model._spec.shapes[m][1] // len(names_of_kind(kind))
        made = {"kind": kind, "unit": ACCEPTED[kind].unit, "rate": layout.rates[m]}
        return {"features": list(names_of_kind(kind, channels)), "features_of_signal": made}
    return {"features": list(names)} if (names := layout.names.get(m)) else {}


def _recordings(spec: DataSpec, signals: dict, present: dict) -> Recordings:
    count = len(next(iter(present.values())))
    ids, ones = np.full(count, "one"), np.ones(count, np.float32)
    labels = np.full((count, len(spec.emotions)), 1 / len(spec.emotions), np.float32)
    fields = (
        spec.emotions,
        spec.valence,
        spec.groups,
        signals,
        present,
        dict.fromkeys(signals, ones),
        labels,
    )
    return Recordings("windows", *fields, ids, ids, ids, np.full(count, np.nan), np.nan)
