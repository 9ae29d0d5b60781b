"""Estimators of users as jobs of a table: a fresh copy for each fold, and a digest for the key of the job."""

import copy
import hashlib
import inspect
import sys
from typing import Any

import cloudpickle
from sklearn.base import clone

from mpcl_jax.config.resolve import ConfigError


def fresh_copy(estimator: Any, seed: int) -> Any:
    """An unfitted copy; every parameter `random_state`, also of its parts, is `seed`."""
    if not hasattr(estimator, "get_params"):
        return copy.deepcopy(estimator)
    copied = clone(estimator)
    names = [name for name in copied.get_params() if name.split("__")[-1] == "random_state"]
    return copied.set_params(**dict.fromkeys(names, seed)) if names else copied


def content_digest(name: str, estimator: Any) -> str:
    """sha256 of the object and of the code of its classes. Raises ConfigError where it cannot be copied."""
    try:
        content = cloudpickle.dumps(estimator)
    except Exception as error:  # code of users, which can raise anything
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"estimators: {name} cannot be copied to a worker process ({reason}); remove generators, open files and "
            "locks from the object"
        ) from error
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    modules = sorted({type(part).__module__ for part in (estimator, *parameters.values())})
    return hashlib.sha256(content + "\0".join(map(_source, modules)).encode()).hexdigest()


def _source(module: str) -> str:
    """The text of a module, or "" where there is none: a class typed at a prompt is copied with its code."""
    try:
        return inspect.getsource(sys.modules[module])
    except (TypeError, OSError):
        return ""
