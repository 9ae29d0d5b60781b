"""From a config file and the command line to checked, frozen settings.

A config file (`configs/*.py`) starts from `default()`, an `ml_collections.ConfigDict`, and changes a few
fields; `--config.a.b=value` changes more on the command line. `resolve` then turns the whole into the frozen
dataclasses of `settings.py`, or says in one line which key is wrong and what it may be. Nothing below this
module sees a ConfigDict, and nothing here imports JAX: a mistake is refused before anything is compiled.
"""

import dataclasses
import difflib
import math
from typing import get_type_hints

from ml_collections import ConfigDict

from mpcl_jax.settings import ANY, Allowed, Config


class ConfigError(Exception):
    """A setting that can not be used: one line naming key, value and what is allowed."""


def default() -> ConfigDict:
    """The defaults of every setting, as the ConfigDict that config files change."""
    return ConfigDict(dataclasses.asdict(Config()))


def resolve(settings: ConfigDict | dict) -> Config:
    """Checks `settings` and freezes them.

    Raises ConfigError for an unknown key, a wrong type, a value outside its range or two settings that
    contradict each other.
    """
    plain = settings.to_dict() if isinstance(settings, ConfigDict) else settings
    config = _build(Config, plain, "")
    _check_pairs(config)
    return config


def _build(cls, values: dict, prefix: str):
    types = get_type_hints(cls)
    for key in values:
        if key not in types:
            near = difflib.get_close_matches(key, types, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(types)}"
            raise ConfigError(f"config.{prefix}{key}: unknown setting; {hint}")
    built = {}
    for field in dataclasses.fields(cls):
        if field.name not in values:
            continue
        key, value, kind = prefix + field.name, values[field.name], types[field.name]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise ConfigError(f"config.{key}: {value!r} given, but this is a group of settings")
            built[field.name] = _build(kind, value, key + ".")
        else:
            built[field.name] = _checked(key, value, kind, field.metadata["allowed"])
    return cls(**built)


def _checked(key: str, value, kind, allowed: Allowed):
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if kind not in words:  # tuple[x, ...]
        inner = kind.__args__[0]
        if isinstance(value, str) or not isinstance(value, tuple | list):
            raise ConfigError(f"config.{key} = {value!r}: must be a tuple of {words[inner]}s")
        value = tuple(_checked(key, x, inner, ANY) for x in value)
    else:
        right = isinstance(value, (int, float) if kind is float else kind)
        if not right or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"config.{key} = {value!r}: must be {words[kind]}")
        value = kind(value)
        if kind is float and not math.isfinite(value):
            raise ConfigError(f"config.{key} = {value!r}: must be a finite number {allowed.text}")
    if not allowed.holds(value):
        raise ConfigError(f"config.{key} = {value!r}: must be {allowed.text}")
    return value


def _check_pairs(config: Config) -> None:
    model, train, data = config.model, config.train, config.data

    def refuse_if(wrong, text):
        if wrong:
            raise ConfigError(text)

    refuse_if(
        model.width % model.fusion.heads,
        f"config.model.width = {model.width}: must be a multiple of its heads = {model.fusion.heads}",
    )
    refuse_if(
        train.select == "best" and config.protocol.validation == 0,
        "config.train.select = 'best': needs validation rows; set config.protocol.validation above 0",
    )
    refuse_if(
        not model.memory.enabled and model.cooccurrence.enabled,
        "config.model.cooccurrence.enabled = True: retrieval needs banks; set model.memory.enabled too",
    )
    refuse_if(
        data.kind != "simulated" and not data.path,
        f"config.data.path = '': {data.kind} needs its files, e.g. --config.data.path=/data/{data.kind}",
    )
    refuse_if(
        data.kind == "wesad" and data.wesad.step_seconds > data.wesad.window_seconds,
        f"config.data.wesad.step_seconds = {data.wesad.step_seconds}: must be <= window_seconds = "
        f"{data.wesad.window_seconds}, or data between windows is lost",
    )
    limit = config.protocol.folds
    counted = config.protocol.kind != "loso" and config.protocol.kind != "window80"
    refuse_if(
        counted and any(k >= limit for k in config.protocol.only),
        f"config.protocol.only = {config.protocol.only}: folds are counted from 0 to {limit - 1}",
    )
