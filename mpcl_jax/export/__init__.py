"""A finished model as one file that runs without this package: `mpcl.export`."""

import sys

from mpcl_jax.system.callable_package import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
