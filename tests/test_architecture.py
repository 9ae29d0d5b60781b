"""The shape of the package. Which way imports point is checked by import-linter (contracts in pyproject.toml)."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mpcl_jax"
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}

# Imports inside functions: behind the checks of settings, and of an optional dependency.
LATE_IMPORTS = {
    "cli/info.py": "mpcl_jax.train.environment",
    "cli/predict.py": "mpcl_jax.runs.predict",
    "cli/train.py": ("mpcl_jax.evaluate.dry_run", "mpcl_jax.evaluate.experiment"),
    "evaluate/experiment.py": "tensorboardX",
    "data/io/mat_reader.py": "h5py",
    "report/plots/memory.py": "umap",
    "baselines/extra_trees.py": "sklearn",
    "baselines/knn.py": "sklearn",
    "baselines/ridge.py": "sklearn",
    "baselines/selection.py": "sklearn",
}
# Modules that name or run other Python, and who may import them: the guarded child, told by its parent; config files;
# versions of what is installed and the package's own templates (`importlib.metadata`, `importlib.resources`).
RUNS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "importlib", "runpy", "imp"}
MAY_RUN_CODE = {
    "baselines/registry.py": {"importlib"},
    "data/io/guarded_child.py": {"importlib"},
    "data/io/pickle_reader.py": {
        "pickle"
    },  # an Unpickler that finds nothing of the file's choice, in the child
    "data/registry.py": {"importlib"},
    "config/config_file.py": {"runpy"},
    "cli/__main__.py": {"importlib"},
    "train/environment.py": {"importlib"},
    "report/page.py": {"importlib"},
}
# Who may catch every Exception: each passes it on in words, at a border to code that is not ours or to processes.
CATCH_ALL = {
    "baselines/registry.py",
    "data/io/guarded_child.py",
    "config/config_file.py",
    "train/processes.py",
}


def functions_of(tree: ast.AST):
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def imported(node: ast.AST) -> list[str]:
    """Full names that an import statement binds."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def test_imports_keep_the_contracts_of_pyproject():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    ended = in_new_process(code)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]


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


def test_files_and_functions_stay_short():
    long_files = [path for path in TREES if len((PACKAGE / path).read_text().splitlines()) >= 300]
    long_functions = [
        (path, function.name)
        for path, tree in TREES.items()
        for function in functions_of(tree)
        if function.end_lineno - function.lineno + 1 >= 60
    ]
    assert not long_files + long_functions


@pytest.mark.parametrize("path", TREES)
def test_nothing_runs_code_from_elsewhere(path):
    allowed = MAY_RUN_CODE.get(path, set())
    for node in ast.walk(TREES[path]):
        for full in imported(node):
            assert full.split(".")[0] not in RUNS_CODE - allowed, f"line {node.lineno}: {full}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "compile", "__import__"), f"line {node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert node.value.value is False, f"line {node.value.lineno}: allow_pickle"


def test_no_error_is_swallowed():
    for path, tree in TREES.items():
        for handler in (n for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler)):
            where = f"{path}, line {handler.lineno}"
            assert handler.type is not None, f"{where}: except without a type"
            caught = ast.unparse(handler.type)
            assert "BaseException" not in caught, where
            assert caught != "Exception" or path in CATCH_ALL, f"{where}: except Exception"
            assert not all(isinstance(x, ast.Pass) for x in handler.body), f"{where}: except …: pass"


WATCHED_IMPORT = """
import os, sys
seen = []
def watch(event, args):
    if event.split(".")[0] in ("socket", "subprocess", "shutil") or event in ("os.system", "os.mkdir", "os.remove"):
        seen.append((event, str(args)))
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append((event, str(args)))
sys.addaudithook(watch)
import mpcl_jax.cli.train
assert "jax" not in sys.modules, "mpcl_jax.cli.train imports JAX"
assert not seen, seen
open(os.devnull, "w").close()
assert len(seen) == 1, "the watch sees nothing"
"""


def in_new_process(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_is_imported_without_jax_sockets_or_files():
    ended = in_new_process(WATCHED_IMPORT)
    assert ended.returncode == 0, ended.stderr
