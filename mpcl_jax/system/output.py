"""Standard output and error of a command: of a shell, a notebook or a pipe, open or closed."""

import contextlib
import errno
import io
import os
import sys

from mpcl_jax.system.os_errors import reason_of


def warn(text: str) -> None:
    """Prints to stderr what a reader of the results has to know."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def any_output():
    """Inside, printing never raises: a context, or the decorator of a command's `main`.

    Gives a function that returns whether a part of standard output was lost, e.g. on a full disk.

    A character that the encoding lacks is replaced. A closed stream (`>&-`) accepts everything and shows nothing.
    When the reader of a pipe ends (`| head -1`), it needs no more. When the disk is full, one line says that the rest
    of the output is lost. The command continues in both cases. Other streams (of a notebook, StringIO) are used as
    they are.
    """
    before = sys.stdout, sys.stderr
    _open_closed_descriptors()
    sys.stdout, sys.stderr = (_lasting(stream, number) for number, stream in enumerate(before, start=1))
    channel = getattr(getattr(sys.stdout, "buffer", None), "raw", None)

    def lost() -> bool:
        sys.stdout.flush()
        return isinstance(channel, _Channel) and channel.lost

    try:
        yield lost
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    """Opens those of 0, 1 and 2 that are closed: else the next file that is opened receives what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is `number`
            os.set_inheritable(opened, True)


def _lasting(stream, number: int):
    """`stream`, or, where it is None or writes to a descriptor, one that survives the end of its reader.

    `number`: the descriptor that is used where `stream` is None.
    """
    encoding, lines = "utf-8", True
    if stream is not None:
        # A subclass, or a stream into memory, belongs to a program that reads what is printed.
        if type(stream) is not io.TextIOWrapper or isinstance(stream.buffer, io.BytesIO):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
            return stream
        stream.flush()
        number, encoding = stream.fileno(), stream.encoding
        lines = stream.line_buffering or stream.write_through
    channel = io.BufferedWriter(_Channel(number, "w", closefd=False))
    return io.TextIOWrapper(channel, encoding=encoding, errors="replace", line_buffering=lines)


class _Channel(io.FileIO):
    """A descriptor that is redirected to the null device when it cannot be written any more."""

    lost = False  # whether a reader lacks a part

    def write(self, data) -> int:
        """The number of bytes taken."""
        try:
            while (taken := super().write(data)) is None:  # full, and set not to wait
                os.set_blocking(self.fileno(), True)
            return taken
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # also for libraries and later processes
            os.close(nowhere)
            if error.errno != errno.EPIPE:  # a reader that has ended needs no more
                self.lost = True
                warn(f"output cannot be written ({reason_of(error)}); the rest of it is lost")
            return len(data)
