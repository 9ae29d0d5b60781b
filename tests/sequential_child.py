"""Trains all folds of a config file one after the other in this process, on one thread: python … FILE FOLDER."""

import os
import pathlib
import sys

from mpcl_jax.evaluate.jobs.workers import ONE_THREAD

os.environ.update(ONE_THREAD)

from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import prepare

if __name__ == "__main__":
    keep_compiled_programs()
    train_folds(prepare(from_command_line(sys.argv[1], []), pathlib.Path(sys.argv[2])))
