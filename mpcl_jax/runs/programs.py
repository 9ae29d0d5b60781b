"""The compiled functions of a finished model. A second process that uses it does not import Flax."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from mpcl_jax.config.schema import Config
from mpcl_jax.model.outputs import MPCLOutput, Recall
from mpcl_jax.train.devices import compiled
from mpcl_jax.train.kept_programs import kept
from mpcl_jax.types import DataSpec

FORWARD, DETAILS = "forward", "details"


def functions_of(config: Config, spec: DataSpec) -> tuple[Callable, Callable]:
    """`forward` and `details` of a `FinishedModel`, each one program per number of rows."""
    depends = {
        "model": dataclasses.asdict(config.model),
        "precision": config.train.precision,
        "spec": spec._asdict(),
    }

    def program(name: str, result: Callable) -> Callable:
        def function(*arguments):
            return _passes(config, spec)[name](*arguments)

        if config.log.keep_compiled:
            function = kept(name, depends, function, result)
        return compiled(function)

    return program(FORWARD, _log_probs), program(DETAILS, _details)


def _log_probs(arguments: tuple, names: Sequence[str], arrays: Sequence[Any]) -> Any:
    return arrays[0]


def _details(arguments: tuple, names: Sequence[str], arrays: Sequence[Any]) -> tuple[MPCLOutput, Recall]:
    count = len(MPCLOutput._fields)
    return MPCLOutput(*arrays[:count]), Recall(*arrays[count:])


def _passes(config: Config, spec: DataSpec) -> dict[str, Callable]:
    from mpcl_jax.runs.forward import forward_passes

    return dict(zip((FORWARD, DETAILS), forward_passes(config, spec), strict=True))
