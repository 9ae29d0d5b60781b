"""What an error of the operating system means for a file of a run, and what to do: one table for the package."""

import errno
import os

NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, 524})  # 524: Linux' own ENOTSUPP
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
    errno.EMFILE: "this process has too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "the machine has too many open files: end other programs",
    errno.ENOENT: "the folder is not there: make it, or mount its disk again",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another path",
    errno.EISDIR: "there is a folder of this name: choose another path",
    errno.EEXIST: "there is something else of this name: choose another path",
    errno.ELOOP: "its symbolic links lead in a circle: choose another path",
    errno.EINVAL: "this disk does not take such a name or such a file: choose another path",
    errno.EILSEQ: "this disk does not take such a name: choose another path",
    errno.EBUSY: "another program or the network disk holds it: wait, or choose another folder",
    errno.ETXTBSY: "another program holds it: wait, or choose another folder",
    errno.ENOTEMPTY: "a folder that was to be deleted holds a file that another program keeps open: close it",
    errno.ETIMEDOUT: "the network disk does not answer: check the connection",
    errno.EHOSTDOWN: "the server of the network disk is down: check the connection",
    errno.ENOTCONN: "the network disk is not connected: mount it again",
    errno.ENXIO: "the device is gone: connect it again, or use another disk",
    errno.ENODEV: "the device is gone: connect it again, or use another disk",
    errno.EXDEV: "a part of this folder lies on another disk: choose a folder on one disk",
    errno.ENOMEM: "the machine is out of memory: end other programs",
}
UNKNOWN = "check the disk, or choose a folder on another one"
LOCKLESS = "this disk has no file locks: choose a folder on another disk, or mount this one with locks"


def reason_of(error: OSError) -> str:
    """What went wrong, in the words of the operating system: "No space left on device"."""
    return error.strerror or (os.strerror(error.errno) if error.errno else str(error))


def remedy_of(number: int | None) -> str:
    """What to do about the error `number` (errno), in a few words."""
    return LOCKLESS if number in NO_LOCKS else REMEDIES.get(number, UNKNOWN)


def explained(error: OSError) -> str:
    """Both: "No space left on device; make room on this disk"."""
    return f"{reason_of(error)}; {remedy_of(error.errno)}"
