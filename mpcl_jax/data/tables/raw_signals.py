"""Windows of raw samples among arrays: which signals become features, and a warning for those that do not."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from mpcl_jax.data import features
from mpcl_jax.types import DataError

SAMPLES = 32  # values along the time axis from which a signal counts as raw


def rates_of(
    signals: Mapping[str, np.ndarray], rates: Any, kinds: Any, raw: bool, array: str
) -> tuple[dict[str, float], dict[str, str]]:
    """The rates of the signals that become features, and their kinds: modality -> Hz, modality -> kind.

    Args:
        signals: modality -> [N, T, F]; empty for a table of features.
        rates: samples per second, one number, modality -> number, or None.
        kinds: modality -> kind, or None.
        raw: nothing becomes a feature.
        array: what messages call `signals`.

    Warns of signals that look raw and have no rate. Raises DataError naming the argument that is wrong.
    """
    for name, given in (("rates", rates), ("kinds", kinds)):
        if given is not None and not signals:
            raise DataError(
                name, f"is for raw samples, [windows, samples, channels]; {array} is a table of features"
            )
        if isinstance(given, Mapping) and (unknown := [m for m in given if m not in signals]):
            raise DataError(name, f"names {unknown[0]!r}; the modalities are {', '.join(signals)}")
    if kinds is not None and not isinstance(kinds, Mapping):
        raise DataError("kinds", f"is {kinds!r}; wanted a dict, modality -> {', '.join(features.KINDS)}")
    given = rates if isinstance(rates, Mapping) else {} if rates is None else dict.fromkeys(signals, rates)
    for m, rate in given.items():
        if isinstance(rate, bool | str) or not isinstance(rate, int | float | np.number):
            raise DataError("rates", f"holds {rate!r} for {m!r}; wanted samples per second")
    if raw:
        return {}, {}
    for m in (m for m in given if signals[m].shape[1] == 1 and signals[m].shape[2] >= SAMPLES):
        key, shape = f"{array}[{m!r}]", f"[windows, {signals[m].shape[2]}], read as features"
        raise DataError(key, f"has the form {shape}; for the samples of one channel give {key}[..., None]")
    long = {m: x.shape[1] for m, x in signals.items() if x.shape[1] >= SAMPLES}
    if missing := [m for m in long if m not in given]:
        _warn(
            f"{', '.join(missing)}: {long[missing[0]]} values along the time axis look like raw samples; "
            "the model learns little from them. Give rates={...} to extract features, or raw=True to keep them"
        )
    known = {m: float(given[m]) for m in long if m in given}
    if idle := [m for m in kinds or {} if m not in known]:
        reason = f"raw samples, [windows, {SAMPLES} or more, channels], and rates"
        raise DataError("kinds", f"names {idle[0]!r}, but a kind needs {reason}; leave it out, or give both")
    if isinstance(rates, Mapping) and (idle := [m for m in rates if m not in known]):
        _warn(
            f"{', '.join(idle)}: rates is not used for fewer than {SAMPLES} values along the time axis; they are "
            "kept as they are"
        )
    return known, {m: (kinds or {}).get(m) or features.guess_kind(m) for m in known}


def features_of(name: str, x: np.ndarray, rate: float, kind: str) -> np.ndarray:
    """The features [N, 1, F] float32 of windows x [N, T, channels]; `name` is what messages call x."""
    values, _, _ = features.of_windows(x, rate, kind, name=name)
    return values[:, None].astype(np.float32)


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=5)  # the caller of `fit` or `from_arrays`
