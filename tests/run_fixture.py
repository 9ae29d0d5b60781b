"""A run that trains in seconds: five simulated subjects, three folds of unequal size, width 8, three epochs."""

import contextlib
import dataclasses
import functools
import pathlib

import jax
import numpy as np
import pytest
from tiny_model import quick_options

from mpcl_jax.config.resolve import default, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.runs import predict, programs
from mpcl_jax.train import checkpoint, folds
from mpcl_jax.train.run import Run, prepare
from mpcl_jax.train.state import Training

TINY = {
    "data.simulate.subjects": 5,
    "data.simulate.clips": 6,
    "data.simulate.windows": 2,
    # Folds of 2, 2 and 1 subjects: 24, 24 and 36 training rows, so 2 or 3 batches, and 24, 24 and 12 test rows.
    "protocol.folds": 3,
    "protocol.validation": 0.2,
    "model.width": 8,
    "model.tokens": 1,
    "model.fusion.heads": 2,
    "model.memory.slots": 2,
    "train.batch_size": 16,
    "train.epochs": 3,
    "train.checkpoint_every": 1,
    # With so few rows the best epoch by validation is not the last one.
    "train.learning_rate": 0.02,
    "train.warmup": 0.0,
    "train.select": "best",
    "benchmark.baselines": ("train_mean",),
}
# A model that compiles in half the time, with memory and co-occurrence, for tests of what lies around the model.
SMALL = {
    "data.modalities": ("eeg", "video"),
    "model.fusion.within_group": False,
    "model.fusion.across_groups": False,
    "model.head.hierarchy": "mean",
    "model.head.direct": False,
}
# The same with all modalities: for `settings` of the estimator, and for a command line.
SMALL_MODEL = {name: value for name, value in SMALL.items() if name != "data.modalities"}
SMALL_FLAGS = tuple(f"--config.{name}={value}" for name, value in SMALL_MODEL.items())


class WithConfig:
    """What `evaluate` needs of `MPCLRegressor`, with any settings."""

    def __init__(self, config):
        self.to_config = lambda: config


class PowerCut(Exception):
    """Ends a training at a place that a test chooses."""


def tiny_config(**changes) -> Config:
    """The settings above with changes, "__" for the dot: `tiny_config(train__epochs=4)`."""
    settings = default()
    settings.update_from_flattened_dict(TINY | {k.replace("__", "."): v for k, v in changes.items()})
    return resolve(settings)


def sharding_config(**changes) -> Config:
    """Two epochs of five batches of 16 from 72 training rows; dropout of tokens, modalities and groups on."""
    return tiny_config(
        data__simulate__subjects=8,
        protocol__folds=8,
        protocol__only=(0,),
        train__select="last",
        train__epochs=2,
        train__learning_rate=2e-3,
        **changes,
    )


def forty_epochs(epochs: int = 40, **changes) -> Config:
    """Epochs of five steps, with a checkpoint after each, and the default warm-up.

    Without a warm-up the first step of Adam is as long for a gradient that is 0 in theory (that of the strength of
    a flat prior) as for any other, and rounding decides its direction.
    """
    config = sharding_config(train__warmup=default().train.warmup, **changes)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs))


def table_config(**changes) -> Config:
    """Two epochs of three folds; in groups of two, the second group holds the third fold alone."""
    # Small steps: at 0.02 the sharp assignment to slots turns rounding into differences of 1e-4 within six steps.
    changes = {"train__learning_rate": 2e-3} | changes
    return tiny_config(train__generator="threefry2x32", train__epochs=2, **changes)


def quickly(function, *, once=False, **options):
    """`devices.compiled` for tests: compiles fast and runs slowly."""
    return jax.jit(function, compiler_options=quick_options(), **options)


def quickly_prepared(config: Config, workdir: pathlib.Path) -> Run:
    """`prepare` with programs that compile fast and run slowly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "compiled", quickly)
        return prepare(config, workdir)


@contextlib.contextmanager
def programs_compiled_fast_and_once():
    """Inside, predictions of equal settings and shapes share one program, as trainings do, and all compile fast."""
    kept = {}

    def once(make):
        @functools.wraps(make)
        def made(config, *rest):
            shapes = jax.tree.map(lambda x: getattr(x, "shape", x), rest)
            key = repr((make.__name__, dataclasses.replace(config, seed=0), shapes))
            if key not in kept:
                kept[key] = make(config, *rest)
            return kept[key]

        return made

    with pytest.MonkeyPatch.context() as patch:
        for module in (folds, programs):
            patch.setattr(module, "compiled", quickly)
        patch.setattr(predict, "functions_of", once(predict.functions_of))
        yield


def moved(run: Run, workdir: pathlib.Path, folds: slice = slice(None), **train) -> Run:
    """A prepared run, with its compiled programs, in another folder; `train` are settings that compile alike."""
    workdir.mkdir(parents=True, exist_ok=True)
    settings = dataclasses.replace(run.config.train, **train)
    return run._replace(
        workdir=workdir,
        split=run.split._replace(folds=run.split.folds[folds]),
        config=dataclasses.replace(run.config, train=settings),
        board=None,
    )


def last_training(run: Run, number: int = 0) -> tuple[int, Training]:
    """Finished epochs and state of a fold's newest checkpoint."""
    folder = run.workdir / "folds" / f"{number:02d}" / "checkpoints"
    origin = run.origin | {"fold": run.split.folds[number].name}
    with checkpoint.open_checkpoints(folder, origin) as saved:
        key, mean = jax.random.key(0, impl="rbg"), run.recordings.labels[0]
        like = jax.eval_shape(run.program.create, key, mean)
        return checkpoint.restore(saved, like, run.program.replicated)


def bits(tree) -> list[tuple]:
    """Place, type, shape and bytes of every leaf."""
    leaves = [(jax.tree_util.keystr(k), np.asarray(x)) for k, x in jax.tree_util.tree_leaves_with_path(tree)]
    return [(place, x.dtype.name, x.shape, x.tobytes()) for place, x in leaves]
