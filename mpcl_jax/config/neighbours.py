"""What a config file imports from beside it is found by file, whatever else bears the same name."""

import contextlib
import importlib.machinery
import importlib.util
import pathlib
import sys

# Never taken for a neighbour: a config called json.py must not replace what others import under that name.
RESERVED = {*sys.stdlib_module_names, "mpcl_jax", "__init__", "__main__"}
INSTALLED = ("site-packages", "dist-packages")


@contextlib.contextmanager
def neighbours_of(file: pathlib.Path):
    """Inside, `import base` and `from configs import base` mean base.py in the folder of `file` (…/configs).

    Modules of these names that were imported before are hidden and come back afterwards. The neighbours, and what was
    imported from the folder above, are forgotten, so that another config file with the same names reads its own.
    """
    folder = file.resolve().parent
    finder, above, earlier = _Beside(folder), str(folder.parent), set(sys.modules)
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if finder.knows(name)}
    sys.meta_path.insert(0, finder)
    sys.path.insert(0, above)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        with contextlib.suppress(ValueError):  # the config may have removed it
            sys.path.remove(above)
        new = {name.partition(".")[0] for name in set(sys.modules) - earlier} - RESERVED
        local = {name for name in new if _lies_in(sys.modules.get(name), folder.parent)}
        for name in [x for x in sys.modules if finder.knows(x) or x.partition(".")[0] in local]:
            del sys.modules[name]
        sys.modules.update(hidden)


class _Beside:
    """Finds the folder of a config file by its name, and the modules in it by theirs."""

    def __init__(self, folder: pathlib.Path):
        modules = {path.stem for path in folder.glob("*.py")}
        packages = {path.parent.name for path in folder.glob("*/__init__.py")}
        self._folder, self._names = folder, (modules | packages | {folder.name}) - RESERVED

    def knows(self, name: str) -> bool:
        """Whether the module `name`, "configs.base", is the folder or in it."""
        return name.partition(".")[0] in self._names

    def find_spec(self, name: str, path=None, target=None):
        """Where the module `name` is; None leaves it to Python (the interface of `sys.meta_path`)."""
        if name not in self._names:  # "configs.base" is found by Python, from the place of "configs"
            return None
        if name != self._folder.name:
            return importlib.machinery.PathFinder.find_spec(name, [str(self._folder)])
        init, places = self._folder / "__init__.py", [str(self._folder)]
        if init.exists():
            return importlib.util.spec_from_file_location(name, init, submodule_search_locations=places)
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = places
        return spec


def _lies_in(module, folder: pathlib.Path) -> bool:
    """Whether a module or package is directly in `folder`, and not one that was installed there."""
    places = [*getattr(module, "__path__", ())] or [getattr(module, "__file__", None)]
    inside = any(place and pathlib.Path(place).resolve().parent == folder for place in places)
    return inside and folder.name not in INSTALLED
