"""What the measurements of speed share: repetitions, a prepared run, the result file."""

import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from experiments.shared.render import markdown_of
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluation.table_text import csv_text
from mpcl_jax.system.storage import make_folder, write_text
from mpcl_jax.train.environment import code_version, machine
from mpcl_jax.train.epoch import FoldArrays
from mpcl_jax.train.run import Run, arrays_of, member_of, prepare


class Measured(NamedTuple):
    """One row of the result; see the top of throughput.py."""

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
    windows: int  # predicted in one go


FULL = Effort(seconds=5.0, repeats=30, largest_product=8192, windows=100_000)
QUICK = Effort(seconds=0.2, repeats=3, largest_product=256, windows=2_000)


class Ready(NamedTuple):
    """A run and its first fold, ready to train."""

    run: Run
    arrays: FoldArrays
    label_mean: np.ndarray
    key: Any


def repeat(once: Callable[[], Any], effort: Effort, clock=time.perf_counter) -> np.ndarray:
    """Seconds of each repetition of `once`, which returns the arrays to wait for; the first call is not counted."""
    jax.block_until_ready(once())
    taken = []
    while len(taken) < effort.repeats and sum(taken) < effort.seconds:
        start = clock()
        jax.block_until_ready(once())
        taken.append(clock() - start)
    return np.array(taken)


def make_ready(config: Config, workdir: pathlib.Path) -> Ready:
    """Loads and splits the recordings; compiles nothing. `workdir` becomes a run folder."""
    run = prepare(config, workdir)
    member = member_of(run, 0)
    arrays = jax.device_put(arrays_of(run, member), run.program.replicated)
    return Ready(run, arrays, member.label_mean, member.key)


def write_measured(frame: pd.DataFrame, out: pathlib.Path, command: str) -> None:
    """Prints the rows and writes them as CSV, floats with six digits; the first line names command and machine."""
    print(f"{machine()}\n{markdown_of(frame)}")
    texts = frame.astype(object).map(
        lambda x: "" if pd.isna(x) else f"{x:.6g}" if isinstance(x, float) else x
    )
    make_folder(out.parent)
    write_text(out, csv_text(texts, command=command, commit=f"{code_version()} @ {machine()}"))
    print(f"written to {out}")
