"""Predictions of `MPCLRegressor`: rows without values, values outside the training range, the mean over seeds."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from mpcl_jax.metrics import floored, from_log_probs
from mpcl_jax.model.outputs import MPCLOutput, Recall
from mpcl_jax.runs.predict import FinishedModel, predict, recall
from mpcl_jax.types import DataError, Recordings, feature_name

FAR = 1.0  # widths of the training range beyond which a typical row is reported


class Rows(NamedTuple):
    """N rows to predict."""

    signals: dict[str, np.ndarray]  # m -> [N, T_m, F_m] float32, NaN where missing
    present: dict[str, np.ndarray]  # m -> [N] bool
    subject: np.ndarray | None  # [N] ids

    @property
    def known(self) -> np.ndarray:
        """[N] bool: rows with at least one modality."""
        return np.any([self.present[m] & ~np.isnan(x).all((1, 2)) for m, x in self.signals.items()], axis=0)

    def take(self, rows: np.ndarray) -> "Rows":
        """Only the `rows` (mask)."""
        signals, present = ({m: x[rows] for m, x in tree.items()} for tree in (self.signals, self.present))
        return Rows(signals, present, None if self.subject is None else self.subject[rows])


class Ranges(NamedTuple):
    """The range of every feature in the training data; NaN where it is always missing."""

    low: dict[str, np.ndarray]  # m -> [T_m, F_m]
    high: dict[str, np.ndarray]


def ranges_of(recordings: Recordings) -> Ranges:
    """The ranges over all windows that have the modality."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature that is always missing
        held = {m: x[recordings.present[m]] for m, x in recordings.signals.items()}
        return Ranges(*({m: f(x, axis=0) for m, x in held.items()} for f in (np.nanmin, np.nanmax)))


def rows_of_recordings(recordings: Recordings, modalities: Sequence[str], per_subject: bool) -> Rows:
    """The rows of `recordings` that `predict` gets, with the `modalities` that the model knows."""
    names = [m for m in recordings.signals if m in modalities]
    if not names:
        raise DataError(recordings.name, f"has none of the modalities {', '.join(modalities)}")
    signals, present = ({m: tree[m] for m in names} for tree in (recordings.signals, recordings.present))
    return Rows(signals, present, recordings.subject if per_subject else None)


def rows_of(signals: dict[str, np.ndarray], groups) -> Rows:
    """The rows of `signals`; a modality is present where it has a value. `groups`: [N] ids, one id, or None."""
    signals = {m: np.asarray(x, np.float32) for m, x in signals.items()}
    present = {m: ~np.isnan(x).all(tuple(range(1, x.ndim))) for m, x in signals.items()}
    count = len(next(iter(present.values())))
    if groups is not None:
        groups = np.asarray(groups, str)
        groups = np.full(count, groups) if groups.ndim == 0 else groups
        if groups.shape != (count,):
            raise DataError("groups", f"has shape {groups.shape}; wanted {count} ids, one per row")
    return Rows(signals, present, groups)


def warn_out_of_range(rows: Rows, ranges: Ranges, names: Mapping[str, Sequence[str]]) -> None:
    """Warns of each modality of which a typical row lies more than `FAR` widths of the training range outside it.

    `names`: modality -> names of its features, where they are known.
    """
    for m, x in rows.signals.items():
        low, high = ranges.low.get(m), ranges.high.get(m)
        here = rows.present[m] & ~np.isnan(x).all((1, 2))
        if (
            low is None or x.shape[1:] != low.shape or not here.any() or np.isinf(x[here]).any()
        ):  # refused later
            continue
        width = np.where(high > low, high - low, np.maximum(np.abs(high), 1e-12))
        beyond = np.nan_to_num(np.maximum(low - x[here], x[here] - high) / width)
        typical = float(np.median(beyond.max((1, 2))))
        if typical > FAR:
            place = np.unravel_index(np.median(beyond, axis=0).argmax(), low.shape)
            row = int(np.flatnonzero(here)[0])
            known = names.get(m, ())
            name = known[place[1]] if low.shape == (1, len(known)) else feature_name(low.shape, *place)
            warnings.warn(
                f"{m}: a typical row lies {typical:.3g} widths of the training range outside it; "
                f"{name} is {x[row][place]:.3g} in row {row}, in training it was "
                f"{low[place]:.3g} to {high[place]:.3g}. Check the units and the order of the columns",
                UserWarning,
                stacklevel=3,
            )


def shares_of(models: Sequence[FinishedModel], rows: Rows, mean: np.ndarray, on_missing: str) -> np.ndarray:
    """Mean over `models` of the predicted distributions, [N, C] float64.

    A row without any value gets `mean` [C], or DataError where `on_missing` is "error".
    """
    known = require_known(rows, on_missing)
    shares = np.tile(mean, (len(known), 1))
    if known.any():
        some = rows.take(known)
        with _as_data_errors():
            each = [predict(model, some.signals, some.present, some.subject) for model in models]
        shares[known] = _mean(each)
    return shares


def require_known(rows: Rows, on_missing: str) -> np.ndarray:
    """[N] bool, rows with at least one value. Raises DataError where one has none and `on_missing` is "error"."""
    known = rows.known
    if on_missing == "error" and not known.all():
        reason = f"row {int((~known).argmax())} has no value in any modality ({int((~known).sum())} in all)"
        raise DataError("X", f"{reason}; drop it, or set missing_rows='mean'")
    return known


def recalls_of(models: Sequence[FinishedModel], rows: Rows) -> list[tuple[MPCLOutput, Recall]]:
    """What lies behind the predictions of each model; every row needs a value."""
    with _as_data_errors():
        return [recall(model, rows.signals, rows.present, rows.subject) for model in models]


@contextlib.contextmanager
def _as_data_errors() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except ValueError as error:  # of `mpcl_jax.runs.predict`: one line that names modality and window
        raise DataError("X", str(error)) from error


def mean_shares(log_probs: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over models of the distributions [N, C] of their log-probabilities."""
    return _mean([from_log_probs(x) for x in log_probs])


def _mean(each: Sequence[np.ndarray]) -> np.ndarray:
    shares = np.mean(each, axis=0, dtype=np.float64)
    return floored(shares / shares.sum(1, keepdims=True))


def mean_tree(trees: Sequence) -> object:
    """The mean over seeds of equal trees of arrays."""
    return jax.tree.map(lambda *x: np.mean(x, axis=0), *trees)
