"""What the scripts of `experiments/datasets` share: options, the source file, and the folder that they write."""

import argparse
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from experiments.shared.table_command import path
from mpcl_jax.data.io.safe_read import read_npz
from mpcl_jax.data.tables.write_folder import require_new, write_folder
from mpcl_jax.evaluation.experiment import describe_data
from mpcl_jax.types import DataError, Recordings

VALENCE = {"pos": "positive", "neg": "negative", "neutral": "neutral"}


def parser_of(document: str) -> argparse.ArgumentParser:
    """The options of every script; `document` is its docstring."""
    parser = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=path, help="the .npz file that the text above describes")
    parser.add_argument("folder", type=path, help="the new folder, in the folder format")
    return parser


def read_source(args: argparse.Namespace, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays `keys` of the source file. Raises DataError where one is missing or the new folder is not empty."""
    require_new(args.folder)
    held = read_npz(args.source)
    if missing := [key for key in keys if key not in held]:
        raise DataError(args.source, f"lacks {missing[0]!r}; wanted the file that docs/datasets.md describes")
    return held


def valence_of(held: Mapping[str, np.ndarray]) -> list[str]:
    """The valence group of each emotion."""
    return [VALENCE[str(sign)] for sign in held["valence"]]


def write(recordings: Recordings, folder: pathlib.Path, document: str) -> None:
    """Writes the new `folder` and prints its content; `document` and the notes are kept in import.txt."""
    write_folder(recordings, folder, [*document.splitlines(), *recordings.notes])
    describe_data(recordings)
    print(f"written to {folder}")
