"""The parameters of `MPCLRegressor` with their defaults; what they mean stands there."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from mpcl_jax.data.tables.arguments import ESTIMATOR, refuse_arguments
from mpcl_jax.data.tables.arrays import Labels

Auto = Literal["auto"]


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Parameters:
    """Every parameter is an attribute, as scikit-learn expects; `fit` checks them."""

    epochs: int | Auto = "auto"
    width: int | Auto = "auto"
    n_prototypes: int = 4
    dropout: float | Auto = "auto"
    input_dropout: float | Auto = "auto"
    learning_rate: float | Auto = "auto"
    weight_decay: float = 0.1
    batch_size: int = 128
    early_stopping: bool | Auto = "auto"
    validation_fraction: float = 0.0
    n_seeds: int = 1
    seed: int = 0
    modalities: Mapping[str, Sequence] | None = None
    modality_groups: Mapping[str, str] | None = None
    emotions: Sequence[str] | None = None
    valence: Mapping[str, str] | Sequence[str] | None = None
    label_kind: Labels = "auto"
    floor: float | None = None
    rates: Any = None
    kinds: Mapping[str, str] | None = None
    raw: bool = False
    per_subject_standardise: bool = False
    missing_rows: Literal["mean", "error"] = "mean"
    personal_memory: bool = True
    warm_start: bool = False
    settings: Mapping[str, Any] | None = None
    callbacks: Sequence[Callable] | None = None
    verbose: bool = False


Parameters.__init__.__qualname__ = "MPCLRegressor.__init__"  # as Python names it where an argument is unknown
Parameters.__init__ = refuse_arguments(ESTIMATOR)(Parameters.__init__)
