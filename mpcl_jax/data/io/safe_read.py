"""Reads data files of unknown origin: in a child process with limits, and as data only.

`run_guarded` runs a function of this package in a process of its own, so that a file which crashes a library, fills
the memory or never ends costs one clear `DataError`. Pickles (`pickle_reader`) and `.mat` files (`mat_reader`)
are read only there; `.npz` files (`npz_reader`) hold no program and are read in this process.

Functions that reduce a large file to a few features should run inside the child as a whole and call
`parse_pickle` or `parse_mat` there: then only the features travel back.
"""

import functools
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.io.message import read_message, write_message
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.system.os_errors import reason_of
from mpcl_jax.system.output import warn
from mpcl_jax.types import DataError


class Limits(NamedTuple):
    """What reading one file may cost."""

    memory_bytes: int = 6 * 2**30  # address space of the child, and the largest answer
    seconds: float = 300.0  # of the clock and of the processor
    file_bytes: int = 4 * 2**30  # of the file


DEFAULT_LIMITS = Limits()
LEAST_CRASH = 256  # exit statuses from here on exist only on Windows: NTSTATUS codes such as 0xc0000005


def run_guarded(function: Callable, *args: Any, limits: Limits = DEFAULT_LIMITS) -> Any:
    """`function(*args)`, run in a child process with limits.

    `function` is a function at the top level of an importable module; the module should import little (no
    jax), because the child imports it. `args[0]` is the file or folder that is read. Arguments and result are
    plain data (`message`): None, numbers, text, paths, lists, dicts with text as keys, arrays; a tuple
    arrives as a list, a path as text.

    Raises DataError as the function raised it, or naming `args[0]` when the function raised anything else,
    crashed, ran out of time or of memory. ValueError for functions that the child cannot import.
    """
    if function.__module__ == "__main__" or "." in function.__qualname__ or "<" in function.__qualname__:
        raise ValueError(f"{function.__qualname__} has to stand at the top level of a module to run guarded")
    check_file(args[0], limits.file_bytes)
    warn_without_limits()
    try:
        place = tempfile.gettempdir()
    except OSError as error:
        reason = "cannot be read: no folder for temporary files can be written; set TMPDIR to one that can"
        raise DataError(args[0], reason) from error
    with tempfile.TemporaryDirectory(prefix="mpcl_read_", dir=place) as folder:
        request = (function.__module__, function.__qualname__, args, limits.memory_bytes, limits.seconds)
        write_message(pathlib.Path(folder, "request.npz"), request)
        return _outcome(args[0], _run_child(args[0], folder, limits), folder, limits)


@functools.cache
def warn_without_limits() -> None:
    """Warns, once per process, where the system cannot limit the child: on Windows, which has no `resource`."""
    try:
        import resource  # noqa: F401
    except ImportError:
        warn(
            "this system cannot limit the memory and the processor time of the process that reads data files; "
            "a damaged file may use all memory of this machine"
        )


def check_file(path: Any, max_bytes: int) -> None:
    """Raises DataError unless `path` is a folder or a regular file of at most `max_bytes`.

    Reading a pipe or a device may never end, so they are refused.
    """
    try:
        state = os.stat(path)
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else error
        raise DataError(path, f"cannot be opened ({reason})") from error
    if stat.S_ISDIR(state.st_mode):
        return
    if not stat.S_ISREG(state.st_mode):
        raise DataError(path, "is neither a file nor a folder")
    if state.st_size > max_bytes:
        raise DataError(path, f"has {state.st_size:,} bytes, more than the {max_bytes:,} allowed")


def _run_child(path: Any, folder: str, limits: Limits) -> subprocess.CompletedProcess:
    """Starts a fresh interpreter: forking a process that runs jax threads can lock up."""
    environment = dict(os.environ)
    try:
        places = [os.path.abspath(place) for place in sys.path]
    except FileNotFoundError:  # the current folder is deleted: the child could not start with a relative path
        places = [place for place in sys.path if os.path.isabs(place)]
    environment["PYTHONPATH"] = os.pathsep.join(places)
    # One thread: a file is read by one, and every further one costs address space of the limit.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment["HDF5_PLUGIN_PRELOAD"] = "::"  # no file may ask for a plug-in of HDF5
    command = [sys.executable, "-P", "-m", "mpcl_jax.data.io.guarded_child", folder]
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limits.seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(path, f"could not be read within {limits.seconds:g} s") from error


def _outcome(path: Any, child: subprocess.CompletedProcess, folder: str, limits: Limits) -> Any:
    """The result of the child, or the error it ended with."""
    trace = child.stderr[-20_000:].decode("utf-8", "replace")
    if not 0 <= child.returncode < LEAST_CRASH:
        raise _error(path, _crash_reason(child.returncode, limits), trace)
    if child.returncode > 0:
        raise RuntimeError(f"the guarded reader failed while reading {path}:\n{trace}")
    try:
        answer = read_message(pathlib.Path(folder, "answer.npz"), limits.memory_bytes)
    except DataError as error:  # names a temporary file that the user never saw
        reason = f"could not be read: the guarded reader left no usable answer ({error.reason})"
        raise DataError(path, reason) from error
    match answer:
        case ["result", value]:
            return value
        case ["refused", str(file), str(reason)]:
            raise DataError(file, reason)
        case ["memory"]:
            raise DataError(path, f"needs more than {limits.memory_bytes:,} bytes of memory to be read")
        case ["bug", str(text), str(trace)]:
            raise _error(path, f"could not be understood: {text}", trace)
    raise DataError(path, "could not be read: the guarded reader left no usable answer")


def _crash_reason(code: int, limits: Limits) -> str:
    """`code`: the number of a signal, negative, or an exit status of Windows from `LEAST_CRASH` on."""
    name = signal.Signals(-code).name if code < 0 else f"status {code:#x}"
    if name == "SIGXCPU":
        return f"could not be read within {limits.seconds:g} s of processor time"
    if name == "SIGKILL":
        return "could not be read: the reader was killed, most likely because the machine ran out of memory"
    return f"is damaged: the reader crashed ({name})"


def _error(path: Any, reason: str, trace: str) -> DataError:
    """The trace of the child is kept for developers; the message stays one sentence."""
    error = DataError(path, reason)
    error.add_note(f"In the guarded reader:\n{trace}")
    return error


def read_npz(path: Any, limits: Limits = DEFAULT_LIMITS) -> dict[str, np.ndarray]:
    """`parse_npz` after a check of the file; in this process, as a `.npz` file holds no program."""
    check_file(path, limits.file_bytes)
    return parse_npz(path, min(limits.file_bytes, limits.memory_bytes))


def read_text(path: Any, max_bytes: int = 16 * 2**20, encoding: str = "utf-8-sig") -> str:
    """The text in a file; line ends as they are.

    Raises DataError if there is no such file, it is larger than `max_bytes`, or is not in `encoding`.
    """
    check_file(path, max_bytes)
    try:
        with open(path, "rb") as file:
            content = file.read(max_bytes + 1)
        return content.decode(encoding)
    except OSError as error:
        raise DataError(path, f"cannot be opened ({reason_of(error)})") from error
    except UnicodeDecodeError as error:
        raise DataError(path, f"is no {encoding} text (byte {error.start:,})") from error


def read_json(path: Any) -> Any:
    """The content of a JSON file of at most 16 MiB. Raises DataError with line and column otherwise."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(path, f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise DataError(path, f"is no usable JSON ({error})") from error
