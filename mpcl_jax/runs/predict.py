"""Emotion distributions for new recordings, from a finished run.

    model = open_model("runs/dataset")
    shares = predict(model, {"eeg": eeg, "video": video})  # [N, C], in the order of model.spec.emotions

Any subset of the modalities of the run works. A missing feature is NaN: it becomes the median of the training part.
JAX settings of the calling program (x64, promotion, guards) neither change the predictions nor are changed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mpcl_jax.config.resolve import resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import Normalisation, apply_normalisation, standardised
from mpcl_jax.metrics import from_log_probs
from mpcl_jax.model.outputs import MPCLOutput, Prototypes, Recall, variables
from mpcl_jax.runs.programs import functions_of
from mpcl_jax.runs.read_run import read_json
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.arrays import checkpoints_in, first_whole, read_tree
from mpcl_jax.train.devices import keep_programs_of_callers, require_devices
from mpcl_jax.train.jax_settings import fixed_jax_settings
from mpcl_jax.types import FARTHEST, DataError, DataSpec, beyond

LARGEST, BLOCK = 1024, 64  # rows of one call; with 1 the only sizes that are compiled
# Windows of a subject that its own mean and sd need; the sd of 10 values is off by about a quarter.
LEAST_WINDOWS = 10


class FinishedModel(NamedTuple):
    """The model of one fold of a finished run, ready to predict."""

    spec: DataSpec  # emotions, modalities and their shapes
    notes: tuple[str, ...]  # of the recordings it was trained on
    normalisation: Normalisation  # of its training part
    variables: dict[str, Any]
    # Compiled: (variables, signals, present) -> log-probabilities [B, C]; once per size of a call.
    forward: Any
    details: Any  # the same -> (MPCLOutput, Recall)
    per_subject: bool  # each subject's features were standardised by that subject's own windows

    def __repr__(self):
        """One line, without the arrays."""
        shapes = ", ".join(f"{m} {list(shape)}" for m, shape in self.spec.shapes.items())
        return f"FinishedModel({len(self.spec.emotions)} emotions; {shapes}; per_subject={self.per_subject})"


@fixed_jax_settings()
def open_model(run, fold: int = 0) -> FinishedModel:
    """Reads the chosen parameters, the memory and the training statistics of `fold`.

    Compiled programs are kept on disk (`train.devices.keep_compiled_programs`), unless the run has
    `config.log.keep_compiled` off or JAX has a folder already. Raises DataError naming the file that is
    missing or damaged.
    """
    run = user_path(run)
    require_devices()
    config, data = resolve(read_json(run / "config.json")), read_json(run / "data.json")
    if config.log.keep_compiled:
        keep_programs_of_callers()
    spec = spec_in(data)
    folder = run / "folds" / f"{fold:02d}" / "checkpoints"
    model = finished_model(config, spec, *read_checkpoint(folder))
    return model._replace(notes=tuple(data["notes"]))


def read_checkpoint(folder: Path) -> tuple[Normalisation, Any, Prototypes | None]:
    """Normalisation, parameters and prototypes of the newest whole checkpoint. Raises DataError without one."""
    checkpoint, _ = first_whole(checkpoints_in(folder))
    if checkpoint is None:
        raise DataError(folder, "holds no whole checkpoint; train this fold first")
    training = read_tree(checkpoint / "state")
    chosen = training.get("best", training["state"])
    memory = Prototypes(**chosen["prototypes"]) if "prototypes" in chosen else None
    return Normalisation(**read_tree(checkpoint / "normalisation")), chosen["params"], memory


def spec_in(data: dict) -> DataSpec:
    """Emotions, modalities and their shapes in data.json of a run or of a saved model."""
    shapes = {m: tuple(shape) for m, shape in data["shapes"].items()}
    return DataSpec(tuple(data["emotions"]), tuple(data["valence"]), dict(data["groups"]), shapes)


@fixed_jax_settings()
def finished_model(config: Config, spec: DataSpec, norm: Normalisation, params, prototypes) -> FinishedModel:
    """The same from what a training holds in memory."""
    state, per_subject = jax.device_put(variables(params, prototypes)), config.data.per_subject_standardise
    return FinishedModel(spec, (), norm, state, *functions_of(config, spec), per_subject)


@fixed_jax_settings()
def predict(model: FinishedModel, signals: dict, present: dict | None = None, subject=None) -> np.ndarray:
    """The distribution over emotions of each window, [N, C] float32, rows sum to 1; N may be 0.

    `signals` m -> [N, T_m, F_m], or [N, F_m] where T_m is 1, in the units of the features the run was trained on, NaN
    where a feature is missing. A modality that is left out, or of which a window has only NaN, is absent. `present`
    m -> [N] bool, the windows that have a modality; default: all. `subject` [N] ids (or one id for all), only for a
    run that standardised each subject (`config.data.per_subject_standardise`): mean and sd are those of the windows
    of the subject in this call, so each modality needs at least 10 (`LEAST_WINDOWS`) of them, over all conditions.

    Raises ValueError that names modality and window: where names, types or shapes are not those of the run; where a
    number is infinite, beyond 1e30 or more than 1e15 sds from the training mean; where a window has no modality;
    where `subject` is missing, is not wanted, or has too few windows.
    """
    signals, present = normalised(model, signals, present, subject)
    shares = from_log_probs(_in_blocks(model, model.forward, signals, present))
    bad = np.flatnonzero(~np.isfinite(shares).all(axis=1))
    if len(bad):
        raise ValueError(f"window {bad[0]}: its prediction is not a number; check its largest features")
    return shares


@fixed_jax_settings()
def recall(
    model: FinishedModel, signals: dict, present: dict | None = None, subject=None
) -> tuple[MPCLOutput, Recall]:
    """What lies behind the predictions of N windows, as NumPy arrays; arguments and errors are those of `predict`."""
    signals, present = normalised(model, signals, present, subject)
    return _in_blocks(model, model.details, signals, present)


def normalised(model: FinishedModel, signals: dict, present: dict | None, subject) -> tuple[dict, dict]:
    """What the model takes: m -> [N, T_m, F_m] float32 about mean 0 and sd 1, and m -> [N] bool, of every modality.

    Arguments and errors are those of `predict`.
    """
    signals, present = _checked(model.spec, signals, {} if present is None else present)
    signals = _of_subjects(model, signals, present, subject)
    signals = apply_normalisation(signals, present, model.normalisation)
    for m, x in signals.items():
        _refuse(m, *beyond(x, FARTHEST, " standard deviations from the training mean"))
    return signals, present


def _in_blocks(model: FinishedModel, function, signals: dict, present: dict):
    """What the compiled `function` of `model` returns for N windows, by calls of few sizes; NumPy arrays [N, ...]."""
    count, parts, first = len(next(iter(present.values()))), [], 0
    while first < count or not parts:
        size = bucket(count - first)
        part = slice(first, min(first + size, count))
        padded = [{m: _padded(x[part], size) for m, x in tree.items()} for tree in (signals, present)]
        found = jax.device_get(function(model.variables, *padded))
        parts.append(jax.tree.map(lambda x, n=part.stop - first: x[:n], found))
        first = part.stop
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def bucket(left: int) -> int:
    """The rows of the next call where `left` windows are left: one of three, so that few programs are compiled."""
    return LARGEST if left >= LARGEST else 1 if left == 1 else BLOCK


def _padded(x: np.ndarray, size: int) -> np.ndarray:
    return x if len(x) == size else np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])


def _checked(spec: DataSpec, signals: dict, present: dict) -> tuple[dict, dict]:
    """`signals` and `present` of all modalities, those that are absent with zeros."""
    for name, given in (("signals", signals), ("present", present)):
        if not isinstance(given, Mapping):
            raise ValueError(
                f"{name}: {type(given).__name__}; wanted a dict, modality -> array; "
                f"the run has {', '.join(spec.shapes)}"
            )
    unknown = [m for m in (*signals, *present) if m not in spec.shapes]
    if unknown or not signals:
        which = f"unknown modality {unknown[0]!r}" if unknown else "no modality is given"
        raise ValueError(f"{which}; the run has {', '.join(spec.shapes)}")
    given = {m: _tokens(m, x, spec.shapes[m]) for m, x in signals.items()}
    count = len(next(iter(given.values())))
    all_of, there = {}, {}
    for m, shape in spec.shapes.items():
        x = given.get(m, np.zeros((count, *shape), np.float32))
        here = _array(m, present.get(m, np.full(count, m in signals)), f"[{count}] booleans").astype(bool)
        if x.shape != (count, *shape) or here.shape != (count,):
            raise ValueError(
                f"{m}: shapes {x.shape} and {here.shape}; wanted {(count, *shape)} and {(count,)}"
            )
        if m not in signals and here.any():
            raise ValueError(f"{m}: present, but signals are not given")
        all_of[m], there[m] = x, here & ~np.isnan(x).all((1, 2))
        _refuse(m, *beyond(np.where(here[:, None, None], x, 0)))
    nothing = np.flatnonzero(~np.stack(list(there.values())).any(axis=0))
    if len(nothing):
        raise ValueError(f"window {nothing[0]}: no modality is present")
    return all_of, there


def _tokens(m: str, x, shape: tuple[int, int]) -> np.ndarray:
    """The signals of a modality as float32, [N, F] as one token."""
    wanted = f"numbers [N, {shape[0]}, {shape[1]}]"
    x = _array(m, x, wanted)
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3):
        raise ValueError(f"{m}: {x.dtype} of shape {x.shape}; wanted {wanted}")
    with np.errstate(over="ignore"):  # what does not fit is refused as infinite
        x = x.astype(np.float32)
    return x[:, None] if x.ndim == 2 else x


def _array(m: str, x, wanted: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError:  # lists in lists
        raise ValueError(f"{m}: its lists have different lengths; wanted {wanted}") from None


def _refuse(m: str, rows: np.ndarray, what: str) -> None:
    if rows.any():
        raise ValueError(f"{m}: window {rows.argmax()}, {what}")


def _of_subjects(model: FinishedModel, signals: dict, present: dict, subject) -> dict:
    """`signals` as the run had them: standardised by each subject's own windows where the run did that."""
    if not model.per_subject:
        if subject is not None:
            raise ValueError("subject: this run did not standardise each subject; leave it out")
        return signals
    if subject is None:
        raise ValueError(
            "subject: this run standardised each subject by its own windows; give the features as they were measured "
            f"and subject=[N] ids, with {LEAST_WINDOWS} or more windows of each subject"
        )
    subject = np.asarray(subject, str)
    count = len(next(iter(present.values())))
    if subject.ndim == 0:
        subject = np.full(count, subject)
    if subject.shape != (count,):
        raise ValueError(f"subject: shape {subject.shape}; wanted {(count,)}, one id per window")
    for m, here in present.items():
        names, windows = np.unique(subject[here], return_counts=True)
        if (windows < LEAST_WINDOWS).any():
            name, few = next((n, k) for n, k in zip(names, windows, strict=True) if k < LEAST_WINDOWS)
            raise ValueError(
                f"{m}: subject {name} has {few} windows; wanted at least {LEAST_WINDOWS} to standardise them, or none"
            )
    return standardised(signals, present, subject)[0]
