"""How the features of a model are made of the samples of its sensors: by the code of `mpcl_jax.features`."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data import features
from mpcl_jax.data.features.own_signals import ACCEPTED
from mpcl_jax.estimator.prediction import Rows
from mpcl_jax.types import DataError


class Sensor(NamedTuple):
    """One modality that is made of samples."""

    rate: float  # Hz
    kind: str  # of `mpcl_jax.features.KINDS`
    channels: int
    quality: bool  # the last feature is the quality of the window
    size: int  # samples of a window


def sensors_of(
    shapes: Mapping[str, tuple[int, int]], rates: Any, kinds: Mapping[str, str], window: float
) -> dict[str, Sensor]:
    """The sensors of a model with modalities of `shapes`, for windows of `window` seconds.

    `rates`: sensor -> Hz; a modality without a rate is absent. `kinds`: sensor -> kind, where the name does not tell.
    Raises DataError for an unknown sensor, a rate or window that the kind does not allow, and a modality whose
    features are not those of its kind.
    """
    if not isinstance(rates, Mapping) or not rates:
        raise DataError("rates", f"is {rates!r}; wanted a dict, sensor -> Hz, of {', '.join(shapes)}")
    for name, given in (("rates", rates), ("kinds", kinds)):
        if unknown := [m for m in given if m not in shapes]:
            raise DataError(name, f"names {unknown[0]!r}; the model has {', '.join(shapes)}")
    sensors = {}
    for m, rate in rates.items():
        kind = kinds.get(m) or features.guess_kind(m)
        channels, quality = _channels(m, shapes[m], kind)
        # Refuses a rate or a window that is wrong.
        size = round(window * rate) if isinstance(rate, int | float | np.number) else 1
        features.extract({m: np.zeros((max(size, 1), channels))}, rate, window, kinds={m: kind})
        sensors[m] = Sensor(float(rate), kind, channels, quality, size)
    return sensors


def _channels(m: str, shape: tuple[int, int], kind: str) -> tuple[int, bool]:
    """How many channels make F features of this kind, and whether the quality is one more feature."""
    count = len(features.names(kind))
    axes = ACCEPTED[kind].axes
    channels, rest = divmod(shape[1], count)
    if shape[0] != 1 or rest > 1 or channels < 1 or (axes > 1 and channels > 1):
        reason = (
            f"has {shape[0]} × {shape[1]} features in the model, the kind {kind!r} has {count} per channel"
        )
        raise DataError(m, f"{reason}; give kinds={{{m!r}: …}}, or fit a model on features of mpcl.features")
    return axes if axes > 1 else channels, bool(rest)


def rows_of_window(
    sensors: Mapping[str, Sensor], samples: Mapping[str, np.ndarray], window: float
) -> tuple[Rows, list[str]]:
    """The features of one window as one row of the model, and the warnings.

    `samples`: sensor -> [size, channels], NaN where a sample is lost.
    """
    rates = {m: sensors[m].rate for m in samples}
    kinds = {m: sensors[m].kind for m in samples}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = features.extract(samples, rates, window, kinds=kinds)
    signals = {}
    for m, x in found.values.items():
        if sensors[m].quality:
            x = np.column_stack([x, np.where(found.present[m], found.quality[m], np.nan)]).astype(np.float32)
        signals[m] = x[:, None]
    texts = [str(x.message).replace("absent everywhere", "absent here") for x in caught]
    return Rows(signals, found.present, None), texts


def stacked(rows: Sequence[Rows]) -> Rows:
    """Several windows of the same sensors."""
    first = rows[0]
    signals = {m: np.concatenate([x.signals[m] for x in rows]) for m in first.signals}
    return Rows(signals, {m: np.concatenate([x.present[m] for x in rows]) for m in first.present}, None)
