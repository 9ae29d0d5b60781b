"""Cost of the guard of a training step: epochs with and without it, in turn.

    python -m experiments.speed.guard
    python -m experiments.speed.guard --config configs/wesad.py --config.data.path=WESAD

The guard checks that loss, gradient and memory are finite, and chooses between old and new state. The command
measures processor time of all threads, which other programs on the machine hardly change, and prints the median over
pairs of successive epochs with quartiles.
"""

import argparse
import pathlib
import sys
import tempfile
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from experiments.shared.measured import Ready, make_ready
from experiments.shared.table_command import ending
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.system.output import any_output
from mpcl_jax.train import step
from mpcl_jax.train.run import shared_program
from mpcl_jax.train.start import start_jax


class _Sound:
    """Replaces the result of the guard's check: the step is always finite."""

    def __and__(self, _):
        return jnp.bool_(True)


def compiled(ready: Ready):
    """The compiled epoch of a run, and its training state."""
    training = ready.run.program.create(ready.key, ready.label_mean)
    return ready.run.program.epoch.lower(
        training, ready.run.rows, ready.arrays, ready.key
    ).compile(), training


def seconds(epoch, training, ready: Ready):
    """Processor time of one epoch, and the training state after it."""
    start = time.process_time()
    training, report = epoch(training, ready.run.rows, ready.arrays, ready.key)
    jax.block_until_ready((training, report))
    return time.process_time() - start, training


def measure(ready: Ready, bare: Ready, pairs: int) -> np.ndarray:
    """Processor times [pairs, 2] of epochs with and without the guard; a first pair is not counted."""
    with mock.patch.object(step, "_all_finite", lambda _: _Sound()):
        other = compiled(bare)
    programs, taken = [compiled(ready), other], []
    for pair in range(pairs + 1):
        times = [0.0, 0.0]
        for which in ((0, 1), (1, 0))[pair % 2]:
            epoch, training = programs[which]
            times[which], training = seconds(epoch, training, ready)
            programs[which] = epoch, training
        taken.append(times)
    return np.array(taken[1:])


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", default="configs/dataset.py")
    parser.add_argument("--pairs", type=int, default=30)
    arguments, overrides = parser.parse_known_args(words)
    with ending():
        config = from_command_line(arguments.config, overrides)
        start_jax()
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            readies = []
            for folder in (one, two):
                shared_program.cache_clear()
                readies.append(make_ready(config, pathlib.Path(folder)))
            times = measure(*readies, arguments.pairs)
    steps = readies[0].run.program.steps_per_epoch
    low, median, high = np.percentile(100 * (times[:, 0] / times[:, 1] - 1), [25, 50, 75])
    guarded, bare = 1e3 * np.median(times, axis=0) / steps
    print(f"a step: {guarded:.2f} ms of processor time with the guard, {bare:.2f} ms without")
    print(f"the guard: {median:+.1f} % (quartiles {low:+.1f} to {high:+.1f} %, {len(times)} pairs of epochs)")


if __name__ == "__main__":
    main(sys.argv[1:])
