"""A complete run in seconds: six simulated subjects, three folds, the quick baselines, a small model.

mpcl train --config smoke
"""

from mpcl_jax.config import preset


def get_config():
    config = preset("dataset")

    config.data.simulate.subjects = 6
    config.data.simulate.clips = 6
    config.data.simulate.windows = 2
    config.protocol.folds = 3
    config.protocol.only = ()

    config.model.width = 16
    config.model.tokens = 1
    config.model.fusion.heads = 2
    config.model.memory.slots = 2
    config.train.epochs = 12
    config.train.batch_size = 16
    config.train.checkpoint_every = 4
    config.benchmark.tries = 1
    return config
