"""Arguments that are expected by another name: refused in one line with the name that is meant."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from mpcl_jax.config.resolve import ConfigError

Parameters, Result = ParamSpec("Parameters"), TypeVar("Result")
# `groups` is an id per row in scikit-learn, and the modality groups of the model.
RECORDINGS = {
    "groups": "use modality_groups for the groups of the modalities, and subject for the ids of the subjects",
    "kind": "use label_kind",
}
ESTIMATOR = {
    "groups": "use modality_groups for the groups of the modalities, and groups of fit for the ids of the subjects",
    "n_epochs": "use epochs",
    "random_state": "use seed",
    "labels": "use label_kind for what Y holds, and emotions for the names of its columns",
}


FIT = {"subject": "use groups for the ids of the subjects"}


def refuse_arguments(
    remedies: dict[str, str],
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """A decorator: a call with an argument named in `remedies` raises ConfigError with its remedy."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def checked(*args: Any, **given: Any) -> Result:
            for name in (name for name in given if name in remedies):
                raise ConfigError(f"{name}: no such argument here; {remedies[name]}")
            return function(*args, **given)

        return checked

    return decorate
