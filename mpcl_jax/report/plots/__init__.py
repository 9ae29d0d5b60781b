"""Figures of a memory and of results: each a function from arrays to a matplotlib `Figure`, usable alone."""

import contextlib
import os
import sys

# MPLBACKEND, set by a notebook, may name a backend that is not installed; Matplotlib then cannot be imported. The
# figures of this package need no backend. A backend that is installed stays selected.
if "matplotlib" not in sys.modules:
    backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib

    if backend is not None:
        os.environ["MPLBACKEND"] = backend
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
