"""What the measurements of speed share: a line of a result, how often things are repeated, a run to measure."""

import csv
import io
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import fit_normalisation
from mpcl_jax.train.epoch import FoldArrays
from mpcl_jax.train.folds import fold_arrays
from mpcl_jax.train.run import Run, prepare
from mpcl_jax.types import take


class Measured(NamedTuple):
    """One line of the result; see the top of throughput.py."""

    part: str
    batch: int | None
    what: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None


class Effort(NamedTuple):
    """How often things are repeated and how large they are."""

    seconds: float  # repeat until this much time has been spent
    repeats: int  # or this often
    largest_product: int  # rows and columns
    copied: int  # float32 numbers
    windows: int  # predicted in one go


FULL = Effort(seconds=5.0, repeats=30, largest_product=8192, copied=2**26, windows=100_000)
QUICK = Effort(seconds=0.2, repeats=3, largest_product=256, copied=2**20, windows=2_000)


class Ready(NamedTuple):
    """A run and its first fold, ready to train."""

    run: Run
    arrays: FoldArrays
    label_mean: np.ndarray
    key: Any


def repeat(once: Callable[[], Any], effort: Effort) -> np.ndarray:
    """Seconds of each repetition of `once`, which returns what to wait for; a first one is not counted."""
    jax.block_until_ready(once())
    taken = []
    while len(taken) < effort.repeats and sum(taken) < effort.seconds:
        start = time.perf_counter()
        jax.block_until_ready(once())
        taken.append(time.perf_counter() - start)
    return np.array(taken)


def make_ready(config: Config, workdir: pathlib.Path) -> Ready:
    """Loads and splits the recordings; compiles nothing. `workdir` becomes a run folder."""
    run = prepare(config, workdir)
    fold = run.split.folds[0]
    arrays = fold_arrays(fold, fit_normalisation(take(run.recordings, fold.train)), run.longest)
    label_mean = run.recordings.labels[fold.train].mean(axis=0)
    key = jax.random.key(config.seed, impl=config.train.generator)
    return Ready(run, jax.device_put(arrays, run.program.replicated), label_mean, key)


def to_csv(measured: list[Measured], note: str) -> str:
    """The lines under a first line with `note`, numbers with six digits."""
    out = io.StringIO()
    out.write(f"# {note}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Measured._fields)
    writer.writerows([f"{x:.6g}" if isinstance(x, float) else x for x in line] for line in measured)
    return out.getvalue()


def to_table(measured: list[Measured]) -> str:
    """The lines in columns for the eye."""
    lines = []
    for x in measured:
        quartiles = "" if x.low is None else f"{x.low:.4g} … {x.high:.4g}"
        lines.append(f"{x.part:11s} {x.batch or '':>5} {x.what:14s} {x.value:10.4g} {x.unit:8s} {quartiles}")
    return "\n".join(lines)
