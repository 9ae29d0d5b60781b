"""Five folds of a larger simulation on many chips: a TPU pod slice, GPUs of several hosts, or local processes.

    mpcl train --config pod

Start the same command on every host (docs: TPU pod slice, multi-GPU host, SLURM). It also runs on one device, where
all folds share it. With a batch of 1024, more than 64 chips are not faster (estimate of
`python -m experiments.speed.scaling`); for more chips raise config.distributed.fold_axis, up to the number of folds.
"""

from mpcl_jax.config import preset


def get_config():
    config = preset("dataset")
    # 960 subjects, 69,120 windows.
    config.data.simulate.subjects = 960
    config.protocol.only = ()

    # All folds at once. Only this generator gives each fold the numbers that it has when it is trained alone.
    config.train.folds_at_once = 5
    config.train.generator = "threefry2x32"

    config.train.batch_size = 1024
    # The batch is eight times that of the default; the learning rate grows with its square root.
    config.train.learning_rate = 5e-3
    config.train.epochs = 40
    config.train.checkpoint_every = 5
    return config
