"""Functions that the tests of `safe_read` run in the guarded child. It imports this file, so it stays light."""

import os
import pathlib
import resource
import sys
import time

import numpy as np

from mpcl_jax.types import DataError


def echo(path, *args):
    return [path, *args]


def environment(path):
    core = resource.getrlimit(resource.RLIMIT_CORE)[0]
    found = {"pid": os.getpid(), "stdin": sys.stdin.read(), "core": core, "modules": sorted(sys.modules)}
    return found | {"threads": os.environ["OPENBLAS_NUM_THREADS"]}


def refuse(path):
    raise DataError(pathlib.Path(path) / "inner.csv", "line 3: no number")


def fail(path):
    return {}["chest"]


def sleep(path, seconds):
    time.sleep(seconds)


def compute(path):
    while True:
        pass


def crash(path, number):
    os.kill(os.getpid(), number)
    time.sleep(10)


def allocate(path, size):
    return int(np.ones(size, np.uint8).sum())


def fill_the_disk(path, size):
    with open(os.path.join(path, "large"), "wb") as file:
        file.seek(size)
        file.write(b"x")


def vanish(path):
    os._exit(0)


def give_up(path):
    os._exit(3)


def no_data(path):
    return object()


def forge(path):
    """Leaves an answer of its own making, as a child that was taken over would."""
    folder = pathlib.Path(sys.argv[1])
    np.savez(folder / "answer.npz", message=np.array([Canary(str(path))], dtype=object))
    os._exit(0)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path + "/canary", "w"))
