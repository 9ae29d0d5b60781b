"""How a run ends, other than well: one exception and one exit status for each way.

0    finished
2    refused: a setting, a file of data, a run folder or a checkpoint cannot be used; nothing was changed
69   another process of this run is late, gone or different; start all again with the same command (134: the same,
     reported by JAX)
70   training cannot continue with finite numbers; the last checkpoint is from before
74   the disk cannot be written; everything that was finished before is complete
75   stopped by SIGTERM or Ctrl-C, and every finished step is saved: start the same command again
130  stopped by a second Ctrl-C, at once; the last checkpoint is safe
"""

ALONE, NOT_FINITE, DISK, STOPPED, AT_ONCE = 69, 70, 74, 75, 130


class TrainingError(Exception):
    """Training cannot continue with finite numbers: where, since when, and with which samples."""


class StorageError(Exception):
    """A file cannot be written: its path, its size, and why."""


class Stopped(KeyboardInterrupt):
    """The run was asked to stop. Like Ctrl-C it is not an `Exception`, so that no library handles it as an error."""
