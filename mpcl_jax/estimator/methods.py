"""The methods that `evaluate` compares: from names and objects to settings of MPCL and registered baselines."""

import functools
import re
from collections.abc import Mapping
from typing import Any

from mpcl_jax.baselines import registry
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.estimator.regressor import MPCLRegressor
from mpcl_jax.estimator.user_objects import content_digest, fresh_copy
from mpcl_jax.evaluation.leaderboard import METHOD, REFERENCE
from mpcl_jax.system.suggestion import suggestion

WANTED = (
    f"wanted the name of a baseline, {METHOD!r}, an MPCLRegressor, or an object with fit(X, Y) and predict(X)"
)


def methods_of(estimators: Any) -> tuple[dict[str, Config], tuple[str, ...]]:
    """The settings of each model by name, and the names of the baselines, the train mean among them.

    Objects with fit and predict are registered as baselines; call it inside `registry.temporarily`. Raises
    ConfigError for an entry that is no estimator, a name that cannot be used, and an object that cannot be copied.
    """
    models, others = {}, {REFERENCE}
    for name, entry in _named(estimators).items():
        if isinstance(entry, str) and entry.upper() != METHOD:
            others.add(_baseline(name, entry))
            continue
        of_model = isinstance(entry, str) or hasattr(entry, "to_config")
        _check_object(name, entry, of_model)
        if of_model:
            models[name] = (MPCLRegressor() if isinstance(entry, str) else entry).to_config()
            _print_unused(name, entry)
        else:
            _register(name, entry)
            others.add(name)
    if not models and others == {REFERENCE}:
        raise ConfigError(f"estimators: nothing to compare with the train mean; {WANTED}")
    return models, tuple(name for name in registry.names() if name in others)


def _named(estimators: Any) -> dict[str, Any]:
    """Name -> entry. In a list an object has the name of its class; a second one of the class is "Ridge_2"."""
    if isinstance(estimators, Mapping):
        return dict(estimators)
    named: dict[str, Any] = {}
    for entry in estimators if isinstance(estimators, (list, tuple)) else [estimators]:
        if isinstance(entry, str) and entry.upper() != METHOD:
            named[entry] = entry
            continue
        of_model = isinstance(entry, str) or hasattr(entry, "to_config")
        name = METHOD if of_model else type(entry).__name__
        same = sum(re.fullmatch(rf"{name}(_\d+)?", other) is not None for other in named)
        named[f"{name}_{same + 1}" if same else name] = entry
    return named


def _baseline(name: str, entry: str) -> str:
    """The registered baseline that a text names."""
    known = (*registry.names(), METHOD)
    if entry not in known:
        raise ConfigError(f"estimators: {entry!r} is no baseline; {suggestion(entry, known)}")
    if name != entry:
        raise ConfigError(f"estimators: {entry!r} cannot be renamed to {name!r}; a baseline keeps its name")
    return entry


def _check_object(name: Any, entry: Any, of_model: bool) -> None:
    if isinstance(entry, type):
        raise ConfigError(f"estimators: {entry.__name__} is a class; pass an object: {entry.__name__}()")
    if not of_model and not (hasattr(entry, "fit") and hasattr(entry, "predict")):
        raise ConfigError(f"estimators: {entry!r} is no estimator; {WANTED}")
    taken = {*registry.names(), "all", METHOD} - ({METHOD} if of_model else set())
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in taken:
        reason = "use letters, digits and _, and no name of another method"
        raise ConfigError(f"estimators: {name!r} cannot be the name of this object; {reason}")


def _print_unused(name: str, entry: Any) -> None:
    """Prints which parameters of a regressor have no effect in `evaluate`."""
    usual = MPCLRegressor().get_params(deep=False)
    given = {x: getattr(entry, x, usual[x]) for x in ("seed", "n_seeds", "validation_fraction")}
    if unused := [f"{x} = {value!r}" for x, value in given.items() if value != usual[x]]:
        print(f"note   {name}: {', '.join(unused)} not used here; set seeds and validation of evaluate")


def _register(name: str, estimator: Any) -> None:
    """Registers `estimator` as a baseline without a choice of hyper-parameters; its content is part of the key."""
    registry.register_baseline(name, functools.partial(fresh_copy, estimator))
    registry.restore([registry.get(name)._replace(grid=content_digest(name, estimator))])
