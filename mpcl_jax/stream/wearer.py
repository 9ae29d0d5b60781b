"""What a stream keeps of its wearer in one file: the personal memory, and mean and sd of the features."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.normalise import CONSTANT, SMALLEST_SPREAD, Normalisation
from mpcl_jax.estimator.adaptation import Memories
from mpcl_jax.estimator.memory_file import memories_of, read_arrays, save_memory
from mpcl_jax.estimator.opened_model import OpenedModel
from mpcl_jax.estimator.prediction import Rows
from mpcl_jax.runs.predict import LEAST_WINDOWS, FinishedModel
from mpcl_jax.types import DataError

STATISTICS = ("count", "mean", "squares", "largest")


class Running(NamedTuple):
    """The features of one modality over the windows so far (Welford's algorithm)."""

    count: np.ndarray  # [T, F] windows in which the feature is known
    mean: np.ndarray  # [T, F]
    squares: np.ndarray  # [T, F] sum of squared distances from the mean
    largest: np.ndarray  # [T, F] largest absolute value

    def with_window(self, x: np.ndarray) -> "Running":
        """The same after one more window x [T, F], NaN where a feature is missing."""
        known = np.isfinite(x)
        x = np.where(known, x, self.mean).astype(np.float64)
        count = self.count + known
        away = x - self.mean
        mean = self.mean + away * known / np.maximum(count, 1)
        largest = np.maximum(self.largest, np.where(known, np.abs(x), 0))
        return Running(count, mean, self.squares + away * (x - mean) * known, largest)

    def spread(self) -> np.ndarray:
        """Standard deviation [T, F]; infinite where the feature is constant, so that it becomes 0."""
        spread = np.sqrt(self.squares / np.maximum(self.count, 1))
        constant = spread <= np.maximum(CONSTANT * self.largest, SMALLEST_SPREAD)
        return np.where(constant, np.inf, spread)


class Wearer(NamedTuple):
    """The state of one wearer."""

    name: str
    memories: Memories | None  # None where the memory is off
    # Modality -> its features; empty with the statistics of the training data.
    statistics: dict[str, Running] = {}
    windows: int = 0  # in the statistics
    seconds: float = 0.0  # that these windows cover

    def with_window(self, rows: Rows, seconds: float) -> "Wearer":
        """The same with one more window in the statistics, which covers `seconds` that no earlier one did."""
        statistics = dict(self.statistics)
        for m, x in rows.signals.items():
            if rows.present[m][0]:
                empty = Running(*(np.zeros(x.shape[1:]) for _ in STATISTICS))
                statistics[m] = statistics.get(m, empty).with_window(x[0])
        return self._replace(
            statistics=statistics, windows=self.windows + 1, seconds=self.seconds + float(seconds)
        )

    def knows(self, rows: Rows) -> bool:
        """Whether each modality that is present has enough windows for a mean and sd of its own."""
        here = [m for m, present in rows.present.items() if present[0]]
        return all(m in self.statistics and self.statistics[m].count.max() >= LEAST_WINDOWS for m in here)

    def normalising(self, model: FinishedModel) -> FinishedModel:
        """`model` with mean and sd of this wearer in place of those of its training data, or before them."""
        fields = {name: dict(tree) for name, tree in model.normalisation._asdict().items()}
        for m, running in self.statistics.items():
            mean, spread = running.mean, running.spread()
            if model.per_subject:  # the training data were standardised per subject, and then by these
                scale = np.where(np.isinf(spread), 1, spread)  # a constant feature was 0
                fields["median"][m] = mean + scale * fields["median"][m]
                fields["mean"][m] = mean + scale * fields["mean"][m]
                fields["std"][m] = scale * fields["std"][m]
            else:
                fields["median"][m] = fields["mean"][m] = mean
                fields["std"][m] = spread
        return model._replace(normalisation=Normalisation(**fields), per_subject=False)


def read_wearer(file: Path | None, model: OpenedModel) -> Wearer:
    """The wearer in `file`, or a new one. Raises DataError for the file of another model, and a damaged one."""
    new = Memories(model.kernel) if model.kernel else None
    if file is not None and file.suffix != ".npz":
        raise DataError(file, "is no name of a memory; give one that ends with .npz")
    if file is not None and not file.absolute().parent.is_dir():
        raise DataError(file, "its folder does not exist; make it first")
    if file is None or not file.exists():
        return Wearer(file.stem if file else "wearer", model.memories or new)
    arrays = read_arrays(file, model.checksum)
    try:
        memories = new
        if model.kernel and "memory0/trial" in arrays:
            memories = memories_of(model.kernel, arrays, len(model.models))
        known = [m for m in model.models[0].spec.shapes if f"statistics/{m}/count" in arrays]
        statistics = {m: Running(*(arrays[f"statistics/{m}/{x}"] for x in STATISTICS)) for m in known}
        windows, seconds = arrays.get("covered", np.zeros(2)).tolist()
    except (KeyError, ValueError) as error:
        raise DataError(file, f"is damaged ({error}); give a new name") from error
    return Wearer(str(arrays["subject"]), memories, statistics, int(windows), seconds)


def save_wearer(file: Path, wearer: Wearer, model: OpenedModel) -> None:
    """Writes `.npz` without pickle. `mpcl adapt --memory` adds reports and keeps the rest. Raises StorageError."""
    arrays = {"covered": np.array([wearer.windows, wearer.seconds])}
    for m, running in wearer.statistics.items():
        arrays |= {f"statistics/{m}/{name}": x for name, x in running._asdict().items()}
    save_memory(file, wearer.memories, wearer.name, model.checksum, arrays)
