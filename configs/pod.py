"""Five folds of a larger world on many chips: a TPU pod slice, GPUs of several hosts, or processes of this machine.

    python -m mpcl_jax.main --config configs/pod.py

The same command on every host; docs/pods.md has the lines for a TPU pod slice, a multi-GPU host and SLURM. As it
stands it also runs on one device, where all folds share it. A batch of 1024 over more chips than 64 pays nothing
(estimate of experiments/speed/scaling.py): from there on raise config.distributed.fold_axis, up to the number of
folds.
"""

from mpcl_jax.config import preset


def get_config():
    config = preset("dataset")
    # 960 people, 69,120 windows.
    config.data.simulate.subjects = 960
    config.protocol.only = ()

    # All folds at once. Trained together they draw the numbers they would draw alone only from this generator.
    config.train.folds_at_once = 5
    config.train.generator = "threefry2x32"

    config.train.batch_size = 1024
    # Eight times the batch of the default: the rate grows with its square root.
    config.train.learning_rate = 5e-3
    config.train.epochs = 40
    config.train.checkpoint_every = 5
    return config
