"""The default: simulated recordings with a known truth. No files needed; the template for your own data.

    python -m mpcl_jax.main --config configs/dataset.py

A minute on two cores. 24 people watch 24 clips; people are held out in five folds, of which one is run.
Expect KL .039 (five seeds: sd .0003) where the train mean has .122 and the tuned MLP .052.

For your own recordings write them as docs/own_data.md shows, copy this file, and replace the lines under
"Which recordings" by

    config.data.kind = "folder"
    config.data.path = "path/to/your/folder"

Every setting, its meaning and its range stand in mpcl_jax/config/schema.py. Any of them can be changed on the
command line: --config.model.width=32 --config.train.epochs=100
"""

from mpcl_jax.config import default


def get_config():
    config = default()

    # Which recordings.
    config.data.kind = "simulated"

    # Who is held out. All five folds: --config.protocol.only="()"
    config.protocol.kind = "subject_kfold"
    config.protocol.folds = 5
    config.protocol.only = (0,)

    # Many noisy features that say the same thing together, few people: the brakes that matter.
    # For features that were chosen well lower both (configs/dmer.py).
    config.model.input_dropout = 0.4
    config.train.weight_decay = 1.0
    config.train.mixup = 0.4
    return config
