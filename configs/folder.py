"""Your own recordings in the folder format: subjects held out in five folds, all of which are tested.

    mpcl train --config folder --config.data.path=my_data

Dropout and the number of epochs follow the number of training windows ("auto", mpcl_jax/train/run.py), and two
fifths of the subjects of each training part choose the epoch. A small study therefore does not overfit: on random
labels (the example of the docs, six subjects) the skill stays near 0, the best possible value. On ten simulated
subjects and eight clips it is 0.42. The settings were chosen on these two data sets.

To leave out one subject at a time: --config.protocol.kind=loso. For unseen subjects and unseen stimuli:
--config.protocol.kind=subject_x_stimulus. The command line or a copy of this file changes any other setting.
"""

from mpcl_jax.config import preset


def get_config():
    config = preset("dataset")
    config.data.kind = "folder"

    config.protocol.kind = "subject_kfold"
    config.protocol.folds = 5
    config.protocol.only = ()  # all folds
    # The epoch is chosen on these subjects of the training part, never on test subjects.
    config.protocol.validation = 0.4
    config.train.select = "best"

    with config.ignore_type():  # a word in the place of a number
        config.train.epochs = "auto"
        config.model.dropout = "auto"
    config.model.input_dropout = 0.4
    config.model.width = 32
    config.train.learning_rate = 1e-3
    return config
