"""The personal memory of one subject as a `.npz` file, without pickle, for the model that wrote it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.estimator.adaptation import Memories
from mpcl_jax.model.personal_memory import PersonalMemory
from mpcl_jax.model.recall_kernel import TIME, RecallKernel
from mpcl_jax.runs.predict import FinishedModel
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.types import DataError

MEMORY = "memory"  # beginning of the names of its arrays


def save_memory(
    file: Path,
    memories: Memories | None,
    subject: str,
    model: str,
    beside: dict[str, np.ndarray] | None = None,
) -> None:
    """Writes the memory of `subject`; `model`: `checksum_of` the model. Raises StorageError.

    `beside`: the other arrays of the file. None: those that it has, for example the statistics of a wearer.
    """
    if beside is None:
        held = read_arrays(file, model) if file.exists() else {}
        beside = {name: x for name, x in held.items() if not name.startswith(MEMORY)}
    arrays = beside | {"subject": np.array(subject), "model": np.array(model)}
    write_arrays(file, arrays | (arrays_of(memories) if memories else {}))


def read_memory(file: Path, kernel: RecallKernel, seeds: int, model: str) -> tuple[Memories, str]:
    """What `save_memory` wrote, and the subject. Raises DataError for another file, and for that of another model.

    The file of a wearer without a report (`stream.wearer`) holds no memory yet.
    """
    arrays = read_arrays(file, model)
    if not any(name.startswith(MEMORY) for name in arrays):
        return Memories(kernel), str(arrays["subject"])
    try:
        return memories_of(kernel, arrays, seeds), str(arrays["subject"])
    except KeyError as error:
        raise DataError(file, f"lacks {error}; it is damaged, give a new name") from error


def read_arrays(file: Path, model: str) -> dict[str, np.ndarray]:
    """The arrays of a file that belongs to `model`, as `read_memory` checks it."""
    try:
        arrays = read_npz(file)
    except DataError as error:  # its advice is for files of data
        reason = f"{error.reason.partition(';')[0]}; delete it and write the reports again"
        raise DataError(file, reason) from error
    if not {"subject", "model"} <= arrays.keys():
        raise DataError(
            file, "is no personal memory; give a file that `mpcl adapt --memory` wrote, or a new name"
        )
    if str(arrays["model"]) != model:
        raise DataError(file, "was written by another model; give the model that wrote it, or a new name")
    return arrays


def checksum_of(models: Sequence[FinishedModel], kernel: RecallKernel) -> str:
    """A short sha256 of everything that a memory depends on: parameters of the models and of the kernel."""
    digest = hashlib.sha256(repr(kernel._replace(others=None)).encode())
    held = [(model.variables, model.normalisation) for model in models]
    for x in jax.tree.leaves([held, kernel.others]):
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest()[:16]


def arrays_of(memories: Memories) -> dict[str, np.ndarray]:
    """The arrays of each model's memory, by names such as "memory0/residual"."""
    arrays = {}
    for number, memory in enumerate(memories.of_models):
        held = {"trial": memory.trial, "residual": memory.residual}
        held |= {f"views/{view}": x for view, x in memory.views.items()}
        arrays |= {f"{MEMORY}{number}/{name}": x for name, x in held.items()}
    return arrays


def memories_of(kernel: RecallKernel, arrays: dict[str, np.ndarray], seeds: int) -> Memories:
    """The memories that `arrays_of` made of `seeds` models. Raises KeyError for a missing array."""
    kept = [view for view in kernel.gain if view != TIME]

    def of_model(place: str) -> PersonalMemory:
        views = {view: arrays[f"{place}/views/{view}"] for view in kept}
        return PersonalMemory(arrays[f"{place}/trial"], views, arrays[f"{place}/residual"])

    return Memories(kernel, tuple(of_model(f"{MEMORY}{n}") for n in range(seeds)))
