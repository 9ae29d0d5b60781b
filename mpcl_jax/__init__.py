"""Memory-guided Prototypical Co-occurrence Learning (MPCL) for mixed emotion recognition, in JAX and Flax.

Axis letters, everywhere in this package:

    N    windows of a data set          B    windows of a batch
    T_m  tokens of modality m           F_m  features of a token of modality m
    T    tokens after the encoders      D    width of a token
    C    emotions                       K    prototypes of one emotion (slots)
    G    modality groups, 2             V    valence groups
    S    scales of the associative memory

The two modality groups are called "physiological" and "behavioural". Label distributions are `labels`
[B, C], predicted log-probabilities `log_probs` [B, C], sample weights `weight` [B] (0 for padding).

The names in `__all__` are the public interface. They are imported on first use, so `import mpcl_jax` takes
milliseconds and no JAX. Everything else is internal and may change.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mpcl_jax.system.collector import paused_collection

if TYPE_CHECKING:
    from mpcl_jax.baselines.registry import register_baseline
    from mpcl_jax.config.resolve import ConfigError
    from mpcl_jax.data import features
    from mpcl_jax.data.pipeline import load_dataset
    from mpcl_jax.data.registry import register_dataset
    from mpcl_jax.data.tables.arrays import from_arrays
    from mpcl_jax.data.tables.frames import from_dataframe
    from mpcl_jax.estimator.evaluation import evaluate
    from mpcl_jax.estimator.loading import load
    from mpcl_jax.estimator.regressor import MPCLRegressor
    from mpcl_jax.export.write import export
    from mpcl_jax.stream.session import stream
    from mpcl_jax.types import DataError, Recordings

__version__ = "0.2.0"

# Public name -> the module that defines it, or the package of a module.
_PLACES = {
    "ConfigError": "config.resolve",
    "DataError": "types",
    "MPCLRegressor": "estimator.regressor",
    "NotFittedError": "sklearn.exceptions",
    "Recordings": "types",
    "evaluate": "estimator.evaluation",
    "export": "export.write",
    "features": "data",
    "from_arrays": "data.tables.arrays",
    "from_dataframe": "data.tables.frames",
    "load": "estimator.loading",
    "load_dataset": "data.pipeline",
    "register_baseline": "baselines.registry",
    "register_dataset": "data.registry",
    "stream": "stream.session",
}
__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; public names: {', '.join(_PLACES)}"
        )
    place = _PLACES[name]
    with paused_collection():
        module = importlib.import_module(place if place.startswith("sklearn") else f"{__name__}.{place}")
        value = (
            getattr(module, name)
            if hasattr(module, name)
            else importlib.import_module(f"{module.__name__}.{name}")
        )
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
