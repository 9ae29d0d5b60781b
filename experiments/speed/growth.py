"""Growth of the cost of a training step with each size of the problem.

    python -m experiments.speed.growth
    python -m experiments.speed.growth --axes emotions,prototypes

One size is doubled or more while the others stay as in BASE; random data, one step per measurement. Per point: FLOP
of the compiled step (XLA's cost analysis), its temporary memory (XLA's plan) and processor time (all threads, the
minimum of several). Each axis ends with the exponents p of `cost ~ size^p` between its last two points and the
exponent that the arithmetic of the method allows:

    samples     1   rows of a batch
    tokens      2   every token can recall every other
    width       2   matrices of width x width
    emotions    2   every emotion recalls the prototypes of every emotion; the map is C x C
    prototypes  1   slots of an emotion
    folds       1   trained side by side in one program

Parameters and optimiser grow with the width only; the sizes start where the other costs are larger.
"""

import argparse
import dataclasses
import sys
import time
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from experiments.shared.measured import write_measured
from experiments.shared.render import markdown_of
from experiments.shared.table_command import path, shown_command
from mpcl_jax.config.schema import Config
from mpcl_jax.model.mpcl import build
from mpcl_jax.system.output import any_output
from mpcl_jax.train.devices import compiled
from mpcl_jax.train.jax_settings import fix_jax_settings
from mpcl_jax.train.state import create_training, make_optimizer
from mpcl_jax.train.step import make_train_step
from mpcl_jax.types import Batch, DataSpec

BASE = {"samples": 64, "tokens": 4, "width": 32, "emotions": 10, "prototypes": 4, "folds": 1}
POINTS = {
    "samples": (64, 128, 256, 512),
    "tokens": (4, 8, 16, 32),
    "width": (32, 64, 128, 256),
    "emotions": (10, 24, 100, 1000),
    "prototypes": (4, 16, 64, 256),
    "folds": (1, 2, 4, 8),
}
# With a thousand emotions the map alone is a million numbers per sample.
SMALLER = {"emotions": {"samples": 4, "width": 16, "prototypes": 2}}
ALLOWED = {"samples": 1, "tokens": 2, "width": 2, "emotions": 2, "prototypes": 1, "folds": 1}


class Point(NamedTuple):
    """One line of the result."""

    axis: str
    size: int
    flop: float  # GFLOP of a step
    memory: float  # MB, temporary
    time: float  # ms of processor time of a step


def spec_for(emotions: int) -> DataSpec:
    """Two modalities of each group with 32 features each, `emotions` of two valences."""
    groups = {"a": "physiological", "b": "physiological", "c": "behavioural", "d": "behavioural"}
    names = tuple(f"emotion {i}" for i in range(emotions))
    valence = tuple(("positive", "negative")[i % 2] for i in range(emotions))
    return DataSpec(names, valence, groups, dict.fromkeys(groups, (1, 32)))


def random_batch(spec: DataSpec, sizes: dict) -> Batch:
    """Windows with everything present; with one more axis in front for folds side by side."""
    rng = np.random.default_rng(0)
    front = (sizes["folds"], sizes["samples"])
    labels = rng.dirichlet(np.ones(len(spec.emotions)), front).astype(np.float32)
    signals = {m: rng.normal(size=(*front, *shape)).astype(np.float32) for m, shape in spec.shapes.items()}
    return Batch(signals, {m: np.ones(front, bool) for m in signals}, labels, np.ones(front, np.float32))


def measure(axis: str, size: int, repeats: int) -> Point:
    """Compiles a step at one point of an axis and runs it."""
    sizes = BASE | SMALLER.get(axis, {}) | {axis: size}
    config, spec = Config(), spec_for(sizes["emotions"])
    memory = dataclasses.replace(config.model.memory, slots=sizes["prototypes"])
    settings = dataclasses.replace(config.model, width=sizes["width"], tokens=sizes["tokens"], memory=memory)
    config = dataclasses.replace(config, model=settings)
    model, optimizer = build(settings, spec), make_optimizer(config.train, 100)
    step = make_train_step(model, optimizer, config)
    mean = np.full(sizes["emotions"], 1 / sizes["emotions"], np.float32)
    keys = jax.random.split(jax.random.key(0), sizes["folds"])

    def create(key):
        return create_training(key, mean, model, spec, optimizer, "last", 1).state

    state = compiled(jax.vmap(create), once=True)(keys)
    batch = jax.device_put(random_batch(spec, sizes))
    ready = compiled(jax.vmap(lambda *x: step(*x)[0])).lower(state, batch, keys).compile()
    taken = []
    for _ in range(repeats + 1):  # the first is not counted
        start = time.process_time()
        jax.block_until_ready(ready(state, batch, keys))
        taken.append(time.process_time() - start)
    temporary = ready.memory_analysis().temp_size_in_bytes
    flop = ready.cost_analysis()["flops"]
    return Point(axis, size, 1e-9 * flop, 1e-6 * temporary, 1e3 * min(taken[1:]))


def exponents(points: list[Point]) -> dict[str, float]:
    """p of `cost ~ size^p` between the last two of `points`, which belong to one axis."""
    before, last = points[-2:]
    grown = np.log(last.size / before.size)
    return {
        what: float(np.log(last._asdict()[what] / before._asdict()[what]) / grown)
        for what in ("flop", "memory", "time")
    }


def exponent_frame(points: list[Point]) -> pd.DataFrame:
    """The exponents of each axis beside the allowed one."""
    rows = []
    for axis in dict.fromkeys(x.axis for x in points):
        found = exponents([x for x in points if x.axis == axis])
        texts = {f"p of {what}": f"{p:.2f}" for what, p in found.items()}
        rows.append({"axis": axis} | texts | {"allowed": str(ALLOWED[axis])})
    return pd.DataFrame(rows)


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--axes", default=",".join(POINTS), help="some of " + ",".join(POINTS))
    parser.add_argument("--points", type=int, default=4, help="of each axis, from the smallest; at least 2")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=path, default="experiments/results/growth.csv")
    args = parser.parse_args(words)
    fix_jax_settings()
    axes = [axis.strip() for axis in args.axes.split(",")]
    if unknown := [axis for axis in axes if axis not in POINTS]:
        parser.error(f"--axes: unknown {unknown[0]!r}; known: {', '.join(POINTS)}")
    if args.points < 2 or args.repeats < 1:
        parser.error("--points must be at least 2 and --repeats at least 1")
    points = []
    for axis in axes:
        for size in POINTS[axis][: args.points]:
            points.append(measure(axis, size, args.repeats))
            print(*points[-1], file=sys.stderr, flush=True)
    print(markdown_of(exponent_frame(points)))
    write_measured(pd.DataFrame(points), args.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
