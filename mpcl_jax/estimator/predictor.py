"""Predictions, explanations and adaptation of a fitted model; imports no scikit-learn."""

from typing import Any, Self

import numpy as np

from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import adapted, seen_by
from mpcl_jax.estimator.explanation import Explanation, explain
from mpcl_jax.estimator.fitted import Fitted


class Predictor(Fitted):
    """The part of `MPCLRegressor` that a saved model needs."""

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
        prediction.warn_out_of_range(rows, self._ranges, self._layout.names)
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

    def adapt(self, X: Any, Y: Any, trial: Any = None) -> Self:
        """A copy of this model with a memory of labelled rows of one subject; nothing is trained.

        Args:
            X: rows of the subject, as in `predict`; each needs at least one value.
            Y: [N, C] their reports, of the kind that `fit` took. After `fit` on recordings: shares, or ratings once
                `set_params(floor=...)` has set their floor.
            trial: [N] ids of their trials, or one id. Default: each row is a trial of its own.

        `predict` of the copy is for other rows of the same subject, after them in time. A model with
        `per_subject_standardise` standardises the rows of each call by themselves and needs ten or more. Where the
        memory is off (`memory_`), the copy predicts as this model does, and a warning gives the reason. Raises
        DataError as `predict` does. Example::

            me = model.adapt(X_calibration, Y_calibration, trial=trials)
            me = me.update(x_next, y_next, trial="film 4")
        """
        self._require_fitted()
        return self._with_trials(None, X, Y, trial)

    def update(self, X: Any, Y: Any, trial: Any = None) -> Self:
        """A copy of an adapted model with more rows in its memory; arguments and errors as in `adapt`."""
        self._require_fitted()
        return self._with_trials(self._memories, X, Y, trial)
