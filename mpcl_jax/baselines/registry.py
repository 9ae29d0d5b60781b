"""The baselines by name. A new baseline is one file: in this folder, in an installed package, or the config file.

    from mpcl_jax.baselines.registry import register_baseline

    def make(seed, alpha=1.0):
        return sklearn.linear_model.Lasso(alpha)

    register_baseline("lasso", make, grid={"alpha": (0.01, 0.1, 1.0)})

All files of this folder are imported. An installed package names its module, or a function that registers, in the
entry-point group `mpcl_jax.baselines`. docs/baselines.md describes the built-in ones.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import itertools
import pkgutil
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from mpcl_jax.baselines.selection import Part, Predicted, Task, choose
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import BASELINES, REFERENCE, BenchmarkConfig
from mpcl_jax.metrics import as_distributions
from mpcl_jax.system.output import warn
from mpcl_jax.system.suggestion import suggestion

GROUP = "mpcl_jax.baselines"  # of entry points, and the package of the built-in ones


class Baseline(NamedTuple):
    """One row of a table."""

    name: str
    predict: Callable[[Task, int, int], Predicted]  # (task, seed, largest number of settings to try)
    settings: int | None  # hyper-parameter settings to choose among; None: as many as allowed
    origin: Callable  # the registered function; its source file and `grid` are part of the key of results
    grid: str = ""  # hyper-parameters and their values


# Registration is an action of the process, like an import; this is the only thing that it changes.
_registered: dict[str, Baseline] = {}


def register_baseline(
    name: str,
    make: Callable[..., Any] | None = None,
    *,
    grid: Mapping[str, Sequence] | None = None,
    search: Mapping[str, Any] | None = None,
    predict: Callable[[Task, int, int], Predicted] | None = None,
    settings: int | None = 0,
) -> None:
    """Makes `name` a value of `config.benchmark.baselines`. The same name again replaces the earlier one.

    Args:
        name: letters, digits and "_".
        make: `make(seed, **setting)` returns an estimator with `fit(X, Y)` and `predict(X)`; X [N, P] float32 are the
            z-scored features of all modalities side by side (0 where one is absent), Y [N, C] the reported
            distributions. Predictions [M, C] are finite numbers, of which at least one is above 0; they are clipped
            at 1e-6 and renormalised.
        grid: hyper-parameter -> values. The first `config.benchmark.tries` combinations, in this order, are compared
            by their KL on inner grouped splits of the training part.
        search: further arguments of `make` during this search, e.g. fewer trees.
        predict: instead of `make`, for a method that needs more than features: `predict(task, seed, tries)` chooses
            its own hyper-parameters among `settings` (None: any number) and returns `Predicted`.

    Raises ConfigError for a name that is not allowed or belongs to a built-in baseline.
    """
    origin = make or predict
    if make is not None and predict is not None or origin is None:
        raise ConfigError(f"register_baseline({name!r}): give either make or predict")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in ("all", "MPCL"):
        raise ConfigError(f"register_baseline({name!r}): use letters, digits and _, and not 'all' or 'MPCL'")
    if name in BASELINES and not _is_built_in(origin):
        raise ConfigError(f"register_baseline({name!r}): a built-in baseline has this name; choose another")
    if make is not None:
        values = (grid or {}).values()
        candidates = [dict(zip(grid or (), chosen, strict=True)) for chosen in itertools.product(*values)]
        predict = functools.partial(_predict_by_estimator, name, make, candidates, dict(search or {}))
        settings = len(candidates) if grid else 0
    _registered[name] = Baseline(name, predict, settings, origin, repr((grid, search)))


def names() -> tuple[str, ...]:
    """The names of all baselines in the order of the rows of a table; those of users come last."""
    _load()
    return tuple(sorted(_registered, key=lambda name: (*BASELINES, name).index(name)))


def get(name: str) -> Baseline:
    """The baseline `name`. Raises ConfigError, with the nearest name, where it is not registered."""
    if name not in names():
        meant = suggestion(name, (*names(), "all"))
        raise ConfigError(f"config.benchmark.baselines = {name!r}: unknown baseline; {meant}")
    return _registered[name]


def wanted(settings: BenchmarkConfig) -> tuple[str, ...]:
    """The baselines of a run in the order of the rows of a table; the train mean always runs, "all" names every one.

    Raises ConfigError for a name that is not registered.
    """
    chosen = (*settings.baselines, REFERENCE)
    own = importlib.metadata.entry_points(group=GROUP)
    if set(chosen) <= set(BASELINES) and not own:  # no reason to import them before the training
        return tuple(name for name in BASELINES if name in chosen)
    for name in settings.baselines:
        if name != "all":
            get(name)
    return tuple(name for name in names() if name in chosen or "all" in chosen)


def tried(name: str, tries: int) -> int:
    """How many settings the baseline `name` compares in each fold if `tries` are allowed; 0: it has no choice."""
    settings = get(name).settings
    return tries if settings is None else min(settings, tries)


def predict(name: str, task: Task, *, seed: int, tries: int) -> Predicted:
    """Fits the baseline `name` on the training part of `task` and predicts its test rows.

    At most `tries` >= 1 hyper-parameter settings are compared. The same `seed` gives the same bits. Raises
    ConfigError for an unknown name and an estimator that fails.
    """
    # Matrices of this size are many times slower on several BLAS threads than on one.
    with threadpool_limits(1):
        return get(name).predict(task, seed, tries)


def registered() -> tuple[Baseline, ...]:
    """The baselines that users registered, for `restore` in a worker process."""
    return tuple(baseline for baseline in _registered.values() if not _is_built_in(baseline.origin))


def restore(baselines: Iterable[Baseline]) -> None:
    """Registers what `registered` returned in another process."""
    _registered.update({baseline.name: baseline for baseline in baselines})


@contextlib.contextmanager
def temporarily():
    """Baselines that are registered inside are removed at the end."""
    _load()
    before = dict(_registered)
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)


def _is_built_in(origin: Callable) -> bool:
    return origin.__module__.startswith(f"{GROUP}.")


@functools.cache
def _load() -> None:
    """Imports the built-in baselines and those of installed packages, once a process."""
    for module in pkgutil.iter_modules(importlib.import_module(GROUP).__path__):
        importlib.import_module(f"{GROUP}.{module.name}")
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            loaded = entry.load()
            if callable(loaded):
                loaded()
        except Exception as error:  # the code of another package, which can raise anything
            raise ConfigError(f"entry point {entry.name!r} of {GROUP}: {_described(error)}") from error


def _predict_by_estimator(
    name: str, make: Callable, candidates: list[dict], search: dict, task: Task, seed: int, tries: int
) -> Predicted:
    def fit_predict(part: Part, x: np.ndarray, setting: dict) -> np.ndarray:
        try:
            model = make(seed, **setting)
            model.fit(part.x, part.labels)
            predicted = model.predict(x)
        except Exception as error:  # code of users, which can raise anything
            raise ConfigError(f"baseline {name!r}: {_described(error)}") from error
        return _numbers(name, predicted, (len(x), part.labels.shape[1]))

    chosen = choose(
        task.train, candidates[:tries], lambda part, x, s: as_distributions(fit_predict(part, x, s | search))
    )
    shares = fit_predict(task.train, task.x, chosen)
    _require_positive(name, shares)
    setting = ", ".join(f"{key}={value}" for key, value in chosen.items())
    return Predicted(as_distributions(shares), setting)


def _numbers(name: str, predicted: Any, wanted: tuple[int, int]) -> np.ndarray:
    """What predict() returned, as float64. Raises ConfigError for anything but finite numbers of shape `wanted`."""
    try:
        shares = np.asarray(predicted, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(
            f"baseline {name!r}: predict() returned no numbers; wanted shape {wanted}"
        ) from None
    if shares.shape != wanted or not np.isfinite(shares).all():
        found = f"shape {shares.shape}" if shares.shape != wanted else "NaN or infinite numbers"
        raise ConfigError(f"baseline {name!r}: predict() returned {found}; wanted shape {wanted}, all finite")
    return shares


def _require_positive(name: str, shares: np.ndarray) -> None:
    """Rows without a number above 0 would become uniform: raises ConfigError where all are, warns of some."""
    nothing = ~(shares > 0).any(1)
    if nothing.all():
        raise ConfigError(
            f"baseline {name!r}: predict() returned no number above 0; wanted shares of the emotions"
        )
    if nothing.any():
        row = int(nothing.argmax())
        warn(
            f"row {row} of predict() has no number above 0 ({int(nothing.sum())} in all) and counts as uniform"
        )


def _described(error: Exception) -> str:
    """ "file.py, line 12: ValueError: …"."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    reason = " ".join(str(error).split())
    return f"{place.filename}, line {place.lineno}: {type(error).__name__}: {reason}"
