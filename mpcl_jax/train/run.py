"""What a run is: recordings, split, compiled program and folder, checked before anything is compiled."""

import dataclasses
import functools
import pathlib
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from mpcl_jax.config.data import ProtocolConfig
from mpcl_jax.config.fields import AUTO
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data import pipeline
from mpcl_jax.data.normalise import Normalisation, fit_normalisation, require_present
from mpcl_jax.data.splits.descriptions import counted
from mpcl_jax.data.splits.inner import inner_rows
from mpcl_jax.data.splits.protocols import Fold, Split, make_split
from mpcl_jax.model.mpcl import build
from mpcl_jax.system.collector import paused_collection
from mpcl_jax.train import processes, run_folder
from mpcl_jax.train.devices import compiled_meanwhile, make_mesh
from mpcl_jax.train.epoch import FoldArrays
from mpcl_jax.train.folds import (
    Longest,
    Program,
    Rows,
    device_rows,
    fold_arrays,
    host_rows,
    longest_of,
    make_program,
)
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.state import Training, make_optimizer
from mpcl_jax.train.step import make_train_step
from mpcl_jax.train.targets import NO_MEANS, mean_reports
from mpcl_jax.types import DataSpec, Recordings, spec_of, take

# What "auto" means, by the number of training windows: for many, for few. Dropout falls with the square root of the
# number, epochs so that the number of gradient steps stays about the same.
FEW = 400  # training windows up to which the strongest regularisation applies
SMALL = 2000  # training windows up to which the model is small and inner folds choose the number of epochs
DROPOUT = (0.1, 0.4)
EPOCHS = (20, 200)
INPUT_DROPOUT, WIDTH, LEARNING_RATE, SELECT = (0.0, 0.4), (64, 32), (2e-3, 1e-3), ("last", "inner")
SEEN = 60_000  # windows of a whole training, over all epochs

PROGRAMS = 4  # kept in a process, the last ones; about 100 MB each


class Run(NamedTuple):
    """What all folds of a run share."""

    config: Config
    workdir: pathlib.Path
    recordings: Recordings
    split: Split
    program: Program
    longest: Longest  # of all folds of the protocol, also of those that are not run
    rows: Rows  # on the device, or on the host if config.train.stream_rows
    origin: dict[str, str]  # sha256 of data and split, kept in every checkpoint
    board: Any = None  # a TensorBoard writer
    stop: StopRequest = StopRequest()  # requested by signals (`cli/train.py`)


class Stop(NamedTuple):
    """The epoch at which a training stops, chosen on inner folds (`inner_selection.py`)."""

    epoch: int  # counted from 1; 0: nothing is trained, and the model predicts the mean label
    kl: float  # mean KL of the held-out rows of all inner folds at this epoch; NaN without inner folds
    mean_label_kl: float  # the same of the mean label

    @property
    def sentence(self) -> str:
        """When the training stops, and why."""
        if np.isnan(self.kl):
            return f"no inner folds, as its training part is one group; trains {self.epoch} epochs"
        if self.epoch == 0:
            return f"is not trained: on inner folds no epoch is clearly below the KL of the mean label, {self.kl:.4f}"
        against = f"KL on inner folds {self.kl:.4f}, of the mean label {self.mean_label_kl:.4f}"
        return f"stops after epoch {self.epoch}: {against}"


class Member(NamedTuple):
    """A fold that is trained, alone or in a group."""

    number: int  # in the run; names its folder
    fold: Fold
    key: Any  # everything random in the fold is drawn from it
    norm: Normalisation
    label_mean: np.ndarray  # [C], of the training part
    mean_reports: np.ndarray  # [S + 1, C] of each stimulus, of the training part
    stop: Stop | None = None  # before the last epoch, if config.train.select = "inner"


def prepare(
    config: Config, workdir: pathlib.Path, describe: Callable[[Recordings], None] = lambda _: None
) -> Run:
    """Loads the recordings, makes the split and registers the folder; compiles nothing.

    `describe` is called with the recordings before the split is made: their notes may say why it is refused.

    Raises ConfigError and DataError for everything that can be wrong before training begins, ProcessError
    where another process is late or has other settings or data.
    """
    mesh = make_mesh(config)
    recordings = pipeline.load(config.data)
    describe(recordings)
    split, whole = _splits(recordings, config.protocol)
    if config.train.select == "best" and not all(len(fold.validation) for fold in split.folds):
        raise ConfigError(
            "config.train.select = 'best': the manifest has a fold without validation rows; set "
            "config.train.select=last"
        )
    at_once = config.train.folds_at_once
    if at_once > len(split.folds):
        folds = counted(len(split.folds), "fold", "folds")
        raise ConfigError(f"config.train.folds_at_once = {at_once}: this run has {folds}")
    config, longest = with_sizes(config, whole), longest_of(whole.folds)
    if config.train.select == "inner":
        longest = longest._replace(validation=max(longest.validation, longest_inner(recordings, whole)))
    processes.meet("data loaded", config.distributed)
    common = dataclasses.replace(config, distributed=dataclasses.replace(config.distributed, process_id=0))
    processes.require_same("settings", str(common))
    processes.require_same("data or split", pipeline.content_hash(recordings) + split.sha256)
    origin = processes.by_first(lambda: run_folder.register_run(workdir, config, recordings, split))
    program = program_of(config, spec_of(recordings), longest.train, mesh)
    rows = host_rows(recordings) if config.train.stream_rows else device_rows(recordings, program.replicated)
    return Run(config, workdir, recordings, split, program, longest, rows, origin)


def program_of(config: Config, spec: DataSpec, longest: int, mesh: Mesh) -> Program:
    """The functions of a run around its training step; `longest` is the largest number of training rows of a fold.

    Equal settings of model, losses and training, equal shapes and equal devices share one program, so that a
    cross-validation compiles once. Nothing else enters a program, neither the seed nor the rows.
    """
    steps = -(-longest // config.train.batch_size)  # of an epoch
    settings = Config(model=config.model, loss=config.loss, train=config.train)
    groups, shapes = tuple(spec.groups.items()), tuple(spec.shapes.items())
    return shared_program(settings, spec.emotions, spec.valence, groups, shapes, steps, mesh)


@functools.lru_cache(maxsize=PROGRAMS)
def shared_program(settings: Config, emotions, valence, groups, shapes, steps: int, mesh: Mesh) -> Program:
    """The same from hashable arguments: `groups` and `shapes` are the items of those of a `DataSpec`.

    `shared_program.cache_clear()` makes the next program a new one.
    """
    spec = DataSpec(emotions, valence, dict(groups), dict(shapes))
    model = build(settings.model, spec, settings.train.precision)
    optimizer = make_optimizer(settings.train, steps * settings.train.epochs)
    train_step = make_train_step(model, optimizer, settings)
    return make_program(settings, model, spec, optimizer, train_step, steps, mesh)


def with_other_folds(run: Run, config: Config, workdir: pathlib.Path) -> Run:
    """The run of `config`, which may differ from that of `run` in `seed` and `protocol.only`, in a folder of its own.

    Recordings and compiled program are those of `run`. Raises ConfigError as `prepare` does.
    """
    split, whole = _splits(run.recordings, config.protocol)
    config = with_sizes(config, whole)
    origin = run_folder.register_run(workdir, config, run.recordings, split)
    return run._replace(config=config, workdir=workdir, split=split, origin=origin)


def with_sizes(config: Config, whole: Split) -> Config:
    """`config` with numbers for every "auto", by the smallest training part of `whole`, which has all folds.

    A config file is read before the recordings, so it cannot compute from them. No label and no signal takes part.
    """
    windows = min(len(fold.train) for fold in whole.folds)
    share = (FEW / max(windows, FEW)) ** 0.5
    small = int(windows <= SMALL)
    of_model = {
        "dropout": round(max(DROPOUT[0], DROPOUT[1] * share), 3),
        "input_dropout": round(INPUT_DROPOUT[1] * share if small else INPUT_DROPOUT[0], 3),
        "width": WIDTH[small],
    }
    of_training = {
        "epochs": min(max(round(SEEN / windows), EPOCHS[0]), EPOCHS[1]),
        "learning_rate": LEARNING_RATE[small],
        "select": SELECT[small],
    }
    model, train = _filled(config.model, of_model), _filled(config.train, of_training)
    return dataclasses.replace(config, model=model, train=train)


def _filled(settings, values: dict):
    """`settings` with `values` in place of "auto"."""
    return dataclasses.replace(settings, **{k: v for k, v in values.items() if getattr(settings, k) == AUTO})


def _splits(recordings: Recordings, settings: ProtocolConfig) -> tuple[Split, Split]:
    """The split of a run, and the same with all folds of its protocol, also those that `only` leaves out."""
    split = whole = make_split(recordings, settings)
    require_present(recordings, {fold.name: fold.train for fold in split.folds})
    if settings.only:
        whole = make_split(recordings, dataclasses.replace(settings, only=()))
    return split, whole


def longest_inner(recordings: Recordings, split: Split) -> int:
    """The largest number of rows that any inner fold of `split` holds out."""
    return max(
        len(held)
        for fold in split.folds
        for held in inner_rows(recordings, split.protocol, fold.train) or [()]
    )


def member_of(run: Run, number: int) -> Member:
    """Fold `number` of the run, with its key and the statistics of its training part."""
    return as_member(run, number, run.split.folds[number])


@jax.jit
def folded_key(key, number):
    """The key of a fold or an epoch by its `number`, a np.uint32. One program is faster than JAX's six small ones."""
    return jax.random.fold_in(key, number)


@paused_collection()
def begin_training(run: Run, keys, label_means, arrays: FoldArrays) -> Training:
    """A fresh training, from arguments of `Program.create` and `Program.epoch`; the epoch is compiled meanwhile."""
    program = run.program
    if run.config.train.stream_rows:  # an epoch of several programs
        return program.create(keys, label_means)
    like = jax.eval_shape(program.create, keys, label_means)
    with compiled_meanwhile(program.epoch, like, run.rows, arrays, keys):
        return program.create(keys, label_means)


def as_member(run: Run, number: int, fold: Fold) -> Member:
    """`fold` with its key, as fold `number` of the run, and the statistics of its training part."""
    # 3 of "fold 3 of 10", so that `protocol.only` does not change its result; else a number of the manifest's name.
    ours = re.fullmatch(r"fold (\d{1,9}) of \d+", fold.name)
    own_number = int(ours[1]) if ours else zlib.crc32(fold.name.encode())
    key = folded_key(jax.random.key(run.config.seed, impl=run.config.train.generator), np.uint32(own_number))
    training_part = take(run.recordings, fold.train)
    norm, label_mean = fit_normalisation(training_part), training_part.labels.mean(axis=0)
    means = mean_reports(run.recordings, fold.train) if run.config.train.stimulus_averaging else NO_MEANS
    return Member(number, fold, key, norm, label_mean, means)


def arrays_of(run: Run, member: Member) -> FoldArrays:
    """Host arrays of the fold of `member`."""
    return fold_arrays(member.fold, member.norm, run.longest, member.mean_reports)
