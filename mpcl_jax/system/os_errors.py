"""Errors of the operating system for a file of a run, and what to do about them: one table for the package."""

import errno
import os

NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, 524})  # 524: ENOTSUPP of Linux
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

REMEDIES = {
    errno.ENOSPC: "make room on this disk",
    errno.EDQUOT: "your quota is used up: delete files of yours on this disk, or ask for a larger quota",
    errno.EFBIG: "the file would be larger than allowed: raise the limit (ulimit -f), or use another disk",
    errno.EROFS: "the disk is mounted read-only: choose a folder on another disk",
    errno.EACCES: "you lack the permission: change it, or choose another folder",
    errno.EPERM: "the system does not allow it: choose another folder",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter path",
    errno.EIO: "the disk reports a hardware error: check it, and use another one",
    errno.ESTALE: "the network disk was mounted anew or its server replaced: mount it again",
    errno.ETIMEDOUT: "the network disk does not answer: check the connection",
    errno.EMFILE: "this process has too many open files: raise the limit (ulimit -n)",
    errno.ENOENT: "the folder does not exist: make it, or mount its disk again",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another path",
}
UNKNOWN = "check the disk, or choose a folder on another one"
LOCKLESS = "this disk has no file locks: choose a folder on another disk, or mount this one with locks"


def reason_of(error: OSError) -> str:
    """The words of the operating system: "No space left on device"."""
    return error.strerror or (os.strerror(error.errno) if error.errno else str(error))


def remedy_of(number: int | None) -> str:
    """What to do about the error `number` (errno), in a few words."""
    return LOCKLESS if number in NO_LOCKS else REMEDIES.get(number, UNKNOWN)


def explained(error: OSError) -> str:
    """Both: "No space left on device; make room on this disk"."""
    return f"{reason_of(error)}; {remedy_of(error.errno)}"
