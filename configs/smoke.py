"""Everything once, in seconds: simulated recordings of six people, three folds, the quick baselines, a small model.

python -m mpcl_jax.main --config configs/smoke.py
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
