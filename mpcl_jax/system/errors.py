"""How a run may end, other than well: one exception and one exit code for each way.

0    finished
2    refused: a setting, a file of data, a run folder or its checkpoints can not be used; nothing was changed
69   another process of this run is late, gone or different; start all again with the same command (134: the same,
     said by JAX)
70   training can not go on with finite numbers; the last checkpoint is from before
74   the disk can not be written; whatever was finished before is whole
75   stopped by SIGTERM or Ctrl-C, and every finished step is saved: start the same command again
130  stopped by a second Ctrl-C, at once; what the last checkpoint holds is safe
"""

ALONE, NOT_FINITE, DISK, STOPPED, AT_ONCE = 69, 70, 74, 75, 130


class TrainingError(Exception):
    """Training can not go on with finite numbers: where, since when, and with which samples."""


class StorageError(Exception):
    """Something can not be written: what, how much, and why."""


class Stopped(KeyboardInterrupt):
    """Somebody asked the run to stop. Like Ctrl-C it is no `Exception`, so no library takes it for an error."""
