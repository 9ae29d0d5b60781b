"""`MPCLRegressor`: the model as a scikit-learn estimator, for arrays, data frames and recordings."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from mpcl_jax import metrics
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import standardise_per_subject
from mpcl_jax.data.tables.arguments import ESTIMATOR, refuse_arguments
from mpcl_jax.data.tables.arrays import Labels
from mpcl_jax.data.tables.read_arrays import require_same_order
from mpcl_jax.estimator import card, prediction
from mpcl_jax.estimator.adaptation import adapted, seen_by
from mpcl_jax.estimator.explanation import Explanation, explain
from mpcl_jax.estimator.fitted import Fitted
from mpcl_jax.estimator.fitting import recordings_of, require_alone, require_usable, validation_rows
from mpcl_jax.estimator.inputs import OF_RECORDINGS, layout_of
from mpcl_jax.estimator.settings import config_of
from mpcl_jax.types import DataError, Recordings, knows_trials, spec_of

Auto = Literal["auto"]


class MPCLRegressor(MultiOutputMixin, RegressorMixin, Fitted):
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
        modality_groups: modality -> "physiological" or "behavioural". Default: guessed from the name.
        emotions: C names. Default: the columns of Y.
        valence: valence group of each emotion: emotion -> name, or C names. Default: one group.
        label_kind, floor: what Y holds, see `mpcl_jax.data.tables.arrays.distributions`.
        rates: samples per second of raw signals, one number or modality -> number. Signals with 32 or more values
            along the time axis then become features (`mpcl_jax.features`).
        kinds: modality -> kind of a raw signal (`mpcl_jax.features.KINDS`). Default: guessed from the name.
        raw: True keeps the samples of raw signals and extracts no features.
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

    @refuse_arguments(ESTIMATOR)
    def __init__(
        self,
        *,
        epochs: int | Auto = "auto",
        width: int | Auto = "auto",
        n_prototypes: int = 4,
        dropout: float | Auto = "auto",
        input_dropout: float | Auto = "auto",
        learning_rate: float | Auto = "auto",
        weight_decay: float = 0.1,
        batch_size: int = 128,
        early_stopping: bool | Auto = "auto",
        validation_fraction: float = 0.0,
        n_seeds: int = 1,
        seed: int = 0,
        modalities: Mapping[str, Sequence] | None = None,
        modality_groups: Mapping[str, str] | None = None,
        emotions: Sequence[str] | None = None,
        valence: Mapping[str, str] | Sequence[str] | None = None,
        label_kind: Labels = "auto",
        floor: float | None = None,
        rates: Any = None,
        kinds: Mapping[str, str] | None = None,
        raw: bool = False,
        per_subject_standardise: bool = False,
        missing_rows: Literal["mean", "error"] = "mean",
        personal_memory: bool = True,
        warm_start: bool = False,
        settings: Mapping[str, Any] | None = None,
        callbacks: Sequence[Callable] | None = None,
        verbose: bool = False,
    ):
        """Keeps the parameters; `fit` checks them."""
        self.epochs = epochs
        self.width = width
        self.n_prototypes = n_prototypes
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_seeds = n_seeds
        self.seed = seed
        self.modalities = modalities
        self.modality_groups = modality_groups
        self.emotions = emotions
        self.valence = valence
        self.label_kind = label_kind
        self.floor = floor
        self.rates = rates
        self.kinds = kinds
        self.raw = raw
        self.per_subject_standardise = per_subject_standardise
        self.missing_rows = missing_rows
        self.personal_memory = personal_memory
        self.warm_start = warm_start
        self.settings = settings
        self.callbacks = callbacks
        self.verbose = verbose

    def to_config(self) -> Config:
        """The same model and training as settings of a run. Raises ConfigError, one line per mistake."""
        return config_of(self.get_params(deep=False))

    def fit(self, X: Any, Y: Any = None, groups: Any = None, *, trial: Any = None) -> "MPCLRegressor":
        """Trains on all rows and returns the estimator.

        Args:
            X: a dict, modality -> [N, F] or [N, T, F]; or one table [N, F], an array or a DataFrame; or `Recordings`.
                NaN where a value is missing. A modality is absent from a row in which all its values are NaN.
            Y: [N, C] reports of C emotions, 2 or more; None with `Recordings`.
            groups: [N] ids of the subjects. Early stopping keeps a subject on one side; without `groups` it holds out
                single rows.
            trial: [N] ids of the recordings that have one report each. Rows of a subject are in the order of time.
                The personal memory is learned from `groups` and `trial`; without them it is off.

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

    def predict(self, X: Any, groups: Any = None, *, trial: Any = None) -> np.ndarray:
        """The predicted distribution of each row, [N, C] float64; rows sum to 1, columns are `emotions_`.

        Args:
            X: what `fit` took. A dict may lack modalities; the columns of a DataFrame are found by name.
            groups: [N] ids of the subjects, or one id; only for `per_subject_standardise`.
            trial: [N] ids, or one id; only for an adapted model. Rows of one trial are corrected by the memory
                together, which is more accurate.

        Warns where a typical row of a modality lies far outside the range of the training data. Raises DataError that
        names array, row and what to do.
        """
        rows = self._rows(X, groups)
        prediction.warn_out_of_range(rows, self._ranges)
        if self._memories is None:
            return prediction.shares_of(self._open(), rows, self.mean_label_, self.missing_rows)
        known = prediction.require_known(rows, self.missing_rows)
        shares = np.tile(self.mean_label_, (len(known), 1))
        if known.any():
            trial = self._trials(trial, len(known))
            own = None if trial is None else trial[known]
            log_probs, _ = adapted(self._memories, seen_by(self._open(), rows.take(known)), own)
            shares[known] = prediction.mean_shares(log_probs)
        return shares

    def explain(self, X: Any, groups: Any = None, *, trial: Any = None) -> Explanation:
        """The prototypes, co-occurrences and modalities behind the predictions for X, as an `Explanation`.

        For an adapted model it also holds the weight of each written trial. Arguments and errors as in `predict`.
        """
        rows, mean = self._rows(X, groups), self.mean_label_
        trial = self._trials(trial, len(rows.known))
        memory = self._memories, self.memory_.reason, trial
        return explain(self._open(), rows, mean, self.missing_rows, *memory)

    def adapt(self, X: Any, Y: Any, trial: Any = None) -> "MPCLRegressor":
        """A copy of this model with a memory of labelled rows of one subject; nothing is trained.

        Args:
            X: rows of the subject, as in `predict`; each needs at least one value.
            Y: [N, C] their reports, of the kind that `fit` took.
            trial: [N] ids of their trials, or one id. Default: each row is a trial of its own.

        `predict` of the copy is for other rows of the same subject, after them in time. A model with
        `per_subject_standardise` standardises the rows of each call by themselves and needs ten or more. Where the
        memory is off (`memory_`), the copy predicts as this model does, and a warning gives the reason. Raises
        DataError as `predict` does. Example::

            me = model.adapt(X_calibration, Y_calibration, trial=trials)
            me = me.update(x_next, y_next, trial="film 4")
        """
        check_is_fitted(self)
        return self._with_trials(None, X, Y, trial)

    def update(self, X: Any, Y: Any, trial: Any = None) -> "MPCLRegressor":
        """A copy of an adapted model with more rows in its memory; arguments and errors as in `adapt`."""
        check_is_fitted(self)
        return self._with_trials(self._memories, X, Y, trial)

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

        check_is_fitted(self)
        saving.save(self, folder, table)

    def __sklearn_tags__(self):
        """Several outputs, NaN in X allowed, no promise on R²."""
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.positive_only = True
        tags.input_tags.allow_nan = True
        tags.regressor_tags.poor_score = True
        return tags
