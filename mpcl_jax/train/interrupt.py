"""Stopping on request, and one run per folder.

SIGTERM and Ctrl-C end a training after its running epoch, with everything saved. An epoch is one compiled program,
which no signal can interrupt from inside Python, so the first request waits for its end; outside of training it ends
the program at once. A second Ctrl-C does not wait: a thread receives it even while XLA computes. Every file is
replaced as a whole, so this loses time, never data.
"""

import contextlib
import os
import pathlib
import signal
import socket
import sys
import threading
import time

import filelock

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.errors import AT_ONCE, Stopped
from mpcl_jax.system.os_errors import NO_LOCKS, reason_of
from mpcl_jax.system.output import warn
from mpcl_jax.system.storage import writing

LOCK, HOLDER = ".lock", ".running"
MARKER = ".lock-marker"  # replaces the lock on a disk that has none


class StopRequest:
    """Whether the run was requested to stop."""

    def __init__(self):
        """It was not."""
        self.requested = False
        self._deferred = False

    @contextlib.contextmanager
    def deferred(self):
        """Inside, a request only sets `requested`, and the caller saves and leaves; at the end it raises Stopped."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.requested:
            raise Stopped

    def take_signals(self) -> dict:
        """Makes both signals request a stop; returns their handlers before."""
        return {number: signal.signal(number, self.request) for number in (signal.SIGTERM, signal.SIGINT)}

    def request(self, *_) -> None:
        """Requests a stop (the handler of both signals)."""
        first, self.requested = not self.requested, True
        if not self._deferred:
            raise Stopped
        if first:
            print("\nstopping after this epoch; Ctrl-C stops at once", file=sys.stderr, flush=True)


@contextlib.contextmanager
def listening():
    """The StopRequest that SIGTERM and Ctrl-C make, as long as the block runs. Only for the main thread."""
    stop = StopRequest()
    reader, writer = socket.socketpair()  # a pipe cannot be set not to wait on every Windows
    writer.setblocking(False)
    before = stop.take_signals()
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_leave_on_the_second, args=(reader,), daemon=True).start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()


def _leave_on_the_second(reader: socket.socket) -> None:
    """Ends the process on a Ctrl-C that is not the first request; returns when the other end is closed."""
    requested = False
    while number := reader.recv(1):
        if requested and number[0] == signal.SIGINT:
            os._exit(AT_ONCE)
        requested = requested or number[0] in (signal.SIGINT, signal.SIGTERM)
    reader.close()


@contextlib.contextmanager
def only_run_in(workdir: pathlib.Path):
    """Locks `workdir` as long as the block runs; the system frees the lock with the process, however that ends.

    Raises ConfigError naming the process that works in it, and StorageError where the disk does not take the lock.
    Where the disk has no locks, as some network disks, a file replaces the lock, and a warning says so.
    """
    holder = workdir / HOLDER
    with writing(workdir / LOCK, 0):
        lock = _locked(workdir)
    try:
        with writing(holder, 200):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            text = f"process {os.getpid()} on {socket.gethostname()} since {since}"
            holder.write_text(text, encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _locked(workdir: pathlib.Path) -> filelock.BaseFileLock:
    hint = f"; if that run is gone, delete {workdir / MARKER}"
    kinds = (filelock.FileLock, LOCK, ""), (filelock.SoftFileLock, MARKER, hint)
    for kind, name, hint in kinds:
        try:
            lock = kind(workdir / name, timeout=0)
            lock.acquire()
            return lock
        except filelock.Timeout:
            file = workdir / HOLDER
            holder = file.read_text(encoding="utf-8") if file.exists() else "a process that has just begun"
            fix = f"wait for it, stop it, or choose another --workdir{hint}"
            raise ConfigError(f"--workdir {workdir}: another run works in it ({holder}); {fix}") from None
        except OSError as error:
            if error.errno not in NO_LOCKS or name == MARKER:
                raise
            what = f"this disk has no file locks ({reason_of(error)}), so the file {MARKER} replaces the lock"
            warn(f"{workdir}: {what}; start no second run in this folder from another machine")
