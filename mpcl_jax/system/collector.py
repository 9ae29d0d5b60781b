"""Python's garbage collector, where many objects are made that all stay."""

import contextlib
import gc


@contextlib.contextmanager
def paused_collection():
    """No garbage collection inside: each one visits every object of JAX and scikit-learn, and none can be freed."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
