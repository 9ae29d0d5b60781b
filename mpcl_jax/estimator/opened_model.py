"""What streams and `mpcl adapt` need of a model: a `MPCLRegressor`, its folder, or a finished run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.utils.validation import check_is_fitted

from mpcl_jax.config.resolve import resolve
from mpcl_jax.estimator.adaptation import Memories
from mpcl_jax.estimator.loading import load
from mpcl_jax.estimator.memory_file import checksum_of
from mpcl_jax.estimator.prediction import Ranges
from mpcl_jax.estimator.regressor import MPCLRegressor
from mpcl_jax.model.recall_kernel import RecallKernel
from mpcl_jax.runs.predict import FinishedModel, open_model
from mpcl_jax.runs.read_run import read_json
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.fold_memory import load_memory, memory_file
from mpcl_jax.types import DataError


class OpenedModel(NamedTuple):
    """Models whose predictions are averaged, and what is known of their training data."""

    models: Sequence[FinishedModel]
    kernel: RecallKernel | None  # of the personal memory; None where it is off
    reason: str  # why it is on or off
    memories: Memories | None = None  # of an adapted model
    ranges: Ranges | None = None  # of the training data
    rates: Mapping[str, float] = {}  # modality -> Hz, where the model was fitted on raw windows
    kinds: Mapping[str, str] = {}
    window: float | None = None  # seconds of a window

    @property
    def checksum(self) -> str:
        """What a file with the memory of a subject is compared with."""
        return checksum_of(self.models, self.kernel)


def opened_model(model: Any, fold: int = 0) -> OpenedModel:
    """`model`: a fitted `MPCLRegressor`, a `FinishedModel`, or the folder of a saved model or of a finished run.

    `fold` is for runs. Raises DataError for anything else, and NotFittedError before `fit`.
    """
    if isinstance(model, str | os.PathLike):
        folder = user_path(model)
        if not (folder / "model.json").is_file():
            return _of_run(folder, fold)
        model = load(folder)
    if isinstance(model, FinishedModel):
        return OpenedModel([model], None, "off: the model has learned none")
    if not isinstance(model, MPCLRegressor):
        raise DataError("model", f"is {type(model).__name__}; wanted a fitted MPCLRegressor or its folder")
    check_is_fitted(model)
    memory, layout = model.memory_, model._layout
    return OpenedModel(
        model._open(),
        memory.kernel,
        memory.reason,
        model._memories,
        model._ranges,
        layout.rates,
        layout.kinds,
        model._about["window_seconds"],
    )


def _of_run(folder: Path, fold: int) -> OpenedModel:
    file = memory_file(folder / "folds" / f"{fold:02d}", "MPCL")
    model, kernel, reason = open_model(folder, fold), None, "off: the run has learned none"
    if file.is_file():
        learned = load_memory(file)
        kernel, reason = learned.kernel, learned.reason
    data = resolve(read_json(folder / "config.json")).data
    window = float(data.wesad.window_seconds) if data.kind == "wesad" else None
    return OpenedModel([model], kernel, reason, window=window)
