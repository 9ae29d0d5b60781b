"""What a run would do: data, split, size of the model and memory on the device, without training."""

import dataclasses
import pathlib
import tempfile

import jax
import numpy as np

from mpcl_jax.baselines import registry
from mpcl_jax.config.schema import Config, DistributedConfig
from mpcl_jax.evaluation.experiment import describe_data, folds_tested
from mpcl_jax.train.run import member_of, prepare


def dry_run(config: Config) -> str:
    """Loads the data, makes the split and describes the run, in one process; compiles and trains nothing.

    The memory is that of parameters, optimiser, memory banks and data, in MB (10^6 bytes) of one device; activations
    come on top. Raises ConfigError and DataError as a run does.
    """
    registry.wanted(config.benchmark)  # refuses unknown names
    # The data stay on the host here; a single fold has the shapes of every fold.
    train = dataclasses.replace(config.train, stream_rows=1, folds_at_once=1)
    alone = dataclasses.replace(config, train=train, distributed=DistributedConfig())
    with tempfile.TemporaryDirectory() as folder:
        run = prepare(alone, pathlib.Path(folder), describe_data)
        member = member_of(run, 0)
        training = jax.eval_shape(run.program.create, member.key, member.label_mean)
    at_once = config.train.folds_at_once
    rows = min(2 * config.train.stream_rows or run.recordings.labels.shape[0], run.recordings.labels.shape[0])
    data = _bytes(run.rows) * rows // run.recordings.labels.shape[0]
    state = training.state
    trees = {"parameters": state.params, "optimiser": state.opt_state, "memory banks": state.prototypes}
    trees |= {"best epoch": training.best}
    parts = {name: at_once * _bytes(tree) for name, tree in trees.items()} | {"data": data}
    shown = ", ".join(f"{name} {size / 1e6:.2f}" for name, size in parts.items() if size)
    count = sum(x.size for x in jax.tree.leaves(state.params))
    steps, settings = run.program.steps_per_epoch, run.config
    lines = [
        f"split  {run.split.protocol}: {run.split.sentence}",
        f"       {folds_tested(run)}",
        f"train  {settings.train.epochs} epochs of {steps} steps, dropout {settings.model.dropout:g}",
        f"model  {count:,} parameters, width {settings.model.width}",
        f"memory {sum(parts.values()) / 1e6:.2f} MB without activations ({shown})",
        "dry run: nothing was trained or written",
    ]
    return "\n".join(lines)


def _bytes(tree) -> int:
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))
