"""Pictures of a memory and of results: each a function from arrays to a matplotlib `Figure`, usable alone."""

import contextlib
import os
import sys
from unittest import mock

# MPLBACKEND of a notebook may name a backend that is not installed here, at which the import of Matplotlib ends. No
# figure here needs one; a backend that can be used stays the user's.
if "matplotlib" not in sys.modules:
    with mock.patch.dict(os.environ, {"MPLBACKEND": ""}):
        import matplotlib
    if os.environ.get("MPLBACKEND"):
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]
