"""`MPCLRegressor`: the model as a scikit-learn estimator, for arrays, data frames and recordings."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mpcl_jax import metrics
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import standardise_per_subject
from mpcl_jax.data.tables.arguments import ESTIMATOR, refuse_arguments
from mpcl_jax.data.tables.arrays import Labels, require_same_order
from mpcl_jax.estimator import card, prediction
from mpcl_jax.estimator.adaptation import Memories, adapted, seen_by, written
from mpcl_jax.estimator.explanation import Explanation, explain
from mpcl_jax.estimator.fitted import Fitted
from mpcl_jax.estimator.fitting import recordings_of, require_alone, require_usable, validation_rows
from mpcl_jax.estimator.inputs import OF_RECORDINGS, layout_of, signals_of
from mpcl_jax.estimator.settings import config_of
from mpcl_jax.types import DataError, Recordings, knows_trials, spec_of

Auto = Literal["auto"]


class MPCLRegressor(MultiOutputMixin, RegressorMixin, Fitted):
    """Predicts the distribution over C emotions of each window, from one or more modalities.

    Args:
        epochs: passes over the data; "auto": by the number of windows.
        width: of tokens and prototypes, a multiple of 4; "auto": by the number of windows.
        n_prototypes: prototypes per emotion and modality group.
        dropout, input_dropout: in [0, 1), inside the model and on its features; "auto": by the number of windows.
        learning_rate: peak of the schedule; "auto": by the number of windows.
        weight_decay: of AdamW.
        batch_size: windows per gradient step.
        early_stopping: True: the number of epochs is chosen on inner folds, which keep groups whole, then all rows
            are trained. "auto": True for up to 2000 windows. With `validation_fraction` the best epoch on those rows
            is taken instead.
        validation_fraction: share of the groups that is held out for the choice of the epoch, in [0, 1).
        n_seeds: models of which the predictions are averaged; they share one compiled program.
        seed: of the first model; the others count up from it.
        modalities: modality -> its columns, where X is one table; default: all columns are one modality.
        modality_groups: modality -> "physiological" or "behavioural"; default: by its name.
        emotions: C names; default: the columns of Y.
        valence: emotion -> name of its valence group, or C names; default: one group.
        label_kind, floor: what Y holds, see `mpcl_jax.data.tables.arrays.distributions`.
        rates: samples per second of raw signals, one number or modality -> number. Signals with 32 or more values
            along the time axis are turned into features (`mpcl_jax.features`).
        kinds: modality -> kind of such a signal (`mpcl_jax.features.KINDS`); default: by its name.
        raw: keep the samples instead.
        per_subject_standardise: standardise each subject by its own windows; `predict` then needs `groups`.
        missing_rows: what `predict` does with a row without any value: "mean" predicts the mean label of the training
            data, "error" raises DataError.
        personal_memory: learn on training subjects how `adapt` uses reported trials (see `memory_`). Without early
            stopping this trains four inner folds.
        warm_start: `fit` continues with the parameters and the memory of the fit before.
        settings: any other settings of a run by name, e.g. {"model.tokens": 2}; `mpcl train --help` lists them.
        callbacks: functions that get (epoch, {name: mean of a loss term}) after every epoch.
        verbose: show the progress.

    After `fit`: `emotions_`, `modalities_`, `prototypes_`, `cooccurrence_`, `mean_label_` [C], `n_epochs_`,
    `history_`, `config_`, `memory_` (whether the personal memory is on, and what it is worth on training subjects);
    `n_features_in_` and `feature_names_in_` where X was one table that is read whole.
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
        """Trains on all rows.

        Args:
            X: `Recordings`; or a dict, modality -> [N, F] or [N, T, F]; or one table [N, F]; NaN where missing.
            Y: [N, C] reports of C emotions; left out with `Recordings`.
            groups: [N] ids of the subjects. Early stopping keeps them whole; without them it holds out single rows.
            trial: [N] ids of the recordings that carry one report each. Rows are in the order of time. The personal
                memory is learned from groups and trials; without them it is off.

        Raises DataError and ConfigError for input that cannot be used, TrainingError where training cannot go on with
        finite numbers.
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
        self._spec, self._ranges = spec_of(recordings), prediction.ranges_of(recordings)
        self._about = card.about(recordings)
        self.mean_label_ = recordings.labels.mean(0, dtype=np.float64)
        self._open()
        return self

    def predict(self, X: Any, groups: Any = None, *, trial: Any = None) -> np.ndarray:
        """The distribution of each row, [N, C] float64, rows sum to 1; any subset of the modalities of a dict.

        `groups`: [N] ids of the subjects, for `per_subject_standardise` alone. `trial`: [N] ids (or one id), for an
        adapted model alone: rows of one trial recall together, which is more accurate. Warns where typical rows of a
        modality lie far outside the range of the training data. Raises DataError naming array, row and what to do.
        """
        rows = self._rows(X, groups)
        prediction.warn_out_of_range(rows, self._ranges)
        if self._memories is None:
            return prediction.shares_of(self._open(), rows, self.mean_label_, self.missing_rows)
        known = prediction.require_known(rows, self.missing_rows)
        shares = np.tile(self.mean_label_, (len(known), 1))
        if known.any():
            trial = None if trial is None else np.broadcast_to(trial, len(known))[known]
            log_probs, _ = adapted(self._memories, seen_by(self._open(), rows.take(known)), trial)
            shares[known] = prediction.mean_shares(log_probs)
        return shares

    def explain(self, X: Any, groups: Any = None, *, trial: Any = None) -> Explanation:
        """Retrieved prototypes, co-occurrence and the weight of each modality behind the predictions for X.

        For an adapted model also the weight of each written trial; arguments as in `predict`.
        """
        rows, mean = self._rows(X, groups), self.mean_label_
        trial = None if trial is None else np.broadcast_to(trial, len(rows.known))
        memory = self._memories, self.memory_.reason, trial
        return explain(self._open(), rows, mean, self.missing_rows, *memory)

    def adapt(self, X: Any, Y: Any, trial: Any = None) -> "MPCLRegressor":
        """A copy of this model with a memory of one subject's labelled rows, without a gradient step.

        `trial` [N]: ids of the trials; default: each row is a trial of its own. `predict` of the copy is for other
        rows of the same subject, after them in time. A model with `per_subject_standardise` standardises the rows of
        each call by themselves and needs ten or more. Where the memory is off (`memory_`), the copy predicts as this
        model does, and a warning gives the reason. See `mpcl_jax/model/personal_memory.py`.
        """
        check_is_fitted(self)
        return self._with_trials(None, X, Y, trial)

    def update(self, X: Any, Y: Any, trial: Any = None) -> "MPCLRegressor":
        """A copy of an adapted model that also knows these rows; arguments as in `adapt`."""
        check_is_fitted(self)
        return self._with_trials(self._memories, X, Y, trial)

    def score(self, X: Any, Y: Any, sample_weight: Any = None) -> float:
        """Minus the mean KL divergence of the reports Y from the predictions, in nats, at most 0."""
        predicted = self.predict(X)
        kl = metrics.kl(self._reports(Y, len(predicted)), predicted)
        return -float(np.average(kl, weights=sample_weight))

    def save(self, folder: str | Path, table: Any = None) -> None:
        """Writes the model to a new `folder`, without pickle; `mpcl_jax.load` reads it.

        The folder holds settings, checkpoint, normalisation, names and a model card (README.md) with the numbers of
        `table`, an `EvaluationTable` of this model. `mpcl predict FOLDER DATA` and `mpcl inspect FOLDER` read it too.
        Raises DataError where the folder exists and is not empty, StorageError where the disk does not take it.
        """
        from mpcl_jax.estimator import saving

        check_is_fitted(self)
        saving.save(self, Path(folder), table)

    def __sklearn_tags__(self):
        """Several outputs, NaN in X allowed, no promise on R²."""
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.positive_only = True
        tags.input_tags.allow_nan = True
        tags.regressor_tags.poor_score = True
        return tags

    def _table(self, X: Any, *, reset: bool) -> Any:
        """X, checked by scikit-learn where it is one table that is read whole."""
        sparse = hasattr(X, "toarray")  # also a Mapping in one of its forms; refused below
        if not sparse and (
            isinstance(X, Mapping) or getattr(X, "ndim", 2) == 3 or self.modalities is not None
        ):
            return X
        try:
            return validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan")
        except (ValueError, TypeError) as error:
            if not reset or isinstance(error, DataError):
                raise
            raise DataError("X", " ".join(str(error).split())[:300]) from error

    def _rows(self, X: Any, groups: Any) -> prediction.Rows:
        check_is_fitted(self)
        per_subject = self.config_.data.per_subject_standardise
        if isinstance(X, Recordings):
            return prediction.rows_of_recordings(X, self.modalities_, per_subject)
        table = X if self._layout.form == "dict" else self._table(X, reset=False)
        return prediction.rows_of(signals_of(table, self._layout), groups)

    def _with_trials(self, memories: Memories | None, X: Any, Y: Any, trial: Any) -> "MPCLRegressor":
        standardised = self.config_.data.per_subject_standardise and not isinstance(X, Recordings)
        rows = self._rows(X, "of these trials" if standardised else None)
        labels = self._reports(Y, len(rows.known))
        copied = copy.copy(self)
        copied._models = self._models  # the same arrays and compiled programs
        copied._memories = written(self.memory_, memories, self._open(), rows, labels, trial)
        return copied
