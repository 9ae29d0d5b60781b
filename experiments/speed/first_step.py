"""Seconds from the start of this process to the first training step, as JSON; `throughput.py` starts it twice.

    XDG_CACHE_HOME=/tmp/cache python -m experiments.speed.first_step configs/dataset.py $(date +%s.%N)

It imports and does what `mpcl train` imports and does until then, and keeps compiled programs in the user's cache
folder: the second start with a folder is a warm one. The second argument is the time at which the process was
started; settings (`--config.KEY=VALUE`) may follow.
"""

import argparse
import gc
import json
import pathlib
import resource
import sys
import tempfile
import time

if __name__ == "__main__":  # not for `throughput.py`, which imports this module
    gc.set_threshold(100_000)  # this and the next line: as in mpcl_jax/cli/train.py
    gc.disable()

import jax

from mpcl_jax.baselines.registry import wanted
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluation import experiment
from mpcl_jax.train.folds import stack
from mpcl_jax.train.run import arrays_of, begin_training, member_of, prepare
from mpcl_jax.types import DataError


def timed_start(config: Config, workdir: pathlib.Path, started: float) -> dict[str, float]:
    """Seconds of each part of the start of this process, and its peak memory in MB; `started`: the parent's clock."""
    marks = {"import": time.time()}
    gc.enable()
    experiment.start_jax()
    experiment.keep_compiled_programs()
    wanted(config.benchmark)
    run = prepare(config, workdir)
    member = member_of(run, 0)
    arrays = stack(run.program, [arrays_of(run, member)])
    marks["data"] = time.time()
    training = begin_training(run, member.key, stack(run.program, [member.label_mean]), arrays)
    jax.block_until_ready(training)
    marks["compile"] = time.time()
    jax.block_until_ready(run.program.epoch(training, run.rows, arrays, member.key))
    marks["first_epoch"] = time.time()

    seconds, before = {}, started
    for name, when in marks.items():
        seconds[name], before = when - before, when
    to_first_step = marks["compile"] - started + seconds["first_epoch"] / run.program.steps_per_epoch
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return seconds | {"to_first_step": to_first_step, "peak_memory": 1e-6 * peak}


def main(words: list[str]) -> None:
    """Reads the arguments, measures, prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("config", help="a config file or preset")
    parser.add_argument(
        "started", type=float, help="when the process was started, in seconds: $(date +%%s.%%N)"
    )
    arguments, settings = parser.parse_known_args(words)
    try:
        config = from_command_line(arguments.config, settings)
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(timed_start(config, pathlib.Path(folder), arguments.started)))
    except (ConfigError, DataError) as mistake:
        parser.exit(2, f"error: {mistake}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
