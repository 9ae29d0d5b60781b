"""What the audit reads, the files of a run and its recordings, and the result of one check."""

import functools
import pathlib
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.descriptions import in_order
from mpcl_jax.data.splits.manifest import Split, row_ids
from mpcl_jax.runs.read_run import COLOURS, read_json
from mpcl_jax.train.selection import read_record
from mpcl_jax.types import DataError, Recordings

RED, AMBER, GREEN = COLOURS
SHOWN = 12  # ids that a finding names


class Finding(NamedTuple):
    """The result of one check."""

    check: str  # "copies": the name of the check
    colour: str  # RED: a leak · AMBER: readers of the results must know it, or it was not checked · GREEN
    says: str  # one sentence
    ids: tuple[str, ...] = ()  # windows, subjects, trials, …; at most SHOWN of them


def _finding(colour: str, check: str, says: str, ids=()) -> Finding:
    return Finding(check, colour, says, tuple(in_order(ids)[:SHOWN]))


green, amber, red = (functools.partial(_finding, colour) for colour in (GREEN, AMBER, RED))


class Evidence(NamedTuple):
    """All inputs of the checks."""

    folder: pathlib.Path  # of the run
    config: Config
    data: dict[str, Any]  # data.json
    split: Split  # manifest.json
    recordings: Recordings
    ids: np.ndarray  # [N] str, of every row of the recordings
    choices: dict[str, dict[str, dict[str, Any]]]  # selection.json: fold -> method -> entry; {} without it


def read_settings(folder: pathlib.Path) -> Config:
    """The settings of a run. Raises DataError where there is no run or its settings are unknown."""
    file = folder / "config.json"
    try:
        return resolve(read_json(file))
    except ConfigError as error:
        raise DataError(file, f"was written by another version ({error}); audit it with that one") from error


def read_evidence(folder: pathlib.Path, recordings: Recordings, split: Split) -> Evidence:
    """The files of a finished run, with its `recordings` and `split`. Raises DataError naming a damaged file."""
    data, ids = read_json(folder / "data.json"), np.array(row_ids(recordings))
    return Evidence(folder, read_settings(folder), data, split, recordings, ids, read_record(folder))
