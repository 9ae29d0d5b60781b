"""A fitted `MPCLRegressor` as a folder, without pickle.

The folder is laid out like a run with one fold per seed, so that `mpcl predict`, `mpcl inspect` and
`mpcl_jax.runs.predict.open_model` read it:

README.md        the model card                 model.json    parameters, layout of X, training
config.json      the settings                   model.npz     mean label, training ranges, personal memory
data.json        emotions, modalities           folds/NN/     the checkpoint of each seed
"""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mpcl_jax import __version__
from mpcl_jax.estimator import card
from mpcl_jax.estimator.memory_file import arrays_of
from mpcl_jax.model.other_subjects import arrays_of_others, numbers_of
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import make_folder, write_arrays, write_text, writing
from mpcl_jax.train import checkpoint
from mpcl_jax.train.fit import Fit
from mpcl_jax.train.state import Guard, Training, TrainState
from mpcl_jax.types import DataError


def save(model: Any, folder: str | os.PathLike, table: Any = None) -> None:
    """Writes the fitted `model` to the new `folder`; `table`: an `EvaluationTable` for the card, or None.

    Raises DataError where the folder exists and is not empty, StorageError where the disk does not take it.
    """
    if not isinstance(folder, str | os.PathLike):
        raise DataError("folder", f"is {type(folder).__name__}; wanted the path of a new folder")
    folder = user_path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(folder, "exists already; give a new folder")
    unfinished = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    make_folder(unfinished)
    try:
        _write(model, unfinished, table)
        with writing(folder, 0):
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(model: Any, folder: Path, table: Any) -> None:
    fits, layout, memories, kernel = model._fits, model._layout, model._memories, model.memory_.kernel
    document = {
        "mpcl_jax": __version__,
        "parameters": model.get_params(deep=False) | {"callbacks": None},
        "layout": layout._asdict(),
        "sklearn": {
            name: getattr(model, name).tolist() if name.startswith("feature") else getattr(model, name)
            for name in ("feature_names_in_", "n_features_in_")
            if hasattr(model, name)
        },
        "fits": [{"epoch": f.epoch, "choice": f.choice, "history": f.history} for f in fits],
        "memory": model.memory_._asdict() | {"kernel": kernel and numbers_of(kernel)},
        "written": memories is not None,
        "about": model._about,
    }
    arrays = {"mean_label": model.mean_label_}
    arrays |= {f"{end}/{m}": x for end, tree in model._ranges._asdict().items() for m, x in tree.items()}
    arrays |= arrays_of(memories) if memories else {}
    arrays |= arrays_of_others(kernel.others) if kernel and kernel.others else {}
    data = model._spec._asdict() | {"name": model._about["name"], "notes": model._about["notes"]}
    documents = {"model": document, "data": data, "config": dataclasses.asdict(fits[0].config)}
    for name, content in documents.items():
        write_text(folder / f"{name}.json", json.dumps(content, indent=1, default=_plain) + "\n")
    write_arrays(folder / "model.npz", arrays)
    for number, fit in enumerate(fits):
        _write_checkpoint(folder / "folds" / f"{number:02d}" / "checkpoints", fit)
    write_text(folder / "README.md", card.text(model, table))


def _write_checkpoint(folder: Path, fit: Fit) -> None:
    state = TrainState(np.int32(fit.epoch), fit.params, None, fit.prototypes)
    training = Training(state, None, Guard(np.zeros(1, np.int32), np.float32(np.inf)))
    with checkpoint.open_checkpoints(folder, {"model": "all rows"}) as saved:
        checkpoint.save(saved, fit.epoch, training, fit.norm, dataclasses.asdict(fit.config))


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays and numbers of NumPy, and sequences."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, range | set | frozenset):
        return sorted(value)
    raise DataError(
        f"{value!r:.60}", "is a parameter that cannot be saved; use numbers, text, lists and dicts"
    )
