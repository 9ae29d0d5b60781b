"""Pictures of a memory and of results: each a function from arrays to a matplotlib `Figure`, usable alone."""

import contextlib
import os
import sys

# MPLBACKEND of a notebook may name a backend that is not installed here, at which the import of Matplotlib ends. No
# figure here needs one; a backend that can be used stays the user's.
if "matplotlib" not in sys.modules:
    with contextlib.ExitStack() as afterwards:
        wished = os.environ.pop("MPLBACKEND", None)
        if wished is not None:
            afterwards.callback(os.environ.__setitem__, "MPLBACKEND", wished)
        import matplotlib
    if wished:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = wished
