"""Settings that follow the number of training windows: what "auto" means.

A config file is read before the recordings, so it cannot compute from them. It says "auto"; the run replaces the word
when it has loaded the recordings and made the split, and config.json holds the numbers. No label and no signal takes
part. Epochs fall with the number of windows, so that the number of gradient steps stays about the same; dropout falls
with the square root of the number of windows.
"""

import dataclasses

from mpcl_jax.config.fields import AUTO
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.manifest import Split

FEW = 400  # training windows up to which the strongest regularisation applies
DROPOUT = (0.1, 0.4)  # for many windows, for few
EPOCHS = (20, 200)  # for many windows, for few
SEEN = 60_000  # windows that a training sees, over all epochs


def with_sizes(config: Config, whole: Split) -> Config:
    """`config` with numbers for every "auto", by the smallest training part of `whole`, which has all folds."""
    windows = min(len(fold.train) for fold in whole.folds)
    model, train = config.model, config.train
    if model.dropout == AUTO:
        share = (FEW / max(windows, FEW)) ** 0.5
        model = dataclasses.replace(model, dropout=round(max(DROPOUT[0], DROPOUT[1] * share), 3))
    if train.epochs == AUTO:
        epochs = min(max(round(SEEN / windows), EPOCHS[0]), EPOCHS[1])
        train = dataclasses.replace(train, epochs=epochs)
    return dataclasses.replace(config, model=model, train=train)
