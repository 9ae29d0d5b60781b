"""`python -m mpcl_jax` is the command `mpcl`."""

import sys

from mpcl_jax.cli.__main__ import run

if __name__ == "__main__":
    sys.exit(run())
