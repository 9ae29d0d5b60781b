"""Training speed against the same model in plain PyTorch, eager and with `torch.compile`, side by side in one run.

    pip install 'mpcl-jax[peers]'
    python -m experiments.speed.against_pytorch
    python -m experiments.speed.against_pytorch --device cuda --batches 128,512

Model, data, augmentation, losses, update of the memory and optimiser are the same (`experiments/speed/pytorch/`), and
the parameters are copied from the Flax model. Before anything is timed, both are compared without dropout and
augmentation: loss and gradient of the first batch to 1e-4, losses of five steps to 1e-3. Then each trains an epoch in
turn, --turns times; a first epoch, which compiles, is timed apart. PyTorch trains without the guard that skips steps
which are not finite. The result is a table on the screen and a CSV file, one row per measurement:

    part    "parity", "versions", or what trains: "mpcl_jax", "pytorch eager", "pytorch compiled"
    what    step, samples: of an epoch, median and quartiles over the turns · processor time: of a step, all threads ·
            first epoch: with compilation · times mpcl_jax: seconds of an epoch by PyTorch over those by this package
            in the same turn
"""

import argparse
import dataclasses
import datetime
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata

import jax
import numpy as np
import pandas as pd

from experiments.shared.measured import Measured, Ready, make_ready, write_measured
from experiments.shared.table_command import ending, path, positive, shown_command
from experiments.speed.throughput import batch_sizes
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.system.output import any_output
from mpcl_jax.train.start import start_jax
from mpcl_jax.types import spec_of

OURS, EAGER, COMPILED = "mpcl_jax", "pytorch eager", "pytorch compiled"
STEPS = 5
MOST = {"loss": 1e-4, "gradient": 1e-4, "losses": 1e-3, "memory": 1e-3, "last_gradient": 1e-4}


def versions() -> list[Measured]:
    """What the figures depend on besides the machine, which the first line of the file names."""
    date = datetime.date.today().isoformat()
    found = [("date", date), ("cores", os.cpu_count() or 1)]
    found += [(name, metadata.version(name)) for name in ("torch", "jax", "flax", "optax")]
    return [Measured("versions", None, name, value, "") for name, value in found]


def measure_parity(config: Config, ready: Ready, device: str) -> list[Measured]:
    """Raises TrainingError where the two do not compute the same."""
    from experiments.speed.pytorch.parity import compare

    run = ready.run
    state = run.program.create(ready.key, ready.label_mean).state
    rows = np.resize(run.split.folds[0].train, (STEPS, config.train.batch_size))
    found = compare(config, spec_of(run.recordings), state, run.rows, ready.arrays, rows, device)._asdict()
    for name, value in found.items():
        if not value <= MOST[name]:
            raise TrainingError(f"parity: {name} differs by {value:.2g}, at most {MOST[name]:.0e} is allowed")
    return [Measured("parity", config.train.batch_size, name, x, "") for name, x in found.items()]


def our_epoch(ready: Ready) -> Callable[[], None]:
    """A function that trains the next epoch and waits for it."""
    run, arrays, label_mean, key = ready
    training, number = run.program.create(key, label_mean), 0

    def once():
        nonlocal training, number
        number += 1
        training, _ = run.program.epoch(training, run.rows, arrays, jax.random.fold_in(key, number))
        jax.block_until_ready(training)

    return once


def torch_epoch(config: Config, ready: Ready, device: str, compiled: bool) -> Callable[[], None]:
    """The same by PyTorch."""
    import torch

    from experiments.speed.pytorch.parity import torch_rows, twin_of
    from experiments.speed.pytorch.training import Trainer

    run = ready.run
    state = run.program.create(ready.key, ready.label_mean).state
    model, memory = twin_of(state.params, state.prototypes, config, spec_of(run.recordings), device)
    steps = run.program.steps_per_epoch * config.train.epochs
    trainer = Trainer(model.train(), memory, config, steps, compiled)
    rows = torch_rows(run.rows, ready.arrays, device)
    train = torch.tensor(run.split.folds[0].train, device=device)

    def once():
        trainer.epoch(rows, train)
        if device == "cuda":
            torch.cuda.synchronize()

    return once


def measure_speed(
    epochs: dict[str, Callable[[], None]], batch: int, steps: int, turns: int
) -> list[Measured]:
    """Times every function of `epochs` in turn; one call of each is an epoch of `steps` steps of `batch` samples."""
    first, taken, processor = {}, {name: [] for name in epochs}, {name: [] for name in epochs}
    for turn in range(turns + 1):
        for name, once in epochs.items():
            clocks = time.perf_counter(), time.process_time()
            once()
            seconds = time.perf_counter() - clocks[0]
            if turn == 0:
                first[name] = seconds
                continue
            taken[name].append(seconds)
            processor[name].append(time.process_time() - clocks[1])
    measured = []
    for name in epochs:

        def row(what, values, unit, name=name):
            return Measured(name, batch, what, np.median(values), unit, *np.percentile(values, [25, 75]))

        seconds = np.array(taken[name])
        measured += [
            Measured(name, batch, "first epoch", first[name], "s"),
            row("step", 1e3 * seconds / steps, "ms"),
            row("samples", batch * steps / seconds, "1/s"),
            row("processor time", 1e3 * np.array(processor[name]) / steps, "ms"),
        ]
        if name != OURS:
            measured.append(row(f"times {OURS}", seconds / np.array(taken[OURS]), ""))
    return measured


def measure(config: Config, device: str, peers: list[str], turns: int) -> list[Measured]:
    """Parity, then speed with the batch size of `config`."""
    from experiments.speed.pytorch.parity import require_same_form

    with tempfile.TemporaryDirectory() as workdir:
        ready = make_ready(config, pathlib.Path(workdir))
        config = ready.run.config  # with numbers for "auto"
        require_same_form(config, spec_of(ready.run.recordings))
        measured = measure_parity(config, ready, device)
        for row in measured:
            print(f"parity, batch {row.batch}: {row.what} {row.value:.2g}", flush=True)
        epochs = {OURS: our_epoch(ready)}
        for name in peers:
            epochs[name] = torch_epoch(config, ready, device, name == COMPILED)
        batch, steps = config.train.batch_size, ready.run.program.steps_per_epoch
        return measured + measure_speed(epochs, batch, steps, turns)


def require_device(device: str) -> None:
    """Raises ConfigError where PyTorch is not installed, or the two would use different devices."""
    try:
        import torch
    except ModuleNotFoundError:
        raise ConfigError("PyTorch is not installed; pip install 'mpcl-jax[peers]'") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: PyTorch finds no CUDA device; use --device cpu")
    backend = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if backend != device:
        raise ConfigError(f"--device {device}: JAX uses {backend}; set JAX_PLATFORMS={device}")
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as JAX does; no effect on a CPU


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", default="configs/dataset.py")
    parser.add_argument("--batches", type=batch_sizes, default=[128], help="e.g. 128,512")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--turns", type=positive, default=7, help="epochs of each")
    parser.add_argument("--eager", action="store_true", help="without torch.compile, which takes minutes")
    parser.add_argument("--out", type=path, default="experiments/results/against_pytorch.csv")
    arguments, overrides = parser.parse_known_args(words)
    with ending():
        config = from_command_line(arguments.config, overrides)
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # both share the memory of a GPU
        start_jax()
        require_device(arguments.device)
        peers = [EAGER] if arguments.eager else [EAGER, COMPILED]
        measured = versions()
        for batch in arguments.batches:
            train = dataclasses.replace(config.train, batch_size=batch)
            of_batch = dataclasses.replace(config, train=train)
            measured += measure(of_batch, arguments.device, peers, arguments.turns)
    frame = pd.DataFrame(measured, dtype=object)
    write_measured(frame, arguments.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
