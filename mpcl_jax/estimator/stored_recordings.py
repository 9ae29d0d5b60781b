"""Recordings that were made in memory, as a file that worker processes read."""

import pathlib

import joblib

from mpcl_jax.config.data import DataConfig
from mpcl_jax.data.normalise import notes_on
from mpcl_jax.data.registry import register_dataset
from mpcl_jax.system.storage import replacing
from mpcl_jax.types import Recordings

KIND = "in_memory"  # of `config.data`, whose `path` is the file


def store(recordings: Recordings, file: pathlib.Path) -> DataConfig:
    """Writes `recordings` to `file` and returns the settings with which every process loads them.

    Joblib passes the jobs to the workers as pickles too. Raises StorageError where the disk does not take the file.
    """
    found = notes_on(recordings)  # loading adds them
    notes = tuple(note for note in recordings.notes if note not in found)
    with replacing(file, sum(x.nbytes for x in recordings.signals.values())) as temporary:
        joblib.dump(recordings._replace(notes=notes), temporary)
    register_dataset(KIND, load_stored)
    return DataConfig(kind=KIND, path=str(file))


def load_stored(data: DataConfig) -> Recordings:
    """The recordings that `store` wrote."""
    return joblib.load(data.path)
