"""Folders of runs for the audit, written by the program's own writers but without training, and planted leaks."""

import pathlib

import numpy as np
from run_fixture import tiny_config

from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.manifest import Split, hash_of
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.train import run_folder
from mpcl_jax.train.selection import record_test_access, write_choices
from mpcl_jax.types import Recordings


def write_run(folder: pathlib.Path, recordings: Recordings, config: Config, split: Split) -> None:
    """The files of a run that the audit reads; those of which it reads the names alone are empty."""
    run_folder.register_run(folder, config, recordings, split)
    for name in ("predictions.csv", "table.csv"):
        (folder / name).touch()
    for k, fold in enumerate(split.folds):
        (folder / "folds" / f"{k:02d}").mkdir(parents=True)
        for name in ("predictions.npz", "baselines.npz"):
            (folder / "folds" / f"{k:02d}" / name).touch()
        write_choices(folder, "MPCL", {fold.name: {"epoch": 2}})
    record_test_access(folder)


def honest_config(**changes) -> Config:
    """Two folds of simulated subjects; the epoch is chosen on validation subjects."""
    return tiny_config(**{"protocol__folds": 2} | changes)


def split_of(recordings: Recordings, config: Config) -> Split:
    """The split that the program makes."""
    return make_split(recordings, config.protocol)


def signed(split: Split, recordings: Recordings) -> Split:
    """A changed split with the sha256 of its content, as a program without checks would sign it."""
    return split._replace(sha256=hash_of(recordings, split.protocol, split.folds))


def moved(split: Split, rows: np.ndarray, to: str, number: int = 0) -> Split:
    """The split with `rows` of one fold in the part `to` ("train", "validation" or "" = unused) and in no other."""
    fold = split.folds[number]
    parts = {name: np.setdiff1d(fold._asdict()[name], rows) for name in ("train", "validation", "test")}
    if to:
        parts[to] = np.union1d(parts[to], rows)
    folds = list(split.folds)
    folds[number] = fold._replace(**parts)
    return split._replace(folds=tuple(folds))
