"""The process in which data files are read: `python -m mpcl_jax.data.io.guarded_child FOLDER`.

Started by `safe_read.run_guarded`. It reads `FOLDER/request.npz`, limits itself, calls the function named
there and leaves `FOLDER/answer.npz`. It imports NumPy and the module of that function, nothing else.
"""

import importlib
import math
import pathlib
import sys
import traceback
from typing import Any

from mpcl_jax.data.io.message import read_message, write_message
from mpcl_jax.types import DataError


def main(folder: pathlib.Path) -> None:
    """Answers one request: ("result", value), ("refused", file, reason), ("memory",) or ("bug", text, trace)."""
    module, name, args, memory_bytes, seconds = read_message(folder / "request.npz", max_bytes=2**32)
    limit_resources(memory_bytes, seconds)
    # The parent is trusted and names the function; the data file never gets to name one.
    function = vars(importlib.import_module(module))[name]
    try:
        write_message(folder / "answer.npz", answer(function, args))
    except MemoryError:
        write_message(folder / "answer.npz", ("memory",))


def answer(function: Any, args: tuple) -> tuple:
    """Calls `function(*args)`; every way it can end becomes plain data."""
    try:
        return ("result", function(*args))
    except DataError as error:
        return ("refused", error.file, error.reason)
    except MemoryError:
        return ("memory",)
    except Exception as error:  # The border of the process: the parent raises it again, with this trace.
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({pathlib.Path(place.filename).name}, line {place.lineno})"
        return ("bug", text, traceback.format_exc())


def limit_resources(memory_bytes: int, seconds: float) -> None:
    """Caps address space, processor time and written bytes of this process, and forbids core dumps.

    Without effect on Windows, which has no such limits; `safe_read` says so.
    """
    try:
        import resource
    except ImportError:
        return
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, math.ceil(seconds)),
        (resource.RLIMIT_FSIZE, memory_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, hard))
        except (ValueError, OSError):
            # macOS refuses RLIMIT_AS. The readers check every size before they allocate, so what is lost
            # there is the second line of defence, not the first.
            print(f"limit {kind} is not available on this system", file=sys.stderr)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
