"""Throughput: training, prediction and start-up times, and training as a share of the peak of the machine.

    python -m experiments.speed.throughput
    python -m experiments.speed.throughput --config configs/wesad.py --batches 64,256 --config.data.path=WESAD

Everything is measured in one run, on the devices and threads that JAX finds. Settings are overridden as in
`mpcl_jax.cli.train`; --batches replaces `config.train.batch_size`. --quick is a test of the command; its numbers are
meaningless. The result is a table on the screen and a CSV file, one row per measurement:

    part    "start cold", "start warm": a fresh process, with an empty and with a filled compilation cache
            "machine": peaks of the first device · "train", "stream", "predict": the model of the config
    batch   rows per training step, or per block of a prediction; empty where it does not apply
    what    see below
    value   the median, or a single value; best of several for "machine"
    unit    of value, low and high
    low, high    quartiles over repetitions (5 s or 30 repetitions, whichever ends first); empty for single values

start     import (interpreter and all modules of a run), data (devices, recordings, split), compile (initialisation
          and epoch, compiled side by side), first_epoch (run), to_first_step (from the start of the process; of
          the first epoch only one step), and peak_memory at the end, compilation included
machine   matmul: the fastest float32 product, square or tall
train     flop, bytes and temporary memory of one compiled step, by XLA's cost analysis; step: time of an
          epoch / its steps; samples; ceiling: flop per second as a share of machine/matmul
stream    speed: of an epoch whose rows are streamed to the device in three parts (config.train.stream_rows), as a
          share of the epoch above it
predict   samples: all rows of the data set in one call of the run's own program · by mpcl_jax.runs.predict, arrays to
          arrays: latency and its 95th percentile for one window, bulk for 100,000 windows in one go

XLA's analysis counts the body of a loop once, so the analysis of the compiled epoch is the cost of one step (and of
one shuffle, which has hardly any FLOP). It counts elementwise operations too, including those that fusion repeats:
about 1.2 times the FLOP of the matrix products. On several devices it is the part of one device, as is the ceiling.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.shared.measured import (
    FULL,
    QUICK,
    Effort,
    Measured,
    Ready,
    make_ready,
    repeat,
    write_measured,
)
from experiments.shared.table_command import ending, path, shown_command
from experiments.speed import first_step
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import fit_normalisation
from mpcl_jax.runs.predict import LARGEST, finished_model, predict
from mpcl_jax.system.output import any_output
from mpcl_jax.train.epoch import EVALUATION_BLOCK, padded_length
from mpcl_jax.train.start import start_jax
from mpcl_jax.train.state import chosen_model
from mpcl_jax.types import spec_of, take


def matmul_ceiling(effort: Effort) -> Measured:
    """The fastest of float32 products of growing squares, until one takes half a second, and of a tall one."""
    squares = [(n, n, n) for n in (256, 512, 1024, 2048, 4096, 8192) if n <= effort.largest_product]
    best = 0.0
    product = jax.jit(jnp.dot)
    for rows, inner, columns in [(16 * effort.largest_product, 64, 128), *squares]:
        a, b = jnp.ones((rows, inner)), jnp.ones((inner, columns))
        seconds = repeat(lambda a=a, b=b: product(a, b), effort._replace(seconds=1.0)).min()
        best = max(best, 2e-9 * rows * inner * columns / seconds)
        if seconds > 0.5:
            break
    return Measured("machine", None, "matmul", best, "GFLOP/s")


def measure_training(ready: Ready, ceiling: float, effort: Effort) -> list[Measured]:
    """Cost and speed of a training step over whole epochs; `ceiling` in GFLOP/s."""
    run, arrays, label_mean, key = ready
    training = run.program.create(key, label_mean)
    epoch = run.program.epoch.lower(training, run.rows, arrays, key).compile()
    keys = iter([jax.random.fold_in(key, i) for i in range(effort.repeats + 1)])

    def once():
        nonlocal training
        training, report = epoch(training, run.rows, arrays, next(keys))
        return training, report

    step = np.percentile(repeat(once, effort), [50, 25, 75]) / run.program.steps_per_epoch
    batch, cost = run.config.train.batch_size, epoch.cost_analysis()
    memory = epoch.memory_analysis().temp_size_in_bytes
    rate = batch / step
    share = 1e-7 * cost["flops"] / ceiling / step
    return [
        Measured("train", batch, "flop", 1e-9 * cost["flops"], "GFLOP"),
        Measured("train", batch, "bytes", 1e-6 * cost["bytes accessed"], "MB"),
        Measured("train", batch, "temporary", 1e-6 * memory, "MB"),
        Measured("train", batch, "step", 1e3 * step[0], "ms", 1e3 * step[1], 1e3 * step[2]),
        Measured("train", batch, "samples", rate[0], "1/s", rate[2], rate[1]),
        Measured("train", batch, "ceiling", share[0], "%", share[2], share[1]),
    ]


def measure_streaming(config: Config, effort: Effort) -> Measured:
    """Speed of an epoch streamed in parts of a third, as a share of the resident epoch; the two in turn."""
    train, taken = config.train, {}
    with tempfile.TemporaryDirectory() as workdir:
        resident = make_ready(config, pathlib.Path(workdir))
    third = max(1, resident.run.program.steps_per_epoch // 3) * train.batch_size
    with tempfile.TemporaryDirectory() as workdir:
        changed = dataclasses.replace(config, train=dataclasses.replace(train, stream_rows=third))
        streamed = make_ready(changed, pathlib.Path(workdir))
    trainings = [x.run.program.create(x.key, x.label_mean) for x in (resident, streamed)]
    for turn in range(effort.repeats + 1):
        for number, (run, arrays, _, key) in enumerate((resident, streamed)):
            start = time.perf_counter()
            key = jax.random.fold_in(key, turn)
            trainings[number], _ = run.program.epoch(trainings[number], run.rows, arrays, key)
            jax.block_until_ready(trainings[number])
            taken.setdefault(number, []).append(time.perf_counter() - start)
        if sum(taken[0][1:]) > effort.seconds:
            break
    share = 100 * np.median(taken[0][1:]) / np.median(taken[1][1:])  # the first of each compiles
    return Measured("stream", train.batch_size, "speed", share, "%")


def measure_prediction(ready: Ready, effort: Effort) -> Measured:
    """Windows per second of `program.predict` over all rows of the data set."""
    run = ready.run
    model = chosen_model(run.program.create(ready.key, ready.label_mean))
    rows = len(run.recordings.labels)
    chosen = np.resize(np.arange(rows, dtype=np.int32), padded_length(rows))
    taken = repeat(lambda: run.program.predict(*model, run.rows, ready.arrays, chosen), effort)
    rate = rows / np.percentile(taken, [50, 75, 25])
    return Measured("predict", EVALUATION_BLOCK, "samples", rate[0], "1/s", rate[1], rate[2])


def measure_serving(ready: Ready, effort: Effort) -> list[Measured]:
    """Latency of one window, and windows per second of 100,000 in one go, by `runs.predict`, NumPy to NumPy."""
    run = ready.run
    fold = run.split.folds[0]
    norm = fit_normalisation(take(run.recordings, fold.train))
    chosen = chosen_model(run.program.create(ready.key, ready.label_mean))
    # One window cannot be standardised by its subject.
    data = dataclasses.replace(run.config.data, per_subject_standardise=False)
    config = dataclasses.replace(run.config, data=data)
    model = finished_model(config, spec_of(run.recordings), norm, *chosen)
    many = {m: np.resize(x, (effort.windows, *x.shape[1:])) for m, x in run.recordings.signals.items()}
    one = {m: x[:1] for m, x in many.items()}
    latency = 1e3 * repeat(lambda: predict(model, one), effort._replace(repeats=20 * effort.repeats))
    bulk = repeat(lambda: predict(model, many), effort._replace(repeats=3))
    return [
        Measured("predict", 1, "latency", np.median(latency), "ms", *np.percentile(latency, [25, 75])),
        Measured("predict", 1, "latency p95", np.percentile(latency, 95), "ms"),
        Measured("predict", LARGEST, "bulk", effort.windows / np.median(bulk), "1/s"),
    ]


def measure_starts(config: str, settings: list[str]) -> list[Measured]:
    """Two starts in fresh processes, the second with the programs that the first has kept.

    Call it before this process has computed anything: Linux hands a parent's peak memory on to its children.
    """
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        for part in ("start cold", "start warm"):
            command = [sys.executable, "-m", first_step.__name__, config, str(time.time()), *settings]
            ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            for what, value in json.loads(ended.stdout.splitlines()[-1]).items():
                measured.append(Measured(part, None, what, value, "MB" if what == "peak_memory" else "s"))
    return measured


def measure_config(config: Config, batches: list[int], effort: Effort) -> list[Measured]:
    """The machine, then predictions, then training with each batch size."""
    ceiling = matmul_ceiling(effort)
    measured = [ceiling]
    for number, batch in enumerate(batches):
        train = dataclasses.replace(config.train, batch_size=batch)
        with tempfile.TemporaryDirectory() as workdir:
            ready = make_ready(dataclasses.replace(config, train=train), pathlib.Path(workdir))
            if number == 0:  # predictions are made in blocks of their own
                measured.append(measure_prediction(ready, effort))
                measured += measure_serving(ready, effort)
            measured += measure_training(ready, ceiling.value, effort)
        if number == 0:
            measured.append(measure_streaming(dataclasses.replace(config, train=train), effort))
    return measured


def batch_sizes(text: str) -> list[int]:
    sizes = [int(x) for x in text.split(",")]
    if min(sizes) < 1:
        raise ValueError
    return sizes


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", default="configs/dataset.py")
    parser.add_argument("--batches", type=batch_sizes, default=[32, 128, 512], help="e.g. 32,128,512")
    parser.add_argument("--out", type=path, default="experiments/results/throughput.csv")
    parser.add_argument("--quick", action="store_true", help="a few repetitions; the numbers are meaningless")
    arguments, overrides = parser.parse_known_args(words)
    with ending():
        config = from_command_line(arguments.config, overrides)
        start_jax()
        try:
            measured = measure_starts(arguments.config, overrides)
        except subprocess.CalledProcessError as failed:  # it has printed the reason
            sys.exit(failed.returncode)
        measured += measure_config(config, arguments.batches, QUICK if arguments.quick else FULL)
    frame = pd.DataFrame(measured, dtype=object)
    write_measured(frame, arguments.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
