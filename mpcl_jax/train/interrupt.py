"""Stopping on request: SIGTERM and Ctrl-C end a training behind its running epoch, with everything saved.

An epoch is one compiled program, which no signal can interrupt from inside Python. So the first request waits
for its end; outside of training it ends the program at once. A second Ctrl-C does not wait: a thread of its own
sees it even while XLA computes. Every file is replaced as a whole, so this loses time, never data.
"""

import contextlib
import os
import signal
import sys
import threading

from mpcl_jax.system.errors import AT_ONCE, Stopped


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __init__(self):
        """Nobody has."""
        self.requested = False
        self._deferred = False

    @contextlib.contextmanager
    def deferred(self):
        """Inside, a request only sets `asked`, and the caller saves and leaves; at the end it raises Stopped."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.requested:
            raise Stopped

    def take_signals(self) -> dict:
        """Makes both signals ask; returns who had them before."""
        return {number: signal.signal(number, self.ask) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(self, *_) -> None:
        """Asks the run to stop (the handler of both signals)."""
        first, self.requested = not self.requested, True
        if not self._deferred:
            raise Stopped
        if first:
            print("\nstopping behind this epoch; Ctrl-C stops at once", file=sys.stderr, flush=True)


@contextlib.contextmanager
def listening():
    """The StopRequest that SIGTERM and Ctrl-C make, as long as the block runs. Only for the main thread."""
    request = StopRequest()
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = request.take_signals()
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_leave_on_the_second, args=(heard,), daemon=True).start()
    try:
        yield request
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(told)


def _leave_on_the_second(heard: int) -> None:
    """Ends the process on a Ctrl-C that is not the first request; returns when the pipe is closed."""
    requested = False
    while number := os.read(heard, 1):
        if requested and number[0] == signal.SIGINT:
            os._exit(AT_ONCE)
        requested = requested or number[0] in (signal.SIGINT, signal.SIGTERM)
    os.close(heard)
