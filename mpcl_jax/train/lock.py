"""One run per folder: a lock of the operating system, which frees it with the process, however that ends."""

import contextlib
import os
import pathlib
import socket
import time

import filelock

from mpcl_jax.config import ConfigError
from mpcl_jax.train.storage import writing

LOCK, HOLDER = ".lock", ".running"


@contextlib.contextmanager
def only_run_in(workdir: pathlib.Path):
    """Holds `workdir` as long as the block runs.

    Raises ConfigError naming the process that holds it. A lock whose process is gone is free: `flock` belongs to
    an open file, not to what lies on the disk.
    """
    lock = filelock.FileLock(workdir / LOCK, timeout=0)
    with writing(workdir / LOCK, 0):
        try:
            lock.acquire()
        except filelock.Timeout:  # an OSError like any other
            raise ConfigError(
                f"--workdir {workdir}: another run works in it ({_holder(workdir)}); "
                "wait for it, stop it, or choose another --workdir"
            ) from None
    try:
        with writing(workdir / HOLDER, 200):
            (workdir / HOLDER).write_text(_myself(), encoding="utf-8")
        yield
    finally:
        (workdir / HOLDER).unlink(missing_ok=True)
        lock.release()


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"


def _holder(workdir: pathlib.Path) -> str:
    file = workdir / HOLDER
    return file.read_text(encoding="utf-8") if file.exists() else "a process that has just begun"
