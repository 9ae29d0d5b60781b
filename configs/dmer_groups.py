"""The DMER sample with whole groups of equal labels held out, since the file has no clip ids.

    python -m mpcl_jax.main --config configs/dmer_groups.py --config.data.path=dmer_feature_sample.mat

Nothing beats the train mean here, MPCL included; that is the point of the table (README.md).
"""

from configs import dmer


def get_config():
    config = dmer.get_config()
    config.protocol.kind = "trial_kfold"
    config.protocol.folds = 5
    return config
