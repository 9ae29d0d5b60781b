"""Trains, evaluates and compares: python -m mpcl_jax.main --config configs/dataset.py (all of it: `cli/train.py`)."""

import functools
import sys

from mpcl_jax.cli.command import command
from mpcl_jax.cli.train import train

if __name__ == "__main__":
    program = "python", "-m", "mpcl_jax.main"
    sys.exit(command(functools.partial(train, program=program), prints_log=True)())
