"""From what a config file says to checked, frozen settings.

A config file (`configs/*.py`) starts from `default()`, an `ml_collections.ConfigDict`, and changes a few
fields; `config/command_line.py` reads it and changes more. `resolve` then turns the whole into the frozen dataclasses
of `config/schema.py`, or says in one line which key is wrong and what it may be. Nothing below this module sees a
ConfigDict, and nothing here imports JAX: a mistake is refused before anything is compiled.
"""

import dataclasses
import difflib
from typing import Any, get_type_hints

from ml_collections import ConfigDict

from mpcl_jax.config.fields import AUTO, PATH, Allowed
from mpcl_jax.config.schema import Config
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataFileError


class ConfigError(Exception):
    """A setting that can not be used: one line naming key, value and what is allowed."""


class ProcessError(Exception):
    """Another process of this run is late, gone or different: one line naming it and what to do."""


def default() -> ConfigDict:
    """The defaults of every setting, as the ConfigDict that config files change."""
    return ConfigDict(dataclasses.asdict(Config()))


def plain(settings: ConfigDict | dict) -> dict:
    """Nested dicts of what a config file returned."""
    return settings.to_dict() if isinstance(settings, ConfigDict) else settings


def resolve(settings: ConfigDict | dict) -> Config:
    """Checks `settings` and freezes them.

    Raises ConfigError for an unknown key, a wrong type, a value outside its range or two settings that
    contradict each other.
    """
    config = check_each(settings)
    _check_pairs(config)
    return config


def check_each(settings: ConfigDict | dict) -> Config:
    """Like `resolve`, but each setting by itself: settings may still contradict each other."""
    return _build(Config, plain(settings), "")


def _build(cls, values: dict, prefix: str):
    types = get_type_hints(cls)
    for key in values:
        if key not in types:
            raise ConfigError(f"config.{prefix}{key}: {not_a_setting(f'{prefix}{key}')}")
    built = {}
    for field in dataclasses.fields(cls):
        if field.name not in values:
            continue
        key, value, kind = prefix + field.name, values[field.name], types[field.name]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise ConfigError(f"config.{key} = {value!r}: {not_a_setting(key)}")
            built[field.name] = _build(kind, value, key + ".")
        else:
            built[field.name] = _checked(key, value, kind, field.metadata["allowed"])
    return cls(**built)


def _checked(key: str, value, kind, allowed: Allowed):
    """`value` as its type, or AUTO; whole numbers pass as numbers, lists as tuples, words lose blanks."""
    if isinstance(value, tuple | list):
        value = tuple(x.strip() if isinstance(x, str) else x for x in value)
    if allowed.auto and value == AUTO:
        return AUTO
    if not (_is_a(value, kind) and allowed.holds(value)):
        words = {int: "a whole number ", float: "a number "}.get(kind, "")
        raise ConfigError(f"config.{key} = {value!r}: must be {words}{allowed.text}")
    if allowed is PATH and value:
        try:
            return str(user_path(value, f"config.{key} ="))
        except DataFileError as error:
            raise ConfigError(str(error)) from error
    return kind(value) if kind in (bool, int, float, str) else tuple(map(kind.__args__[0], value))


def _is_a(value, kind) -> bool:
    if kind not in (bool, int, float, str):  # tuple[x, ...]
        return isinstance(value, tuple | list) and all(_is_a(x, kind.__args__[0]) for x in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _check_pairs(config: Config) -> None:
    model, train, data, folds = config.model, config.train, config.data, config.protocol
    fixed = "fixed_48_12_13"  # brings a validation part of its own

    def refuse_if(wrong, text):
        if wrong:
            raise ConfigError(text)

    refuse_if(
        model.width % model.fusion.heads,
        f"config.model.width = {model.width}: must be a multiple of its heads = {model.fusion.heads}",
    )
    refuse_if(
        train.select == "best" and folds.validation == 0 and not folds.manifest and folds.kind != fixed,
        "config.train.select = 'best': needs validation rows; set config.protocol.validation above 0, "
        "or config.train.select=last",
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
        data.kind == "simulated" and data.path,
        f"config.data.path = {data.path!r}: simulated recordings have no files; set config.data.kind too, "
        "e.g. --config.data.kind=folder",
    )
    for kind, windows in (("wesad", data.wesad), ("dmer", data.dmer)):
        refuse_if(
            data.kind == kind and windows.step_seconds > windows.window_seconds,
            f"config.data.{kind}.step_seconds = {windows.step_seconds}: must be <= window_seconds = "
            f"{windows.window_seconds}, or data between windows is lost",
        )
    counted = folds.kind.endswith("fold") or folds.kind == "subject_x_stimulus"
    refuse_if(
        folds.kind == "calibrated" and folds.calibration > folds.calibration_most,
        f"config.protocol.calibration = {folds.calibration}: must be <= calibration_most = "
        f"{folds.calibration_most}, the trials of a person that are never tested",
    )
    refuse_if(
        counted and not folds.manifest and any(k >= folds.folds for k in folds.only),
        f"config.protocol.only = {folds.only}: folds are counted from 0 to {folds.folds - 1}",
    )
    _check_processes(config)


def _check_processes(config: Config) -> None:
    given, at_once = config.distributed, config.train.folds_at_once
    host, _, port = given.coordinator.rpartition(":")

    def refuse_if(wrong, key, reason):
        if wrong:
            group, name = key.split(".")
            value = config.distributed if group == "distributed" else config.train
            raise ConfigError(f"config.{key} = {dataclasses.asdict(value)[name]!r}: {reason}")

    refuse_if(
        given.start == "given" and not (host and port.isdecimal() and 0 < int(port) < 2**16),
        "distributed.coordinator",
        "must be host:port of process 0, e.g. 10.0.0.1:1234",
    )
    refuse_if(
        given.process_id >= given.process_count,
        "distributed.process_id",
        f"processes are counted from 0 to {given.process_count - 1} (config.distributed.process_count = "
        f"{given.process_count})",
    )
    for name in ("coordinator", "process_count"):
        refuse_if(
            given.start != "given" and dataclasses.asdict(given)[name] not in ("", 1),
            f"distributed.{name}",
            f"is not used by config.distributed.start = {given.start!r}; set it to 'given'",
        )
    refuse_if(
        at_once % given.fold_axis,
        "distributed.fold_axis",
        f"must divide config.train.folds_at_once = {at_once}",
    )
    refuse_if(
        config.train.stream_rows and (at_once > 1 or given.start != "off"),
        "train.stream_rows",
        "needs config.train.folds_at_once = 1 and config.distributed.start = 'off'",
    )
    refuse_if(
        at_once > 1 and config.train.generator == "rbg",
        "train.folds_at_once",
        "needs config.train.generator = 'threefry2x32'; 'rbg' gives a fold other numbers in company",
    )


def _leaves(cls, prefix: str = "") -> dict[str, Any]:
    """Every setting below a group by its full name, with its type."""
    found = {}
    for name, kind in get_type_hints(cls).items():
        if dataclasses.is_dataclass(kind):
            found |= _leaves(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = kind
    return found


LEAVES = _leaves(Config)


def _names_in(group: str) -> list[str]:
    """Names of the settings and groups directly in `group`, "" for all; none for what is no group."""
    start = f"{group}." if group else ""
    return list(dict.fromkeys(k[len(start) :].split(".")[0] for k in LEAVES if k.startswith(start)))


def not_a_setting(key: str) -> str:
    """Why `key` is none, and which one may have been meant."""
    if key and (inside := _names_in(key)):
        example = next(leaf for leaf in LEAVES if leaf.startswith(f"{key}."))
        return (
            f"a group of settings ({', '.join(inside)}) is not set as a whole; set each, "
            f"e.g. --config.{example}=…"
        )
    if meant := nearest(key):
        return f"unknown setting; did you mean config.{' or config.'.join(meant)}?"
    group = key
    while group and not _names_in(group):
        group = group.rpartition(".")[0]
    return f"unknown setting; known here: {', '.join(_names_in(group))}"


def nearest(key: str) -> list[str]:
    """Up to three settings or groups that `key` may stand for, the likeliest first."""
    last = key.rpartition(".")[2]
    spelt = _respelt(key)
    elsewhere = [leaf for leaf in LEAVES if leaf.rpartition(".")[2] == last]
    found = elsewhere + spelt if spelt and spelt[0] not in LEAVES else spelt + elsewhere
    if not found and last:
        endings = difflib.get_close_matches(
            last, {leaf.rpartition(".")[2] for leaf in LEAVES}, n=1, cutoff=0.7
        )
        found = [leaf for leaf in LEAVES if leaf.rpartition(".")[2] in endings]
    return list(dict.fromkeys(found))[:3]


def _respelt(key: str) -> list[str]:
    """`key` with each of its parts replaced by the most similar name of that place; none if one has none."""
    found = []
    for part in key.split("."):
        near = difflib.get_close_matches(part, _names_in(".".join(found)), n=1, cutoff=0.7)
        if not near:
            return []
        found += near
    return [".".join(found)]
