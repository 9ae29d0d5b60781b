"""Compiling on a second thread what will be needed next, while the first thread starts the training."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax


@contextlib.contextmanager
def compiled_meanwhile(function, *arguments) -> Iterator[None]:
    """Compiles the jitted `function` while the body runs, and waits for it where the body ends.

    The next call with `arguments` (arrays, or `jax.ShapeDtypeStruct` with their shardings) finds the program and
    compiles nothing. What XLA raises is raised where the body ends. Several processes compile in one order, or
    they would wait for one another: there nothing is done ahead.
    """
    if jax.process_count() > 1:
        yield
        return
    with ThreadPoolExecutor(1) as thread:
        compiling = thread.submit(lambda: function.lower(*arguments).compile())
        yield
        compiling.result()
