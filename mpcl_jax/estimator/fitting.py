"""From the arguments of `MPCLRegressor.fit` to recordings and validation rows."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from mpcl_jax.data.normalise import far_values
from mpcl_jax.data.tables.arrays import from_arrays
from mpcl_jax.estimator.inputs import ONLY, Layout, signals_of
from mpcl_jax.types import DataError, Recordings

NAME = "arrays"  # of the recordings that `fit` makes


def recordings_of(
    parameters: dict[str, Any], X: Any, Y: Any, groups: Any, trial: Any, layout: Layout
) -> Recordings:
    """The recordings of the arrays X [N, ...] and Y [N, C]; `parameters` are those of the estimator.

    Raises DataError naming array, row and what to do.
    """
    signals = signals_of(X, layout)
    own = parameters["modality_groups"] or {}
    if unknown := [m for m in own if m not in signals]:
        raise DataError("modality_groups", f"names {unknown[0]!r}; the modalities are {', '.join(signals)}")
    count = len(next(iter(signals.values())))
    if hasattr(Y, "toarray"):
        raise DataError("Y", "is a sparse matrix; use .toarray()")
    if len(np.atleast_1d(Y)) != count:
        raise DataError("Y", f"has {len(np.atleast_1d(Y))} rows, X has {count}; wanted one report per row")
    for name, ids in (("groups", groups), ("trial", trial)):
        if isinstance(ids, str):
            raise DataError(name, f"is {ids!r}; wanted [N] ids, one per row, e.g. the column table[{ids!r}]")
    each = np.arange(count).astype(str)
    try:
        return from_arrays(
            signals,
            Y,
            subject="all" if groups is None else groups,
            trial=each if trial is None else trial,
            modality_groups=own,
            emotions=parameters["emotions"],
            valence=parameters["valence"],
            label_kind=parameters["label_kind"],
            floor=parameters["floor"],
            raw=True,  # `signals_of` has extracted features
            name=NAME,
            window_seconds=_window_seconds(X, layout),
        )
    except DataError as error:
        raise _of_fit(error, groups is not None) from None


def _window_seconds(X: Any, layout: Layout) -> float:
    """Length of the raw windows in X; NaN where X holds features."""
    for m, rate in layout.rates.items():
        return np.shape(X[m] if layout.form == "dict" else X)[1] / rate
    return np.nan


def _of_fit(error: DataError, grouped: bool) -> DataError:
    """The same with the names of the arguments of `fit`: X, Y, groups."""
    place, reason = error.file, error.reason
    if place == NAME:  # of the whole: its reason begins with the array
        place, _, reason = reason.partition(": ")
    names = {f"signals[{ONLY!r}]": "X", "signals[": "X[", "labels": "Y", "subject": "groups"}
    for old, new in names.items():
        place = place.replace(old, new) if place.startswith(old) else place
    if not grouped:
        reason = reason.replace("subject 'all', trial 'all/", "without groups, trial '")
    return DataError(place, reason)


def require_alone(parameters: dict[str, Any], *others: Any) -> None:
    """Raises DataError where `fit` gets recordings together with what belongs to arrays."""
    if any(x is not None for x in others):
        raise DataError("Y", "belongs to the recordings already; give the recordings alone")
    for name in (name for name in ("rates", "kinds") if parameters[name] is not None):
        raise DataError(name, "is for arrays; give it to from_arrays, or fit arrays")


def require_usable(parameters: dict[str, Any], recordings: Recordings) -> None:
    """Raises DataError for parameters that no setting holds, and for values that are wrong by orders of magnitude."""
    rows, seeds = parameters["missing_rows"], parameters["n_seeds"]
    if rows not in ("mean", "error"):
        raise DataError("missing_rows", f"is {rows!r}; wanted 'mean' or 'error'")
    if not isinstance(seeds, int | np.integer) or isinstance(seeds, bool) or seeds < 1:
        raise DataError("n_seeds", f"is {seeds!r}; wanted a whole number, at least 1")
    callbacks = parameters["callbacks"] or ()
    if not isinstance(callbacks, Iterable) or not all(map(callable, callbacks)):
        raise DataError("callbacks", f"is {callbacks!r}; wanted a list of functions (epoch, losses)")
    for far in far_values(recordings):
        raise DataError(f"X, row {far.row}", f"{far.place} {far.what}; use NaN where it is wrong")


def validation_rows(recordings: Recordings, share: float, seed: int) -> np.ndarray:
    """[N] bool: `share` of the subjects, or of the trials of a single subject, drawn with `seed`."""
    if not share:
        return np.zeros(len(recordings.labels), bool)
    several = len(np.unique(recordings.subject)) > 1
    group, what = (recordings.subject, "subjects") if several else (recordings.trial, "trials")
    names = np.unique(group)
    count = max(1, round(share * len(names)))
    if count >= len(names):
        reason = f"takes {count} of {len(names)} {what} and leaves none to train on"
        raise DataError(f"validation_fraction = {share}", reason)
    return np.isin(group, np.random.default_rng(seed).permutation(names)[:count])
