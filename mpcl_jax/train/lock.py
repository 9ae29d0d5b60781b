"""One run per folder: a lock of the operating system, which frees it with the process, however that ends."""

import contextlib
import os
import pathlib
import socket
import sys
import time

import filelock

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.os_errors import NO_LOCKS, reason_of
from mpcl_jax.system.storage import writing

LOCK, HOLDER = ".lock", ".running"
MARKER = ".lock-marker"  # stands in for the lock on a disk that has none


@contextlib.contextmanager
def only_run_in(workdir: pathlib.Path):
    """Holds `workdir` as long as the block runs.

    Raises ConfigError naming the process that holds it, and StorageError where the disk does not take the lock. A
    lock whose process is gone is free: `flock` belongs to an open file, not to what lies on the disk. Where the disk
    has no locks, as some network disks, a warning says so and a file stands for the lock.
    """
    with writing(workdir / LOCK, 0):
        lock = _acquired(workdir)
    try:
        with writing(workdir / HOLDER, 200):
            (workdir / HOLDER).write_text(_myself(), encoding="utf-8")
        yield
    finally:
        (workdir / HOLDER).unlink(missing_ok=True)
        lock.release()


def _acquired(workdir: pathlib.Path) -> filelock.BaseFileLock:
    try:
        return _taken(filelock.FileLock(workdir / LOCK, timeout=0), workdir, "")
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print(
            f"warning: {workdir}: this disk has no file locks ({reason_of(error)}), so the file {MARKER} stands for "
            "one; start no second run in this folder from another machine. A --workdir on a local disk has locks",
            file=sys.stderr,
            flush=True,
        )
    hint = f"; if that run is gone, delete {workdir / MARKER}"
    return _taken(filelock.SoftFileLock(workdir / MARKER, timeout=0), workdir, hint)


def _taken(lock: filelock.BaseFileLock, workdir: pathlib.Path, hint: str) -> filelock.BaseFileLock:
    try:
        lock.acquire()
    except filelock.Timeout:  # an OSError like any other
        raise ConfigError(
            f"--workdir {workdir}: another run works in it ({_holder(workdir)}); "
            f"wait for it, stop it, or choose another --workdir{hint}"
        ) from None
    return lock


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"


def _holder(workdir: pathlib.Path) -> str:
    file = workdir / HOLDER
    return file.read_text(encoding="utf-8") if file.exists() else "a process that has just begun"
