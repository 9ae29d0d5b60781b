"""Reads a folder that `MPCLRegressor.save` wrote (`saving.py`); nothing in it is executed."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from mpcl_jax.config.resolve import resolve
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.estimator.inputs import Layout
from mpcl_jax.estimator.memory_file import memories_of
from mpcl_jax.estimator.prediction import Ranges
from mpcl_jax.estimator.regressor import MPCLRegressor
from mpcl_jax.model.outputs import Prototypes
from mpcl_jax.model.recall_kernel import RecallKernel
from mpcl_jax.runs.read_run import read_json
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.arrays import checkpoints_in, first_whole, read_tree
from mpcl_jax.train.fit import Fit, Learned
from mpcl_jax.types import DataError, DataSpec

DAMAGED = "is no whole saved model; save it again"


def load(folder: str | Path) -> MPCLRegressor:
    """The model that `MPCLRegressor.save` wrote to `folder`. Raises DataError naming what is missing or damaged."""
    if not isinstance(folder, str | os.PathLike):
        raise DataError("folder", f"is {type(folder).__name__}; wanted the path of a saved model")
    folder = user_path(folder)
    if not (folder / "model.json").is_file():
        raise DataError(folder, "holds no model.json; wanted a folder that MPCLRegressor.save wrote")
    try:
        return _read(folder)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(folder, f"{DAMAGED} ({error!r})") from error


def _read(folder: Path) -> MPCLRegressor:
    document = read_json(folder / "model.json")
    data, config = read_json(folder / "data.json"), resolve(read_json(folder / "config.json"))
    arrays = parse_npz(folder / "model.npz")
    model = MPCLRegressor(**document["parameters"])
    shapes = {m: tuple(shape) for m, shape in data["shapes"].items()}
    model._spec = DataSpec(tuple(data["emotions"]), tuple(data["valence"]), data["groups"], shapes)
    model._layout = _layout(document["layout"])
    ends = ({m: arrays[f"{end}/{m}"] for m in shapes} for end in Ranges._fields)
    model._ranges, model.mean_label_ = Ranges(*ends), arrays["mean_label"]
    model._about, model._models = document["about"], []
    for name, value in document["sklearn"].items():
        setattr(model, name, np.array(value, object) if name.startswith("feature") else value)
    model.memory_ = _learned(document["memory"])
    model._memories = None
    if document["written"]:
        model._memories = memories_of(model.memory_.kernel, arrays, len(document["fits"]))
    model._fits = [
        _fit(
            folder / "folds" / f"{number:02d}" / "checkpoints",
            dataclasses.replace(config, seed=config.seed + number),
            x,
        )
        for number, x in enumerate(document["fits"])
    ]
    if not model._fits or any(fit.norm.mean.keys() != shapes.keys() for fit in model._fits):
        raise DataError(folder, f"{DAMAGED} (modalities of the checkpoint differ)")
    return model


def _layout(held: dict) -> Layout:
    columns, names = ({m: tuple(x) for m, x in held[key].items()} for key in ("columns", "names"))
    return Layout(**held | {"columns": columns, "names": names})


def _learned(held: dict) -> Learned:
    return Learned(**held | {"kernel": held["kernel"] and RecallKernel(**held["kernel"])})


def _fit(folder: Path, config, held: dict) -> Fit:
    whole, _ = first_whole(checkpoints_in(folder))
    if whole is None:
        raise DataError(folder, "holds no whole checkpoint; save the model again")
    state = read_tree(whole / "state")["state"]
    prototypes = Prototypes(**state["prototypes"]) if "prototypes" in state else None
    norm = Normalisation(**read_tree(whole / "normalisation"))
    return Fit(
        config, norm, state["params"], prototypes, held["epoch"], held["choice"], tuple(held["history"])
    )
