"""Data sets by name: `config.data.kind` selects one.

A new data set is one function from settings to `Recordings` (the contract: `mpcl_jax/types.py`), in one file:

    def load(data):  # data: DataConfig
        return Recordings(name="toy", ...)

    register_dataset("toy", load)  # in a config file or before a call of this package

A package that is installed beside this one registers its data sets by the entry-point group `mpcl_jax.datasets`.
"""

import contextlib
import importlib.metadata
from collections.abc import Callable

from mpcl_jax.config.data import DataConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.dmer import load as dmer
from mpcl_jax.data.folder import load as folder
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import Recordings

ENTRY_POINTS = "mpcl_jax.datasets"

Load = Callable[[DataConfig], Recordings]

# The registry of this process. A worker process starts with the built-in ones; `restore` adds the others.
_datasets: dict[str, Load] = {}


def register_dataset(name: str, load: Load) -> None:
    """Makes `load` the data set that `config.data.kind = name` selects; replaces one of the same name.

    `load` takes `config.data` and returns `Recordings`; it raises DataError for files that cannot be used.
    To reach worker processes it must stand in a module, or be a function that cloudpickle can copy.
    Raises ConfigError where `name` is not an identifier or `load` not a function.
    """
    if not name.isidentifier():
        raise ConfigError(f"register_dataset: {name!r} is no name; use letters, digits and _, a letter first")
    if not callable(load):
        raise ConfigError(f"register_dataset: {name!r} needs a function, got {type(load).__name__}")
    _datasets[name] = load


@contextlib.contextmanager
def temporarily():
    """Inside, data sets can be registered; afterwards the registered ones are as before."""
    before = registered()
    try:
        yield
    finally:
        _datasets.clear()
        _datasets.update(before)


def registered() -> dict[str, Load]:
    """All data sets registered in this process, by name: what `restore` needs in another process."""
    return dict(_datasets)


def restore(datasets: dict[str, Load]) -> None:
    """Registers `datasets`, the result of `registered` in another process."""
    for name, load in datasets.items():
        register_dataset(name, load)


def find_dataset(name: str) -> Load:
    """The function registered as `name`, or that of an installed package.

    Raises ConfigError naming the known ones where there is none, or where a package cannot be loaded.
    """
    if name not in _datasets:
        installed = importlib.metadata.entry_points(group=ENTRY_POINTS)
        if name not in installed.names:
            known = suggestion(name, [*_datasets, *sorted(installed.names)])
            raise ConfigError(
                f"config.data.kind = {name!r}: no such data set; {known}. If a config file registers it, give this "
                "file with --config FILE; it is executed"
            )
        entry = next(iter(installed.select(name=name)))
        try:
            register_dataset(name, entry.load())
        except (ImportError, AttributeError) as error:
            reason = f"{entry.value!r} of an installed package cannot be loaded ({error})"
            raise ConfigError(f"config.data.kind = {name!r}: {reason}") from error
    return _datasets[name]


restore(
    {
        "simulated": lambda data: simulate(data.simulate)[0],
        "dmer": lambda data: dmer.load(data.path, data.dmer, cache=data.cache),
        "wesad": lambda data: wesad.load(data.path, data.wesad, cache=data.cache),
        "folder": lambda data: folder.load(data.path),
    }
)
