"""Seconds from the start of this process to the first training step, as JSON; `throughput.py` starts it twice.

    XDG_CACHE_HOME=/tmp/cache python -m experiments.speed.first_step configs/dataset.py $(date +%s.%N)

It imports and does what `mpcl train` imports and does until then, and keeps compiled programs in the user's cache
folder: the second start with a folder is a warm one. The second argument is the time at which the process was
started; settings (`--config.KEY=VALUE`) may follow.
"""

import gc
import json
import pathlib
import resource
import sys
import tempfile
import time

gc.set_threshold(100_000)  # as in mpcl_jax/cli/train.py

import jax

from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluation import experiment
from mpcl_jax.train.folds import stack
from mpcl_jax.train.run import arrays_of, begin_training, member_of, prepare


def timed_start(config: Config, workdir: pathlib.Path, started: float) -> dict[str, float]:
    """Seconds of each part of the start of this process, and its peak memory in MB; `started`: the parent's clock."""
    marks = {"import": time.time()}
    experiment.start_jax()
    experiment.keep_compiled_programs()
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


if __name__ == "__main__":
    file, begin, *settings = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(timed_start(from_command_line(file, settings), pathlib.Path(folder), float(begin))))
