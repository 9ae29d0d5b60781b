"""Opens hostile files in the guarded child, which imports this file."""

import pathlib
import resource
import time

from mpcl_jax.batch import DataFileError
from mpcl_jax.data.mat_reader import parse_mat
from mpcl_jax.data.npz_reader import parse_npz
from mpcl_jax.data.pickle_reader import parse_pickle
from mpcl_jax.data.safe_read import read_json, read_text

READERS = {".pkl": parse_pickle, ".mat": parse_mat, ".npz": parse_npz, ".json": read_json, ".csv": read_text}


def open_all(root: pathlib.Path) -> tuple[dict[str, tuple[str, float]], int]:
    """(words, seconds) of the refusal of every file in `root`, "" where it was read; and the memory in bytes."""
    said = {}
    for file in sorted(pathlib.Path(root).iterdir()):
        begin = time.process_time()
        try:
            READERS[file.suffix](file)
            said[file.name] = ("", time.process_time() - begin)
        except DataFileError as error:
            said[file.name] = (str(error), time.process_time() - begin)
    return said, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
