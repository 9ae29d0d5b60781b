"""A package that has the name of a public function, such as `mpcl_jax.export`."""

import sys
import types


class CallablePackage(types.ModuleType):
    """The import of a module of the package gives its name to the package; a call still calls the function."""

    def __call__(self, *arguments, **options):
        """The public function of this name (`mpcl_jax.__getattr__`)."""
        parent, _, name = self.__name__.rpartition(".")
        return sys.modules[parent].__getattr__(name)(*arguments, **options)
