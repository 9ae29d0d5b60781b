"""`MPCLRegressor`: the model as a scikit-learn estimator, for arrays, data frames and recordings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from mpcl_jax import metrics
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import standardise_per_subject
from mpcl_jax.data.tables.arguments import FIT, refuse_arguments
from mpcl_jax.data.tables.read_arrays import require_same_order
from mpcl_jax.estimator import card, prediction
from mpcl_jax.estimator.fitting import recordings_of, require_alone, require_usable, validation_rows
from mpcl_jax.estimator.inputs import OF_RECORDINGS, layout_of
from mpcl_jax.estimator.predictor import Predictor
from mpcl_jax.estimator.settings import config_of
from mpcl_jax.types import DataError, Recordings, knows_trials, spec_of


class MPCLRegressor(MultiOutputMixin, RegressorMixin, Predictor, BaseEstimator):
    """Predicts the distribution over C emotions of each window, from one or more modalities.

    A scikit-learn estimator. All settings are keyword arguments; `fit` checks them::

        model = mpcl.MPCLRegressor(seed=1).fit(X, Y, groups=subjects, trial=trials)
        shares = model.predict(X)  # [N, C], rows sum to 1

    Args:
        epochs: number of passes over the data, 1 or more. "auto" chooses by the number of windows.
        width: width of tokens and prototypes, a multiple of 4. "auto" chooses by the number of windows.
        n_prototypes: prototypes per emotion and modality group, 1 to 1024.
        dropout: share of the values inside the model that are set to 0 in training, in [0, 1). "auto": as above.
        input_dropout: the same for the features, before the encoders.
        learning_rate: highest rate of the schedule, above 0. "auto" chooses by the number of windows.
        weight_decay: weight decay of AdamW, in [0, 100].
        batch_size: windows per gradient step, 1 or more.
        early_stopping: True chooses the number of epochs on inner folds, which keep groups whole; then all rows are
            trained. With `validation_fraction` it takes the best epoch on those rows instead. "auto" is True for up
            to 2000 windows.
        validation_fraction: share of the groups that is not trained on and chooses the epoch, in [0, 1).
        n_seeds: number of models, 1 or more. Their predictions are averaged.
        seed: seed of the first model, an integer in [0, 2**32 - 1]; the other models have the next ones.
        modalities: modality -> its columns, for an X that is one table. Default: all columns are one modality.
        modality_groups, emotions, valence, label_kind, floor, rates, kinds, raw: as in `mpcl_jax.from_arrays`, for X
            and Y in the place of `signals` and `labels`.
        per_subject_standardise: True standardises each subject by its own windows. `predict` then needs `groups`.
        missing_rows: result of `predict` for a row without any value: "mean" is the mean label of the training data,
            "error" raises DataError.
        personal_memory: True learns in `fit` how `adapt` uses the reports of a new subject, see `memory_`. Without
            early stopping this trains four inner folds.
        warm_start: True continues `fit` with the parameters and prototypes of the last fit.
        settings: other settings of a run, name -> value, e.g. {"model.tokens": 2}. `mpcl train --help` lists them.
        callbacks: functions f(epoch, losses), called after every epoch; `losses` maps the name of a loss term to its
            mean.
        verbose: True shows the progress.

    After `fit` the estimator has the attributes `emotions_`, `modalities_`, `mean_label_` [C], `prototypes_`,
    `cooccurrence_`, `n_epochs_`, `history_`, `config_` and `memory_` (whether the personal memory is on, the reason,
    and its KL on training subjects). Where X is one table without `modalities`, it also has `n_features_in_` and
    `feature_names_in_`.
    """

    def to_config(self) -> Config:
        """The same model and training as settings of a run. Raises ConfigError, one line per mistake."""
        return config_of(self.get_params(deep=False))

    @refuse_arguments(FIT)
    def fit(self, X: Any, Y: Any = None, groups: Any = None, *, trial: Any = None) -> "MPCLRegressor":
        """Trains on all rows and returns the estimator.

        Args:
            X: a dict, modality -> [N, F] or [N, T, F]; or one table [N, F], an array or a DataFrame; or `Recordings`.
                NaN where a value is missing. A modality is absent from a row in which all its values are NaN.
            Y: [N, C] reports of C emotions, 2 or more; None with `Recordings`.
            groups: [N] ids of the subjects. Early stopping keeps a subject on one side; without `groups` it holds out
                single rows.
            trial: [N] ids of the recordings that have one report each, unique within a subject. Rows are in the order
                of time within a subject. The memory is learned from `groups` and `trial`; without them it is off.

        Raises DataError (data) or ConfigError (settings) in one line that names the argument, and the row where it is
        one; TrainingError where the loss is not finite.
        """
        from mpcl_jax.train import in_memory
        from mpcl_jax.train.memory_fit import learn

        config, parameters, before = self.to_config(), self.get_params(deep=False), getattr(self, "_fits", ())
        if isinstance(X, Recordings):
            require_alone(parameters, Y, groups, trial)
            recordings, layout = X, OF_RECORDINGS
        else:
            if Y is None:
                raise DataError("Y", "is missing: fit requires y to be passed, but the target y is None")
            tables = {f"X[{m!r}]": x for m, x in X.items()} if isinstance(X, Mapping) else {"X": X}
            require_same_order(tables | {"Y": Y, "groups": groups, "trial": trial})
            X = self._table(X, reset=True)
            layout = layout_of(X, self.modalities, self.rates, self.kinds, self.raw)
            recordings = recordings_of(parameters, X, Y, groups, trial, layout)
        require_usable(parameters, recordings)
        known = isinstance(X, Recordings) or (groups is not None and trial is not None)
        if self.warm_start and before and self.emotions_ != recordings.emotions:
            names = f"{', '.join(self.emotions_)}, Y holds {', '.join(recordings.emotions)}"
            raise DataError(
                "warm_start", f"continues a fit on {names}; give the same columns, or set it to False"
            )
        ranges = prediction.ranges_of(recordings)  # in the units that `predict` gets
        if config.data.per_subject_standardise:
            recordings = standardise_per_subject(recordings)
        self._fits = in_memory.fit(
            config,
            recordings,
            validation_rows(recordings, self.validation_fraction, self.seed),
            range(self.seed, self.seed + self.n_seeds),
            start=before if self.warm_start else (),
            callbacks=self.callbacks or (),
            verbose=self.verbose,
            hold_out=self.personal_memory and known and knows_trials(recordings),
        )
        self.memory_ = learn(self._fits[0].held_out)
        self._fits = [fit._replace(held_out=None) for fit in self._fits]
        self._layout, self._models, self._memories = layout, [], None
        self._spec, self._ranges = spec_of(recordings), ranges
        self._about = card.about(recordings)
        self.mean_label_ = recordings.labels.mean(0, dtype=np.float64)
        self._open()
        return self

    def score(self, X: Any, Y: Any, sample_weight: Any = None) -> float:
        """Minus the mean KL divergence of the predictions from the reports Y [N, C], in nats; 0 is the best value.

        `sample_weight`: [N] weights >= 0 of the rows. Raises DataError as `predict` does.
        """
        predicted = self.predict(X)
        kl = metrics.kl(self._reports(Y, len(predicted)), predicted)
        return -float(np.average(kl, weights=self._weights(sample_weight, len(kl))))

    def save(self, folder: str | Path, table: Any = None) -> None:
        """Writes the model to a new `folder`, without pickle; `mpcl_jax.load` reads it.

        Args:
            folder: its path; the folder is made, or is empty.
            table: an `EvaluationTable` of this model. The model card (README.md) then shows its numbers.

        `mpcl predict FOLDER DATA` and `mpcl inspect FOLDER` read the folder too. Raises DataError where the folder
        holds files, StorageError where it cannot be written.
        """
        from mpcl_jax.estimator import saving

        self._require_fitted()
        saving.save(self, folder, table)

    def __sklearn_tags__(self):
        """Several outputs, NaN in X allowed, no promise on R²."""
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.positive_only = True
        tags.input_tags.allow_nan = True
        tags.regressor_tags.poor_score = True
        return tags
