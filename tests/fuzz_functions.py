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
from mpcl_jax.data.validate import dmer as validate_dmer
from mpcl_jax.data.validate import wesad as validate_wesad
from mpcl_jax.data.wesad import load as wesad
from mpcl_jax.types import DataError

OPTIONS = {"complex_part": "real", "window_seconds": 2.0, "step_seconds": 1.0}
LAYOUTS = {
    "datas_all_fea_1.mat": dmer_files.Layout.SPLIT,
    "1.mat": dmer_files.Layout.MERGED,
    "datas.mat": dmer_files.Layout.SIGNALS,
}


def load(file: pathlib.Path) -> None:
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


def convert_large(file: pathlib.Path) -> tuple[int, int]:
    """The number of windows of a recording, and the memory that its conversion took in bytes."""
    return len(wesad.convert(str(file), "S2", "both", 60.0, 30.0)["start"]), peak_memory()


def validate(file: pathlib.Path) -> None:
    """What the validator does with a file of this name."""
    if file.suffix == ".pkl":
        validate_wesad.read_pickle_issues(file, "S2")
    else:
        layout = LAYOUTS.get(file.name, dmer_files.Layout.FEATURES)
        one_file = layout in (dmer_files.Layout.SPLIT, dmer_files.Layout.MERGED)
        validate_dmer.read_subject_issues(file if one_file else file.parent, "1", str(layout), OPTIONS)


READ = {"load": load, "validate": validate}


def outcome(file: pathlib.Path, read: Callable) -> tuple[str, str, float]:
    """("ok" | "refused" | "bug", words, seconds)."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of the infinities that were planted
        try:
            read(file)
            return "ok", "", time.process_time() - begin
        except (DataError, MemoryError) as error:
            return "refused", str(error) or "memory", time.process_time() - begin
        except Exception as error:  # what a user must never see; the test counts these
            return "bug", f"{type(error).__name__}: {error}", time.process_time() - begin


def outcomes(root: str, files: list[str], how: str) -> tuple[dict[str, tuple], int]:
    """The outcome of each of `files` below `root`, and the largest memory of this process in bytes."""
    found = {name: outcome(pathlib.Path(root) / name, READ[how]) for name in files}
    return found, peak_memory()
