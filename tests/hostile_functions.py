"""Opens hostile files in the guarded child, which imports this file."""

import pathlib
import resource
import time

from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.io.safe_read import read_json, read_text
from mpcl_jax.types import DataFileError

READERS = {".pkl": parse_pickle, ".mat": parse_mat, ".npz": parse_npz, ".json": read_json, ".csv": read_text}


def peak_memory() -> int:
    """Most bytes that this program held. `ru_maxrss` remembers the process that started it, too."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (peak,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(peak) * 1024


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
    return said, peak_memory()
