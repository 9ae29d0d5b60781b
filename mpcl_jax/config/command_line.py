"""Reads the settings of a command line such as `--config configs/dataset.py --config.train.epochs=3`.

`ml_collections.config_flags` is not used: it stops at the first mistake, names no range, and refuses "auto" for a
number and words without quotes in a tuple. This module only parses the text; pydantic checks the values.
"""

import ast
import difflib
from typing import Any

from mpcl_jax.config.config_file import read_config_file
from mpcl_jax.config.describe import settings
from mpcl_jax.config.names import nearest, unknown
from mpcl_jax.config.resolve import ConfigError, check_each, plain, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.types import as_text, is_text

PREFIXES = ("--config.", "-config.")
KNOWN = "--config, --workdir, --dry-run and --help"
MEANT_CONFIG = "did you mean --config?"


def from_command_line(file: str | None, arguments: list[str]) -> Config:
    """The settings of the config `file` (or preset), changed by `arguments` such as ["--config.train.epochs=3"].

    Raises ConfigError, one line per mistake: unknown options and settings, a file that is not given or cannot be run,
    and everything that `resolve` refuses.
    """
    values, mistakes = read_overrides(arguments)
    if file is None and not any(line.endswith(MEANT_CONFIG) for line in mistakes):
        mistakes.append("--config is missing: give a file or a preset, e.g. --config smoke")
    made = {}
    try:
        made = {} if file is None else _values_of(file)
    except ConfigError as error:
        mistakes += str(error).splitlines()
    check = check_each if mistakes else resolve  # contradictions may come from what could not be read
    try:
        config = check(_overridden(made, values))
    except ConfigError as error:
        mistakes += str(error).splitlines()
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return config


def _values_of(file: str) -> dict:
    """What the config `file` sets, as nested dicts. Raises ConfigError for mistakes of single settings, too."""
    values = plain(read_config_file(file))
    try:
        check_each(values)  # afterwards every group is a dict
    except ConfigError as error:
        lines = [f"--config {file}: {line}" for line in str(error).splitlines()]
        raise ConfigError("\n".join(lines)) from error
    return values


def _overridden(made: dict, values: dict[str, Any]) -> dict:
    """A copy of the nested dicts `made` with `values`, {"train.epochs": 3}."""
    made = dict(made)
    for key, value in values.items():
        *groups, name = key.split(".")
        group = made
        for part in groups:
            group[part] = dict(group.get(part, ()))
            group = group[part]
        group[name] = value
    return made


def read_overrides(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """`--config.a.b=value` and `--config.a.b value` as {"a.b": value}, the last of two wins; and a line per mistake.

    Text that is not a value of the type of a setting stays text: `resolve` refuses it and names the range.
    """
    kinds = {setting.name: setting.type for setting in settings()}
    values, mistakes, waiting = {}, [], list(arguments)
    while waiting:
        name, given, text = waiting.pop(0).partition("=")
        follows = not given and bool(waiting) and not waiting[0].startswith("--")
        key = name.partition(".")[2]
        kind = kinds.get(key, object if key.startswith("data.options.") else None)
        if not name.startswith(PREFIXES) or not is_text(name + text):
            mistakes.append(_not_an_override(name + given + text))
        elif kind is None:
            mistakes.append(f"config.{key}: {unknown(key)}")
        elif not given and kind is bool:
            values[key] = True
            continue
        elif not given and not follows:
            mistakes.append(f"config.{key}: needs a value, --config.{key}=…")
        else:
            values[key] = _value(text if given else waiting[0], kind)
        if follows and name.startswith("-"):
            waiting.pop(0)  # its value
    return values, mistakes


def _not_an_override(argument: str) -> str:
    """Why `argument` is refused, and what may be meant."""
    if not is_text(argument):
        return f"{as_text(argument)}: is not UTF-8 text; rename that file or folder"
    if not argument.startswith("-"):
        return f"{argument!r} is not an option; options begin with -- and join values with ="
    argument = argument.partition("=")[0]
    name = argument.lstrip("-")
    meant = difflib.get_close_matches(name, ("config", "workdir", "dry-run", "help"), n=1, cutoff=0.7)
    meant = meant or [f"config.{key}" for key in nearest(name.removeprefix("config."))]
    hint = f"did you mean --{' or --'.join(meant)}?" if meant else f"known are {KNOWN}"
    return f"{argument}: unknown option; {hint}"


def _value(text: str, kind: type) -> Any:
    """The value of `text` for a setting whose default is of type `kind`; `text` itself if there is none."""
    if kind is str:
        return text
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        value = kind(text) if kind in (int, float) else ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if kind is not tuple:
            return text
        # The quotes of words may be missing: eeg,gsr or [eeg, gsr].
        return tuple(filter(None, (word.strip(" '\"") for word in text.strip(" ()[]").split(","))))
    if kind is tuple:
        return tuple(value) if isinstance(value, tuple | list) else (value,)
    return value
