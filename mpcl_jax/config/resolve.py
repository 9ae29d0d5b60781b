"""Checks and freezes what a config file and the command line set.

A config file (`configs/*.py`) starts from `default()`, an `ml_collections.ConfigDict`, and changes a few settings.
`resolve` makes the frozen dataclasses of `config/schema.py` from it, or names every wrong setting, one line each.
Only config files and this folder use a ConfigDict. This folder imports no JAX: a mistake is refused at once.
"""

import dataclasses

from ml_collections import ConfigDict
from pydantic import TypeAdapter, ValidationError

from mpcl_jax.config.describe import settings
from mpcl_jax.config.names import unknown
from mpcl_jax.config.rules import contradictions
from mpcl_jax.config.schema import Config


class ConfigError(ValueError):
    """Settings that cannot be used: one line per mistake, with key, value and what is allowed."""


class ProcessError(Exception):
    """Another process of this run is late, has ended or differs: one line names it and what to do."""


def default() -> ConfigDict:
    """The defaults of every setting, as the ConfigDict that config files change; `resolve` checks the types."""
    return ConfigDict(dataclasses.asdict(Config()), type_safe=False)


def plain(values: ConfigDict | dict) -> dict:
    """Nested dicts of what a config file returned."""
    return values.to_dict() if isinstance(values, ConfigDict) else values


def resolve(values: ConfigDict | dict) -> Config:
    """Checks `values` and freezes them; settings that are not given have their defaults.

    Raises ConfigError, one line per mistake, for unknown keys, wrong types, values outside their range and settings
    that contradict each other.
    """
    config = check_each(values)
    mistakes = [f"config.{key} = {value!r}: {reason}" for key, value, reason in contradictions(config)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return config


def check_each(values: ConfigDict | dict) -> Config:
    """Like `resolve`, but checks each setting alone: settings may still contradict each other."""
    try:
        return TypeAdapter(Config).validate_python(plain(values))
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    allowed = {setting.name: setting.allowed for setting in settings()}
    raise ConfigError("\n".join(sorted({_line(mistake, plain(values), allowed) for mistake in mistakes})))


def _line(mistake: dict, values: dict, allowed: dict[str, str]) -> str:
    """What pydantic found, in one line: key, value and what is allowed."""
    place, value = list(map(str, mistake["loc"])), mistake["input"]
    # The place of a mistake continues inside a tuple or a choice: train.epochs.constrained-int
    key = next((k for n in range(len(place)) if (k := ".".join(place[: n + 1])) in allowed), None)
    if key is None:
        key = ".".join(place)
        shown = f" = {value!r}" if mistake["type"] == "dataclass_type" else ""
        return f"config.{key}{shown}: {unknown(key)}"
    for part in key.split("."):
        values = values[part]
    reason = str(mistake["ctx"]["error"]) if mistake["type"] == "value_error" else f"must be {allowed[key]}"
    return f"config.{key} = {values!r}: {reason}"
