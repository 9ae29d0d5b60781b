"""The shape of the package. import-linter checks the direction of imports (contracts in pyproject.toml)."""

import ast
import pathlib

from python_process import python

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mpcl_jax"
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}

# Imports inside functions: after the checks of settings, of an optional dependency, or of what only some calls need:
# a saved model predicts without Flax, Optax and Orbax.
LATE_IMPORTS = {
    "baselines/extra_trees.py": "sklearn",
    "baselines/knn.py": "sklearn",
    "baselines/ridge.py": "sklearn",
    "baselines/selection.py": "sklearn",
    "cli/info.py": "mpcl_jax.train.environment",
    "cli/predict.py": "mpcl_jax.runs.predict",
    "cli/train.py": ("mpcl_jax.evaluation.dry_run", "mpcl_jax.evaluation.experiment"),
    "data/io/guarded_child.py": "resource",  # absent on Windows
    "data/io/mat_reader.py": "h5py",
    "data/io/safe_read.py": "resource",
    "data/tables/edf.py": "mne",
    "data/tables/read_table.py": "pyarrow",
    "estimator/regressor.py": (
        "mpcl_jax.estimator.saving",
        "mpcl_jax.train.in_memory",
        "mpcl_jax.train.memory_fit",
    ),
    "evaluation/experiment.py": "tensorboardX",
    "runs/programs.py": "mpcl_jax.runs.forward",
}
# Modules that name or run other Python, and the files that may import them: the guarded child, which gets its
# function by name; the restricted unpickler in that child; config files; subcommands; public names; entry points of
# registries.
RUNS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "importlib", "runpy", "imp"}
HARMLESS = ("importlib.metadata", "importlib.resources")
MAY_RUN_CODE = {
    "__init__.py": {"importlib"},  # public names are imported on first use
    "baselines/registry.py": {"importlib"},
    "cli/__main__.py": {"importlib"},
    "config/config_file.py": {"runpy"},
    "data/io/guarded_child.py": {"importlib"},
    "data/io/pickle_reader.py": {"pickle"},
    "data/registry.py": {"importlib"},
    "estimator/user_objects.py": {"cloudpickle"},  # writes, never reads: the digest of an object of a user
    "train/environment.py": {"importlib"},
}
# Files that may catch every Exception and report it in words: borders to code of others or to other processes.
CATCH_ALL = {
    "baselines/registry.py",
    "config/config_file.py",
    "data/io/guarded_child.py",
    "estimator/user_objects.py",
    "train/processes.py",
}
# Module-level names that change: the two registries, and what a worker process keeps for its next job.
MAY_CHANGE = {"baselines/registry.py", "data/registry.py", "evaluation/jobs/work.py"}
CHANGES = {
    "add",
    "append",
    "clear",
    "discard",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "setdefault",
    "update",
}


def functions_of(tree: ast.AST):
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def imported(node: ast.AST) -> list[str]:
    """The full names of an import statement."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def test_imports_keep_the_contracts_of_pyproject():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    python("-B", "-c", code)


def test_imports_inside_functions_are_the_documented_ones():
    inside = {
        (path, name)
        for path, tree in TREES.items()
        for function in functions_of(tree)
        for node in ast.walk(function)
        for name in imported(node)
    }
    assert not [
        (path, name) for path, name in inside if not name.startswith(LATE_IMPORTS.get(path, "nothing"))
    ]


def length_of(function) -> int:
    """Lines without the docstring: that of a public function describes every argument."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.end_lineno - function.lineno + 1 - documented * (first.end_lineno - first.lineno + 1)


def test_files_and_functions_stay_short():
    long_files = [path for path in TREES if len((PACKAGE / path).read_text().splitlines()) >= 300]
    long_functions = [
        (path, function.name)
        for path, tree in TREES.items()
        for function in functions_of(tree)
        if length_of(function) >= 60 and function.name != "__init__"  # scikit-learn wants a line a parameter
    ]
    assert not long_files + long_functions


def test_nothing_runs_code_from_elsewhere():
    for path, tree in TREES.items():
        forbidden = RUNS_CODE - MAY_RUN_CODE.get(path, set())
        for node in ast.walk(tree):
            where = f"{path}, line {getattr(node, 'lineno', 0)}"
            for full in imported(node):
                assert full.split(".")[0] not in forbidden or full.startswith(HARMLESS), f"{where}: {full}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), where
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert node.value.value is False, where


def changed_names(tree: ast.Module):
    """Module-level names that the module itself changes: `global x`, `x[key] = y`, `del x[key]`, `x.append(y)`."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [x for node in assigned for x in getattr(node, "targets", None) or [node.target]]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        changed = None
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed = node.value
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES
        ):
            changed = node.func.value
        if isinstance(changed, ast.Name) and changed.id in names:
            yield changed.id


def test_no_module_keeps_state_but_the_registries():
    for path, tree in TREES.items():
        assert path in MAY_CHANGE or not list(changed_names(tree)), f"{path}: {list(changed_names(tree))}"


def test_no_error_is_swallowed():
    for path, tree in TREES.items():
        for handler in (n for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler)):
            where = f"{path}, line {handler.lineno}"
            assert handler.type is not None, f"{where}: except without a type"
            caught = ast.unparse(handler.type)
            assert "BaseException" not in caught, where
            assert caught != "Exception" or path in CATCH_ALL, f"{where}: except Exception"
            assert not all(isinstance(x, ast.Pass) for x in handler.body), f"{where}: except …: pass"


def test_the_package_and_its_command_import_no_jax():
    code = "import sys, mpcl_jax, mpcl_jax.cli.train; sys.exit('jax' in sys.modules)"
    python("-B", "-c", code)
