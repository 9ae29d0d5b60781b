"""A finished model as one file that runs without this package: `mpcl.export`."""

import sys
import types


class _Callable(types.ModuleType):
    """This package. Its name is that of the public function, so `mpcl_jax.export(...)` calls `write.export`."""

    def __call__(self, *arguments, **options):
        from mpcl_jax.export.write import export

        return export(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
