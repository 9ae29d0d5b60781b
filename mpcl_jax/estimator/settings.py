"""The parameters of `MPCLRegressor` as settings of a run."""

import numbers
from collections.abc import Mapping
from typing import Any

from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import Config

# Parameter -> setting.
PLACES = {
    "width": "model.width",
    "n_prototypes": "model.memory.slots",
    "dropout": "model.dropout",
    "input_dropout": "model.input_dropout",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate",
    "weight_decay": "train.weight_decay",
    "per_subject_standardise": "data.per_subject_standardise",
    "seed": "seed",
}


def config_of(parameters: dict[str, Any]) -> Config:
    """The settings of a run with the `parameters` of an estimator.

    Raises ConfigError, one line per mistake, in the names of the parameters.
    """
    values: dict[str, Any] = {}
    for name, place in PLACES.items():
        _put(values, place, _plain(parameters[name]))
    _put(values, "train.select", _select(parameters))
    own = parameters["settings"] or {}
    if not isinstance(own, Mapping) or any(not isinstance(place, str) for place in own):
        raise ConfigError(f"settings = {own!r}: must be a dict, name of a setting -> value")
    for place, value in own.items():
        if (group := place.removeprefix("config.").partition(".")[0]) in ("data", "protocol", "benchmark"):
            raise ConfigError(
                f"settings: {place!r} has no effect here; settings of {group} belong to mpcl train"
            )
        _put(values, place.removeprefix("config."), _plain(value))
    if parameters["validation_fraction"]:
        _put(values, "protocol.validation", float(parameters["validation_fraction"]))
    try:
        return resolve(values)
    except ConfigError as error:
        text = str(error)
        for name, place in PLACES.items():
            text = text.replace(f"config.{place} =", f"{name} =")
        raise ConfigError(text) from None


def _select(parameters: dict[str, Any]) -> str:
    early, share = parameters["early_stopping"], parameters["validation_fraction"]
    if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 <= share < 1:
        raise ConfigError(f"validation_fraction = {share!r}: must be in [0, 1)")
    if early not in (True, False, "auto"):
        raise ConfigError(f"early_stopping = {early!r}: must be True, False or 'auto'")
    if share:
        return "best" if early else "last"
    return "auto" if early == "auto" else "inner" if early else "last"


def _put(values: dict, place: str, value: Any) -> None:
    *groups, last = place.split(".")
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise ConfigError(f"settings: {place!r} is no setting")
    values[last] = value


def _plain(value: Any) -> Any:
    """`value` without types of NumPy; whole numbers where a setting may be a float stay whole."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
