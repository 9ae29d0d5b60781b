"""How a run ends, other than well: one exception and one exit status for each way (RELIABILITY.md)."""

# Another process is gone, numbers are not finite, the disk cannot be written, stopped after an epoch, and at once.
ALONE, NOT_FINITE, DISK, STOPPED, AT_ONCE = 69, 70, 74, 75, 130


class TrainingError(Exception):
    """Training cannot continue with finite numbers: where, since when, and with which samples."""


class StorageError(Exception):
    """A file cannot be written: its path, its size, and why."""


class Stopped(KeyboardInterrupt):
    """The run was asked to stop. Like Ctrl-C it is not an `Exception`, so that no library handles it as an error."""
