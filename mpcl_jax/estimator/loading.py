"""Reads a folder that `MPCLRegressor.save` wrote (`saving.py`); nothing in it is executed."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpcl_jax.config.resolve import resolve
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.io.refusals import LIBRARY_ERRORS, words_of
from mpcl_jax.estimator.inputs import Layout
from mpcl_jax.estimator.memory_file import memories_of
from mpcl_jax.estimator.prediction import Ranges
from mpcl_jax.estimator.saved_model import SavedModel
from mpcl_jax.model.other_subjects import kernel_of
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS
from mpcl_jax.runs.predict import read_checkpoint, spec_in
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.fit import Fit, Learned
from mpcl_jax.types import DataError, DataSpec

if TYPE_CHECKING:
    from mpcl_jax.estimator.regressor import MPCLRegressor

AGAIN = "copy the whole folder of the model again, or save the model again"


def load(folder: str | Path) -> "MPCLRegressor":
    """The fitted `MPCLRegressor` that its method `save` wrote to `folder`. Nothing in the folder is executed.

    Raises DataError that names the file or folder that is missing, damaged or of another version.
    """
    if not isinstance(folder, str | os.PathLike):
        raise DataError("folder", f"is {type(folder).__name__}; wanted the path of a saved model")
    folder = user_path(folder)
    if not (folder / "model.json").is_file():
        what = "holds no model.json" if folder.exists() else "does not exist"
        raise DataError(folder, f"{what}; wanted a folder that MPCLRegressor.save wrote")
    with _part(folder / "model.json"):
        document = _document(folder / "model.json")
        model = SavedModel(**document["parameters"])
        model._layout = _layout(document["layout"])
        model._about, model._models, of_fits = document["about"], [], document["fits"]
        for name, value in document["sklearn"].items():
            setattr(model, name, np.array(value, object) if name.startswith("feature") else value)
    with _part(folder / "data.json"):
        model._spec = spec_in(_document(folder / "data.json"))
        shapes = model._spec.shapes
    with _part(folder / "model.npz"):
        arrays = parse_npz(folder / "model.npz")
        ends = ({m: arrays[f"{end}/{m}"] for m in shapes} for end in Ranges._fields)
        model._ranges, model.mean_label_ = Ranges(*ends), arrays["mean_label"]
        model.memory_ = _learned(document["memory"], arrays, model._spec)
        written = document["written"]
        model._memories = memories_of(model.memory_.kernel, arrays, len(of_fits)) if written else None
    with _part(folder / "config.json"):
        config = resolve(_document(folder / "config.json"))
    model._fits = []
    for number, held in enumerate(of_fits):
        own = folder / "folds" / f"{number:02d}" / "checkpoints"
        with _part(own):
            fit = _fit(own, dataclasses.replace(config, seed=config.seed + number), held)
            if fit.norm.mean.keys() != shapes.keys():
                raise DataError(own, f"holds {', '.join(fit.norm.mean)}, data.json {', '.join(shapes)}")
            model._fits.append(fit)
    return model


@contextlib.contextmanager
def _part(file: Path) -> Iterator[None]:
    """Raises DataError naming `file`, a part of a saved model, for what is raised within."""
    try:
        yield
    except (*LIBRARY_ERRORS, DataError) as error:  # ConfigError is a ValueError
        reason = error.reason.partition(";")[0] if isinstance(error, DataError) else words_of(error)
        reason = f"lacks {error}" if isinstance(error, KeyError) else reason
        raise DataError(file, f"is no whole part of a saved model ({reason}); {AGAIN}") from error


def _document(file: Path) -> dict:
    document = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise DataError(file, "is no JSON object")
    return document


def _layout(held: dict) -> Layout:
    columns, names = ({m: tuple(x) for m, x in held[key].items()} for key in ("columns", "names"))
    return Layout(**held | {"columns": columns, "names": names})


def _learned(held: dict, arrays: dict, spec: DataSpec) -> Learned:
    widths = {FEATURES: sum(shape[-1] for shape in spec.shapes.values()), LOG_PROBS: len(spec.emotions)}
    return Learned(**held | {"kernel": held["kernel"] and kernel_of(held["kernel"], arrays, widths)})


def _fit(folder: Path, config, held: dict) -> Fit:
    read = read_checkpoint(folder)
    return Fit(config, *read, held["epoch"], held["choice"], tuple(held["history"]))
