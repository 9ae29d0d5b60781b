"""One experiment from settings to table: train every fold, run the baselines, compare."""

import pathlib

from mpcl_jax.settings import Config
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.loop import prepare, train_folds


def run_experiment(config: Config, workdir: pathlib.Path, command: str):
    """Trains, evaluates and compares; returns the table."""
    keep_compiled_programs()
    run = prepare(config, workdir)
    predictions = train_folds(run)
