"""Opens hostile files in the guarded child, which imports this file."""

import pathlib
import resource

from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.io.safe_read import read_json, read_text
from mpcl_jax.types import DataError

READERS = {".pkl": parse_pickle, ".mat": parse_mat, ".npz": parse_npz, ".json": read_json, ".csv": read_text}


def peak_memory() -> int:
    """Most bytes that this program held. `ru_maxrss` remembers the process that started it, too."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (peak,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(peak) * 1024


def open_file(path: pathlib.Path) -> int:
    """Reads one file; returns the memory that it took in bytes."""
    READERS[pathlib.Path(path).suffix](path)
    return peak_memory()


def open_all(root: pathlib.Path) -> dict[str, str]:
    """The refusal of every file in `root`, "" where it was read."""
    found = {}
    for file in sorted(pathlib.Path(root).iterdir()):
        try:
            open_file(file)
            found[file.name] = ""
        except DataError as error:
            found[file.name] = str(error)
    return found
