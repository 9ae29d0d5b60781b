"""Figures of a memory and of results: each a function from arrays to a matplotlib `Figure`, usable alone."""

import contextlib
import os
import sys

# MPLBACKEND of a notebook may name a backend that is not installed here, which ends the import of Matplotlib. No
# figure here needs one; a backend that can be used stays the user's.
if "matplotlib" not in sys.modules:
    backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib

    if backend is not None:
        os.environ["MPLBACKEND"] = backend
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
