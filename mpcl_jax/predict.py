"""Emotion distributions for new recordings, from a finished run.

    from mpcl_jax.predict import open_model, predict

    model = open_model("runs/dataset")
    shares = predict(model, {"eeg": eeg, "video": video})  # [N, C], in the order of model.spec.emotions

Any subset of the run's modalities will do; what is absent is recalled or left out (docs/method.md).
"""

import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mpcl_jax.batch import Batch, DataFileError, DataSpec
from mpcl_jax.config import resolve
from mpcl_jax.data.normalise import Normalisation, apply_normalisation
from mpcl_jax.model.mpcl import build
from mpcl_jax.settings import Config
from mpcl_jax.train.checkpoint import newest_of_fold, read_chosen_model, read_normalisation
from mpcl_jax.train.devices import compiled
from mpcl_jax.train.state import variables

LARGEST = 1024  # rows of one call; more are predicted in calls of this size


class FinishedModel(NamedTuple):
    """The model of one fold of a finished run, ready to predict."""

    spec: DataSpec  # emotions, modalities and their shapes
    notes: tuple[str, ...]  # of the recordings it was trained on
    normalisation: Normalisation  # of its training part
    variables: dict[str, Any]
    forward: Any  # compiled: (variables, signals, present) -> [B, C]; once per size of a call


def open_model(run, fold: int = 0) -> FinishedModel:
    """Reads what predictions of `fold` were made with: chosen parameters, memory, statistics of the training part.

    Raises DataFileError naming the file that is missing or damaged.
    """
    run = pathlib.Path(run)
    config, data = (_document(run / name) for name in ("config.json", "data.json"))
    shapes = {m: tuple(shape) for m, shape in data["shapes"].items()}
    spec = DataSpec(tuple(data["emotions"]), tuple(data["valence"]), dict(data["groups"]), shapes)
    checkpoint = newest_of_fold(run / "folds" / f"{fold:02d}")
    normalisation, chosen = read_normalisation(checkpoint), read_chosen_model(checkpoint)
    return finished_model(resolve(config), spec, normalisation, *chosen)._replace(notes=tuple(data["notes"]))


def finished_model(config: Config, spec: DataSpec, norm: Normalisation, params, prototypes) -> FinishedModel:
    """The same from what a training holds in memory."""
    model = build(config.model, spec, config.train.precision)

    def forward(state, signals, present):
        rows = len(next(iter(present.values())))
        batch = Batch(signals, present, jnp.zeros((rows, len(spec.emotions))), jnp.ones(rows))
        return jnp.exp(model.apply(state, batch, train=False).log_probs)

    state = jax.device_put(variables(params, prototypes))
    return FinishedModel(spec, (), norm, state, compiled(forward))


def predict(model: FinishedModel, signals: dict, present: dict | None = None) -> np.ndarray:
    """The distribution over emotions of each window, [N, C] float32, rows sum to 1.

    `signals` m -> [N, T_m, F_m] in the units of the features the run was trained on; if the run standardised each
    person (`model.notes` says so), standardised in the same way. A modality that is left out is absent in all
    windows. `present` m -> [N] bool says in which windows a modality is there; default: in all.

    Raises ValueError naming the modality where names or shapes are not those of the run, where a number that is
    present is not finite, or where a window has nothing at all.
    """
    signals, present = _checked(model.spec, signals, present or {})
    signals = apply_normalisation(signals, present, model.normalisation)
    count = len(next(iter(present.values())))
    shares = np.empty((count, len(model.spec.emotions)), np.float32)
    for first in range(0, count, LARGEST):
        part = slice(first, min(first + LARGEST, count))
        size = bucket(part.stop - part.start)
        padded = [{m: _padded(x[part], size) for m, x in tree.items()} for tree in (signals, present)]
        shares[part] = np.asarray(model.forward(model.variables, *padded))[: part.stop - part.start]
    return shares


def bucket(count: int) -> int:
    """The rows of the call that `count` windows are padded to: a power of 2, so that few sizes are compiled."""
    return min(LARGEST, 1 << (count - 1).bit_length())


def _padded(x: np.ndarray, size: int) -> np.ndarray:
    return x if len(x) == size else np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])


def _checked(spec: DataSpec, signals: dict, present: dict) -> tuple[dict, dict]:
    unknown = [m for m in (*signals, *present) if m not in spec.shapes]
    if unknown or not signals:
        which = f"unknown modality {unknown[0]!r}" if unknown else "no modality is given"
        raise ValueError(f"{which}; the run has {', '.join(spec.shapes)}")
    count = len(next(iter(signals.values())))
    all_of, there = {}, {}
    for m, shape in spec.shapes.items():
        x = np.asarray(signals.get(m, np.zeros((count, *shape))), np.float32)
        here = np.asarray(present.get(m, np.full(count, m in signals)), bool)
        if x.shape != (count, *shape) or here.shape != (count,):
            raise ValueError(
                f"{m}: shapes {x.shape} and {here.shape}; wanted {(count, *shape)} and {(count,)}"
            )
        if m not in signals and here.any():
            raise ValueError(f"{m}: present, but signals are not given")
        if not np.isfinite(x[here]).all():
            raise ValueError(f"{m}: holds numbers that are not finite; mark those windows in `present`")
        all_of[m], there[m] = x, here
    nothing = np.flatnonzero(~np.stack(list(there.values())).any(axis=0))
    if len(nothing):
        raise ValueError(f"window {nothing[0]}: no modality is present")
    return all_of, there


def _document(file: pathlib.Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataFileError(file, f"can not be read ({error}); is this the folder of a run?") from error
