"""`evaluate`: our model, baselines and scikit-learn style estimators in one table, on the same rows and protocol."""

import contextlib
import dataclasses
import io
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from mpcl_jax.baselines import registry
from mpcl_jax.config.data import WRITTEN, DataConfig
from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data import registry as datasets
from mpcl_jax.data.pipeline import checked
from mpcl_jax.data.splits.descriptions import counted, kind_of
from mpcl_jax.estimator.evaluation_table import EvaluationTable
from mpcl_jax.estimator.methods import methods_of
from mpcl_jax.estimator.stored_recordings import KIND, store
from mpcl_jax.evaluation.comparison import make_run_table
from mpcl_jax.evaluation.experiment import describe_data
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.jobs.table_run import Fitted, Trained, complete, memories_of, predictions_of
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import make_folder
from mpcl_jax.train.devices import require_devices
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.jax_settings import restored_jax_settings
from mpcl_jax.types import DataError, Recordings

# Settings in messages of the commands, and the arguments that stand for them here.
ARGUMENTS = (
    ("config.protocol.kind", "protocol"),
    ("config.protocol.", ""),
    ("config.benchmark.", ""),
    ("--workdir", "cache"),
)


def evaluate(
    estimators: Any,
    data: Recordings,
    protocol: str = "subject_kfold",
    *,
    folds: int = 5,
    only: Sequence[int] = (),
    calibration: int = 1,
    calibration_pool: int = 3,
    validation: float = 0.0,
    seed: int = 0,
    manifest: str | os.PathLike = "",
    seeds: int = 1,
    tries: int = 6,
    workers: int = 0,
    cache: str | os.PathLike | None = None,
    verbose: bool = True,
) -> EvaluationTable:
    """Trains and tests every estimator on each fold of a protocol, and compares all of them on the same test rows::

        table = mpcl.evaluate(["MPCL", "ridge", my_estimator], data, protocol="loso", seeds=3)
        print(table)

    The train mean is always in the table. With equal settings and `workers=1` all digits are those of `mpcl train`.
    With more workers each training has one thread, and predicted shares differ by rounding (about 3e-6).

    Args:
        estimators: one entry, a list, or a dict name -> entry. An entry is the name of a registered baseline
            ("ridge", "extra_trees", …), "MPCL" (`MPCLRegressor` with its defaults), an `MPCLRegressor` (its settings
            of model and training), or an object with fit(X, Y) and predict(X), see docs/evaluate_api.md. X [N, P]
            float32 are the z-scored features of all modalities, Y [N, C] the reported distributions.
        data: recordings, as `from_arrays`, `from_dataframe` and `load_dataset` return them.
        protocol: "loso", "subject_kfold", "trial_kfold", … as docs/protocols.md describes them.
        folds: number of folds of the k-fold protocols, 2 or more.
        only: numbers of the folds to run, counted from 0; () = all.
        calibration: labelled trials of a test subject that are trained on ("calibrated"), or its first trials, which
            are written into the memory ("few_shot").
        calibration_pool: trials of each subject that are never tested ("calibrated", "few_shot").
        validation: share of the groups of a training part that is used for validation, in [0, 1). Baselines train
            on these rows too.
        seed: seed of the folds.
        manifest: path of a manifest file whose folds are used instead.
        seeds: number of training seeds, 1 or more: 0 to `seeds` - 1. Measures are averaged over them.
        tries: number of hyper-parameter settings that a baseline may compare in each fold, on inner grouped splits.
        workers: number of processes; 0 = one per core, 1 = MPCL trains in this process with all its threads.
        cache: folder that keeps finished jobs; the same call then computes only what is missing. None = a temporary
            folder, which is kept if the evaluation is interrupted or a job fails.
        verbose: True prints data, split and progress. Warnings and failed jobs are always printed.

    Raises ConfigError for an argument or an estimator that cannot be used, and DataError for data that cannot be
    used. Where jobs fail, the other jobs are finished first; then TrainingError names the failed ones.
    """
    recordings = _checked(data)
    require_devices()
    for name, value, least in (("seeds", seeds, 1), ("workers", workers, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{name} = {value!r}: must be an integer >= {least}")
    if not isinstance(only, Sequence | range) or isinstance(only, str):
        raise ConfigError(f"only = {only!r}: must be a list of numbers of folds, counted from 0, e.g. (0,)")
    if not isinstance(manifest, str | os.PathLike):
        raise ConfigError(f"manifest = {manifest!r}: must be the path of a manifest file")
    settings = {
        "protocol": {"kind": protocol, "folds": folds, "only": tuple(only), "validation": validation}
        | {"calibration": calibration, "calibration_pool": calibration_pool, "seed": seed}
        | {"manifest": os.fspath(manifest)},
        "benchmark": {"tries": tries},
    }
    printed = contextlib.nullcontext() if verbose else contextlib.redirect_stdout(io.StringIO())
    with _own_words(), registry.temporarily(), datasets.temporarily(), restored_jax_settings(), printed:
        base, (models, others) = resolve(settings), methods_of(estimators)
        models = {name: _config(name, model, settings) for name, model in models.items()}
        with _cache_folder(cache) as folder, _interruptible() as stop, _stored(recordings, folder) as stored:
            rows = _rows(models, others, base, stored, range(seeds))
            split = rows[0].table_data.split
            describe_data(recordings)
            print(f"split  {split.protocol}: {split.sentence}; {counted(len(split.folds), 'fold', 'folds')}")
            complete(rows, folder, workers, stop, here=workers == 1)
            shares = {name: x for row in rows for name, x in predictions_of(row, folder).items()}
            memories = {}
            if kind_of(split.protocol) in WRITTEN:
                memories = {name: x for row in rows for name, x in memories_of(row, folder).items()}
        recordings = recordings._replace(notes=_notes(recordings, rows))
        table = make_run_table(recordings, split, shares, tries)
    return EvaluationTable(recordings, split, shares, table, memories)


def _checked(data: Any) -> Recordings:
    """`data` after the checks of every command. Raises DataError that names the recordings."""
    if not isinstance(data, Recordings):
        reason = "make recordings of it with from_arrays, from_dataframe or load_dataset"
        raise DataError("data", f"is {type(data).__name__}; {reason}")
    try:
        return checked(data, DataConfig(kind=KIND))
    except DataError as mistake:
        raise DataError(data.name, mistake.reason) from None


def _config(name: str, model: Config, settings: dict[str, Any]) -> Config:
    """The settings of a model in this evaluation; split and test are not those of `model`."""
    rows = settings["protocol"]["validation"] or settings["protocol"]["manifest"]
    if model.train.select == "best" and not rows and settings["protocol"]["kind"] != "fixed_48_12_13":
        reason = "its epoch is selected on validation rows; set validation of evaluate, e.g. 0.2"
        raise ConfigError(f"{name}: {reason} (its own validation_fraction is not used here)")
    own = {part: dataclasses.asdict(getattr(model, part)) for part in ("model", "loss", "train")}
    own["data"] = {"per_subject_standardise": model.data.per_subject_standardise}
    try:
        return resolve(settings | own)
    except ConfigError as mistake:
        raise ConfigError("\n".join(f"{name}: {line}" for line in str(mistake).splitlines())) from None


def _rows(
    models: dict[str, Config], others: tuple[str, ...], base: Config, stored: DataConfig, seeds: range
) -> list[Fitted | Trained]:
    """The baselines, then each model; the first one has the recordings as they were given."""
    base = dataclasses.replace(base, data=stored)
    rows: list[Fitted | Trained] = [Fitted(others, base, load_table_data(base), seeds)]
    for name, config in models.items():
        data = dataclasses.replace(stored, per_subject_standardise=config.data.per_subject_standardise)
        config = dataclasses.replace(config, data=data)
        rows.append(Trained(name, config, load_table_data(config), seeds))
    return rows


def _notes(recordings: Recordings, rows: Sequence[Fitted | Trained]) -> tuple[str, ...]:
    """The notes on the recordings, then those on what a single model gets, with its name."""
    own = [f"{row.names[0]}: {x}" for row in rows for x in row.table_data.recordings.notes]
    return *recordings.notes, *(note for note in own if note.split(": ", 1)[1] not in recordings.notes)


@contextlib.contextmanager
def _own_words() -> Iterator[None]:
    """Messages about settings name the arguments of `evaluate`."""
    try:
        yield
    except ConfigError as mistake:
        text = str(mistake)
        for setting, argument in ARGUMENTS:
            text = text.replace(setting, argument)
        raise ConfigError(text) from None


@contextlib.contextmanager
def _cache_folder(cache: str | os.PathLike | None) -> Iterator[pathlib.Path]:
    """The folder of finished jobs, locked. A temporary one stays only where its jobs can be used again."""
    if cache is not None:
        if not isinstance(cache, str | os.PathLike):
            raise ConfigError(f"cache = {cache!r}: must be the path of a folder")
        # Absolute, since workers of an earlier call keep the working directory of that time.
        folder = user_path(cache, "cache").absolute()
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"cache = {str(cache)!r}: is a file; give the path of a folder")
        make_folder(folder)
        with only_run_in(folder):
            yield folder
        return
    folder, kept = pathlib.Path(tempfile.mkdtemp(prefix="mpcl-evaluate-")), False
    try:
        yield folder
    except (KeyboardInterrupt, TrainingError):
        kept = True
        print(f"finished jobs are kept; evaluate(…, cache={str(folder)!r}) continues", file=sys.stderr)
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _stored(recordings: Recordings, folder: pathlib.Path) -> Iterator[DataConfig]:
    """The recordings as a file in `folder`, which all workers see, as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix=".data-", dir=folder) as own:
        yield store(recordings, pathlib.Path(own, "recordings.joblib").absolute())


@contextlib.contextmanager
def _interruptible() -> Iterator[StopRequest]:
    """Ctrl-C requests a stop after the running epochs; a second one raises KeyboardInterrupt at once."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # which alone receives signals
        yield stop
        return

    def interrupt(*_) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
