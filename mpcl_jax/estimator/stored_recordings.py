"""Recordings that were made in memory, as a file that worker processes read."""

import json
import pathlib

import numpy as np

from mpcl_jax.config.data import DataConfig
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.normalise import notes_on
from mpcl_jax.data.registry import register_dataset
from mpcl_jax.system.storage import replacing
from mpcl_jax.types import Recordings

KIND = "in_memory"  # of `config.data`, whose `path` is the file
BY_MODALITY = ("signals", "present", "quality")
IDS = ("subject", "trial", "stimulus")
BY_ROW = ("labels", *IDS, "start", "published_test")
MOST_BYTES = 2**50  # the file was written by this process, so its size is no attack


def store(recordings: Recordings, file: pathlib.Path) -> DataConfig:
    """Writes `recordings` to `file` (.npz, no pickle) and returns the settings with which every process loads them.

    Raises StorageError where the disk does not take the file.
    """
    arrays = {name: getattr(recordings, name) for name in BY_ROW if getattr(recordings, name) is not None}
    arrays |= {name: np.asarray(arrays[name], str) for name in IDS}
    for field in BY_MODALITY:
        for number, m in enumerate(recordings.groups):
            arrays[f"{field}.{number}"] = getattr(recordings, field)[m]
    document = {x: y for x, y in recordings._asdict().items() if x not in (*BY_MODALITY, *BY_ROW)}
    found = notes_on(recordings)  # loading adds them
    document["notes"] = [note for note in recordings.notes if note not in found]
    arrays["document"] = np.array(json.dumps(document))
    with replacing(file, sum(x.nbytes for x in arrays.values())) as temporary:
        np.savez(temporary, **arrays)
    register_dataset(KIND, load_stored)
    return DataConfig(kind=KIND, path=str(file))


def load_stored(data: DataConfig) -> Recordings:
    """The recordings that `store` wrote. Raises DataError where the file is gone or damaged."""
    arrays = parse_npz(data.path, max_bytes=MOST_BYTES)
    document = json.loads(str(arrays.pop("document")))
    document = {name: tuple(x) if isinstance(x, list) else x for name, x in document.items()}
    for field in BY_MODALITY:
        document[field] = {m: arrays.pop(f"{field}.{n}") for n, m in enumerate(document["groups"])}
    return Recordings(**document, **arrays)
