"""Config files: a preset by its name or a Python file by its path, and what its `get_config()` returns."""

import contextlib
import difflib
import pathlib
import runpy
import sys
import traceback
import types

from ml_collections import ConfigDict

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.paths import user_path

# Modules that no folder or file of a user replaces while a config file is read.
RESERVED = {*sys.stdlib_module_names, "mpcl_jax"}
PRESETS = pathlib.Path(__file__).resolve().parents[1] / "presets"


def presets() -> list[str]:
    """Names of the presets that come with the package: "dataset", "wesad", …"""
    return sorted(path.stem for path in PRESETS.glob("*.py") if not path.stem.startswith("_"))


def preset(name: str) -> ConfigDict:
    """The settings of the preset `name`, for a config file that starts from them. Raises ConfigError."""
    return read_config_file(str(PRESETS / f"{name}.py"))


def read_config_file(file: str) -> ConfigDict | dict:
    """What `get_config()` of a config file or preset returns.

    The file is Python and is executed; it may import its neighbours (`from configs import base` or `import base`)
    from any current folder. Raises ConfigError naming file and line where that fails.
    """
    path = find_config(file)
    try:
        with contextlib.nullcontext() if path.parent == PRESETS else _neighbours_of(path):
            made = runpy.run_path(str(path))
            if not callable(made.get("get_config")):
                raise ConfigError(f"--config {file}: has no function get_config()")
            values = made["get_config"]()
    except ConfigError:
        raise
    except SystemExit as error:
        reason = "ends the program (SystemExit); get_config() must return the settings"
        raise ConfigError(f"--config {file}: {_place(error, path)}: {reason}") from error
    except Exception as error:  # code of the user can raise anything
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"--config {file}: {_place(error, path)}: {text}") from error
    if not isinstance(values, ConfigDict | dict):
        raise ConfigError(
            f"--config {file}: get_config() returns {type(values).__name__}; it must return the settings"
        )
    return values


def find_config(file: str) -> pathlib.Path:
    """The path of a config file or preset. Raises ConfigError where there is none, DataError for a URL."""
    path = user_path(file, "--config")
    if file in presets() and not path.is_file():
        return PRESETS / f"{file}.py"
    if not path.is_file():
        choices = {name: name for name in presets()} | {p.name: str(p) for p in path.parent.glob("*.py")}
        near = difflib.get_close_matches(path.name, choices, n=1)
        hint = f"give a file, e.g. configs/dataset.py, or one of the presets {', '.join(presets())}"
        hint = f"did you mean {choices[near[0]]}?" if near else hint
        raise ConfigError(f"--config {file}: there is no such file or preset; {hint}")
    if path.suffix != ".py":
        raise ConfigError(f"--config {file}: must be a Python file (.py) with a function get_config()")
    return path


def _place(error: BaseException, path: pathlib.Path) -> str:
    """ "dataset.py, line 12": the innermost line of the config file, or of one beside it, that `error` left."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{pathlib.Path(error.filename).name}, line {error.lineno}"
    frames = [(pathlib.Path(x.filename), x.lineno) for x in traceback.extract_tb(error.__traceback__)]
    beside = [x for x in frames if x[0].resolve().parent == path.resolve().parent]
    return f"{beside[-1][0].name}, line {beside[-1][1]}" if beside else path.name


@contextlib.contextmanager
def _neighbours_of(file: pathlib.Path):
    """Inside, `import base` and `from configs import base` mean base.py in the folder of `file` (…/configs).

    Modules of these names that were imported before are hidden and come back afterwards; those that are imported
    inside are forgotten, so that another config file with the same names reads its own.
    """
    folder, path, earlier = file.resolve().parent, list(sys.path), set(sys.modules)
    beside = {folder.name, *(p.stem for p in folder.glob("*.py"))} - RESERVED
    above = {p.stem for p in folder.parent.glob("*.py")} - RESERVED
    hidden = {name: sys.modules.pop(name) for name in earlier if name.partition(".")[0] in beside}
    if folder.name in beside:
        sys.modules[folder.name] = types.ModuleType(folder.name)
        sys.modules[folder.name].__path__ = [str(folder)]
    sys.path[:0] = [str(folder), str(folder.parent)]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - (earlier - hidden.keys()):
            if name.partition(".")[0] in beside | above:
                del sys.modules[name]
        sys.modules.update(hidden)
