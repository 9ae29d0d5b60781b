"""Live samples of sensors to distributions: windows, wearer's memory and sources of `mpcl.stream`."""

import sys
import types


class _Callable(types.ModuleType):
    """This package. Its name is that of the public function, so `mpcl_jax.stream(...)` calls `session.stream`."""

    def __call__(self, *arguments, **options):
        from mpcl_jax.stream.session import stream

        return stream(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
