"""Live samples of sensors to distributions: windows, wearer's memory and sources of `mpcl.stream`."""

import sys

from mpcl_jax.system.callable_package import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
