"""What a user types, `--config configs/dataset.py --config.train.epochs=3`, to checked settings.

Every mistake is one ConfigError. Nothing here imports JAX.
"""

import ast
import difflib
import pathlib
import runpy
import traceback
from typing import Any

from ml_collections import ConfigDict

from mpcl_jax.config.neighbours import neighbours_of
from mpcl_jax.config.resolve import LEAVES, ConfigError, check_each, nearest, not_a_setting, plain, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import as_text, is_text


def from_command_line(file: str, arguments: list[str]) -> Config:
    """The settings of the config `file`, changed by `arguments` such as ["--config.train.epochs=3"].

    Raises ConfigError for a file that can not be run and for everything that `resolve` refuses, DataFileError for a
    path that is none of this machine.
    """
    values = read_overrides(arguments)
    settings = plain(read_config_file(file))
    check_each(settings)  # the file's own mistakes first: afterwards every group is a dict
    for key, value in values.items():
        *groups, name = key.split(".")
        group = settings
        for part in groups:
            group = group.setdefault(part, {})
        group[name] = value
    return resolve(settings)


def read_config_file(file: str) -> ConfigDict | dict:
    """What `get_config()` of a config file returns.

    The file is Python and is executed; it may import its neighbours (`from configs import dataset` or `import
    dataset`) from wherever the command is started. Raises ConfigError naming file and line where that fails.
    """
    path = user_path(file, "--config")
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "give a file, e.g. configs/dataset.py"
        raise ConfigError(f"--config {file}: there is no such file; {hint}")
    if path.suffix != ".py":
        raise ConfigError(f"--config {file}: must be a Python file (.py) with a function get_config()")
    try:
        with neighbours_of(path):
            made = runpy.run_path(str(path))
            if not callable(made.get("get_config")):
                raise ConfigError(f"--config {file}: has no function get_config()")
            settings = made["get_config"]()
    except ConfigError:
        raise
    except Exception as error:  # the user's own code, which can raise anything
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"--config {file}: {_place(error, path)}: {text}") from error
    if not isinstance(settings, ConfigDict | dict):
        raise ConfigError(
            f"--config {file}: get_config() returns {type(settings).__name__}; it must return the settings"
        )
    return settings


def _place(error: Exception, path: pathlib.Path) -> str:
    """ "dataset.py, line 12": the innermost line of the config file, or of one beside it, that `error` left."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{pathlib.Path(error.filename).name}, line {error.lineno}"
    folder = path.resolve().parent
    frames = [
        x
        for x in traceback.extract_tb(error.__traceback__)
        if pathlib.Path(x.filename).resolve().parent == folder
    ]
    return f"{pathlib.Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else path.name


def read_overrides(arguments: list[str]) -> dict[str, Any]:
    """`--config.a.b=value` and `--config.a.b value` as {"a.b": value}; the last of two wins.

    Raises ConfigError for everything else. Text that is no value of the setting's type stays text: `resolve`
    refuses it with the range of the setting.
    """
    if wrong := [argument for argument in arguments if not is_text(argument)]:
        raise ConfigError(f"{as_text(wrong[0])}: is no UTF-8 text; rename that file or folder")
    values, waiting = {}, list(arguments)
    while waiting:
        name, given, text = waiting.pop(0).partition("=")
        key = _key_of(name)
        if key not in LEAVES:
            raise ConfigError(f"config.{key}: {not_a_setting(key)}")
        kind = LEAVES[key]
        if not given and kind is bool:
            text = "true"
        elif not given:
            if not waiting or waiting[0].startswith("--"):
                raise ConfigError(f"config.{key}: needs a value, --config.{key}=…")
            text = waiting.pop(0)
        values[key] = _from_text(text, kind)
    return values


def _key_of(argument: str) -> str:
    """ "train.epochs" of "--config.train.epochs"; refuses what is no override."""
    if argument.startswith(("--config.", "-config.")):
        return argument.partition(".")[2]
    if not argument.startswith("-"):
        raise ConfigError(f"{argument!r} is not an option; options begin with -- and join values with =")
    head, _, rest = argument.lstrip("-").partition(".")
    near = difflib.get_close_matches(head, ("config", "workdir", "help"), n=1, cutoff=0.7)
    if near:
        meant = [".".join([near[0], *nearest(rest)[:1]])]
    else:
        meant = [f"config.{key}" for key in nearest(".".join(filter(None, (head, rest))))]
    hint = f"did you mean --{' or --'.join(meant)}?" if meant else "known are --config, --workdir and --help"
    raise ConfigError(f"{argument}: unknown option; {hint}")


def _from_text(text: str, kind) -> Any:
    """What a command line means by `text` for a setting of type `kind`."""
    if kind is str:
        return text
    try:
        if kind is bool:
            return {"true": True, "false": False}.get(text.lower(), text)
        if kind in (int, float):
            return kind(text)
        value = ast.literal_eval(text)
        return tuple(value) if isinstance(value, tuple | list) else (value,)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        # Of a tuple of words the quotes may be missing: --config.data.modalities=eeg,gsr or [eeg, gsr]
        words = text.strip().removeprefix("[").removeprefix("(").removesuffix("]").removesuffix(")")
        named = (word.strip().strip("'\"") for word in words.split(","))
        return text if kind in (int, float) else tuple(filter(None, named))
