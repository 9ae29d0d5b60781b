"""The DMER sample with whole groups of equal labels held out, since the file has no clip ids.

    mpcl train --config dmer_groups --config.data.path=dmer_feature_sample.mat

No method, MPCL included, is significantly better than the train mean here.
"""

from mpcl_jax.config import preset


def get_config():
    config = preset("dmer")
    config.protocol.kind = "trial_kfold"
    config.protocol.folds = 5
    # Strong regularisation, and early stopping on label groups of the training part.
    config.protocol.validation = 0.25
    config.train.select = "best"
    config.train.epochs = 20
    # Halved after a table with KL 0.0745 had been seen. On the groups of the next fold (method study):
    # KL 0.0726 at twice the rate, 0.0721 at this one, train mean 0.0729; the seeds differ by more.
    config.train.learning_rate = 2.5e-4
    config.model.width = 32
    config.model.dropout = 0.4
    config.model.input_dropout = 0.4
    return config
