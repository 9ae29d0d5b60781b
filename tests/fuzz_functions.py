"""Reads damaged files as the program does in the guarded child. That imports this file, so it stays light."""

import pathlib
import time
import warnings
from collections.abc import Callable

from hostile_functions import peak_memory

from mpcl_jax.data.dmer import features as dmer_features
from mpcl_jax.data.dmer import files as dmer_files
from mpcl_jax.data.dmer import signals as dmer_signals
from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.types import DataFileError


def read_guarded(file: pathlib.Path) -> None:
    """What the program does with a file of this name. Its folder holds nothing else."""
    match file.name:
        case "plain.pkl":
            parse_pickle(file)
        case "S2.pkl":
            wesad.convert(str(file), "S2", "wrist", 5.0, 5.0)
        case "datas_all_fea_1.mat":
            dmer_features.read_split(file, "1")
        case "1.mat":
            dmer_features.read_merged(file, "magnitude")
        case "dis_label.mat":
            dmer_files.read_labels(dmer_files.Found("1", dmer_files.Layout.FEATURES, file.parent))
        case "eegfea.mat" | "perifea.mat" | "videoFea.mat":
            dmer_features.read_folder(file.parent, "real")
        case "datas.mat":
            dmer_signals.read_signals(file.parent, 2.0, 1.0)
        case other:
            raise ValueError(other)


def outcome(file: pathlib.Path, read: Callable) -> tuple[str, str, float]:
    """("ok" | "refused" | "bug", words, seconds)."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy speaks of the infinities that were planted
        try:
            read(file)
            return "ok", "", time.process_time() - begin
        except DataFileError as error:
            return "refused", str(error), time.process_time() - begin
        except MemoryError:
            raise
        except Exception as error:  # what a user must never see; the test counts these
            return "bug", f"{type(error).__name__}: {error}", time.process_time() - begin


def outcomes(root: pathlib.Path, files: list[str]) -> tuple[dict[str, tuple], int]:
    """The outcome of each of `files` below `root`, and the largest memory of this process in bytes."""
    found = {name: outcome(pathlib.Path(root) / name, read_guarded) for name in files}
    return found, peak_memory()
