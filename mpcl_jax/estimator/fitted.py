"""What a fitted `MPCLRegressor` holds, and how it reads X and Y."""

import os
import re
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from mpcl_jax.config.schema import Config
from mpcl_jax.data.tables.arrays import distributions, may_be_ratings
from mpcl_jax.data.tables.frames import column_block
from mpcl_jax.data.tables.read_arrays import ids_of, numbers
from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories, written
from mpcl_jax.estimator.inputs import OF_RECORDINGS, Layout, require_form, require_shapes, signals_of
from mpcl_jax.estimator.parameters import Parameters
from mpcl_jax.runs.predict import LEAST_WINDOWS, FinishedModel, finished_model
from mpcl_jax.train.devices import keep_programs_of_callers, require_devices
from mpcl_jax.train.fit import Fit, Learned
from mpcl_jax.types import DataError, DataSpec, Recordings


class Fitted(Parameters):
    """The attributes of `MPCLRegressor` that end with "_"; NotFittedError before `fit`."""

    _fits: list[Fit]  # one per seed
    _spec: DataSpec
    _layout: Layout
    memory_: Learned
    _memories: Memories | None  # of an adapted model
    _models: list[FinishedModel]  # the same fits, compiled; not part of a pickle

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `fit` has ended."""
        return bool(getattr(self, "_fits", None))

    def __getstate__(self) -> dict:
        """Without compiled programs, which are made again where they are needed."""
        return {**super().__getstate__(), **({"_models": []} if hasattr(self, "_models") else {})}

    @property
    def emotions_(self) -> tuple[str, ...]:
        """C names."""
        return self._fitted("_spec").emotions

    @property
    def modalities_(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self._fitted("_spec").shapes)

    @property
    def config_(self) -> Config:
        """The settings of the training, without "auto"."""
        return self._fitted("_fits")[0].config

    @property
    def n_epochs_(self) -> int:
        """Epochs of the first seed, as early stopping chose them."""
        return self._fitted("_fits")[0].epoch

    @property
    def history_(self) -> list[list[dict[str, float]]]:
        """For each seed one dict an epoch: the mean of every loss term."""
        return [list(fit.history) for fit in self._fitted("_fits")]

    @property
    def prototypes_(self) -> np.ndarray:
        """[G, C, K, D] unit rows, of the first seed."""
        return self._fitted("_fits")[0].prototypes.bank

    @property
    def cooccurrence_(self) -> np.ndarray:
        """[C, C] co-occurrence of emotions in the training reports, sums to 1, of the first seed."""
        return self._fitted("_fits")[0].prototypes.cooccurrence

    def _fitted(self, name: str) -> Any:
        self._require_fitted()
        return getattr(self, name)

    def _require_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            from sklearn.utils.validation import check_is_fitted

            check_is_fitted(self)

    def _open(self) -> list[FinishedModel]:
        """The models, ready to predict."""
        if not self._models:
            require_devices()
            if self._fits[0].config.log.keep_compiled:
                keep_programs_of_callers()
            self._models = [
                finished_model(fit.config, self._spec, fit.norm, fit.params, fit.prototypes)
                for fit in self._fits
            ]
        return self._models

    def _reports(self, Y: Any, count: int) -> np.ndarray:
        """Y as distributions [N, C]; the columns of a DataFrame with the names of the emotions are found by name."""
        names = list(map(str, getattr(Y, "columns", ())))
        if hasattr(Y, "iloc") and sorted(names) == sorted(self.emotions_):
            Y = Y.iloc[:, [names.index(name) for name in self.emotions_]]
        labels = distributions(Y, self.label_kind, self.floor, "Y")
        unknown = self._layout == OF_RECORDINGS and self.label_kind == "auto" and self.floor is None
        if unknown and may_be_ratings(numbers("Y", Y)):
            reason = (
                "holds whole numbers from 1, and fit got recordings, which hold shares but not their floor"
            )
            how = "set_params(floor=1) for ratings from 1, set_params(label_kind='counts') for counts"
            raise DataError("Y", f"{reason}; give shares, or call {how}")
        if labels.shape != (count, len(self.emotions_)):
            wanted = f"{(count, len(self.emotions_))}: one row per row of X, and {', '.join(self.emotions_)}"
            raise DataError("Y", f"has shape {labels.shape}; wanted {wanted}")
        return labels

    def _table(self, X: Any, *, reset: bool) -> Any:
        """X, checked by scikit-learn where it is one table that is read whole."""
        sparse = hasattr(X, "toarray")  # also a Mapping in one of its forms; refused below
        if not sparse and (
            isinstance(X, Mapping) or getattr(X, "ndim", 2) == 3 or self.modalities is not None
        ):
            return X
        if isinstance(X, str | os.PathLike):
            raise DataError(
                "X", f"is {X!r}, the name of a file; read it first, for example by pandas.read_csv"
            )
        if isinstance(X, np.ma.MaskedArray):
            X = numbers("X", X)  # scikit-learn reads what the mask hides
        if not reset and self._as_in_fit(X):
            return np.asarray(X)
        from sklearn.utils.validation import validate_data

        try:
            return validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan")
        except (ValueError, TypeError) as error:
            text = " ".join(str(error).split())
            if isinstance(error, DataError) or text.startswith(("The feature names", "Feature names")):
                raise  # the checks of scikit-learn want its lines
            if hasattr(X, "iloc"):
                column_block(X, list(X.columns))  # names a column of text
            text = re.sub(r":? (array=)?\[[-\d\[ ].*\]", "", text)  # values of the array
            raise DataError("X", text[:300]) from error

    def _as_in_fit(self, X: Any) -> bool:
        """Whether X is numbers, none infinite, in the columns of `fit`: scikit-learn would find nothing to refuse."""
        x = X.to_numpy() if hasattr(X, "iloc") else X
        width = vars(self).get("n_features_in_")  # absent where fit got [N, T, F]
        if type(x) is not np.ndarray or x.dtype.kind not in "fiu" or x.shape[1:] != (width,):
            return False
        named = list(getattr(X, "columns", ())) == list(vars(self).get("feature_names_in_", ()))
        return named and len(x) > 0 and not np.isinf(x).any()

    def _weights(self, sample_weight: Any, count: int) -> np.ndarray | None:
        """[N] weights of the rows of `score`, or None."""
        if sample_weight is None:
            return None
        weights = numbers("sample_weight", sample_weight)
        if weights.shape != (count,) or not (weights >= 0).all() or not weights.sum() > 0:
            raise DataError("sample_weight", f"wanted {count} numbers >= 0, one per row, and one above 0")
        return weights

    def _rows(self, X: Any, groups: Any) -> prediction.Rows:
        self._require_fitted()
        per_subject = self.config_.data.per_subject_standardise
        if isinstance(X, Recordings):
            rows = prediction.rows_of_recordings(X, self.modalities_, per_subject)
        else:
            if groups is not None and not per_subject:
                reason = "is for models with per_subject_standardise; leave it out"
                raise DataError("groups", reason)
            if groups is None and per_subject:
                reason = f"is missing; give [N] ids of subjects with {LEAST_WINDOWS} or more windows each"
                raise DataError(
                    "groups", f"{reason}, because each subject is standardised by its own windows"
                )
            require_form(X, self._layout, self._spec.shapes)
            table = X if self._layout.form == "dict" else self._table(X, reset=False)
            rows = prediction.rows_of(signals_of(table, self._layout), groups)
        require_shapes(rows.signals, self._spec.shapes)
        return rows

    def _trials(self, trial: Any, count: int) -> np.ndarray | None:
        """[N] ids of the trials of rows to predict, or None; only an adapted model uses them."""
        return None if self._memories is None else ids_of("trial", trial, count)

    def _with_trials(self, memories: Memories | None, X: Any, Y: Any, trial: Any) -> Self:
        standardised = self.config_.data.per_subject_standardise and not isinstance(X, Recordings)
        rows = self._rows(X, "of these trials" if standardised else None)
        labels = self._reports(Y, len(rows.known))
        copied = type(self).__new__(type(self))
        vars(copied).update(vars(self))  # the same arrays and compiled programs
        copied._memories = written(self.memory_, memories, self._open(), rows, labels, trial)
        return copied
