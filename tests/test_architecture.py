"""The shape of the package: what neither ruff nor import-linter (both in pyproject.toml) can check."""

import ast

import pytest
from python_process import ROOT, python

PACKAGE = ROOT / "mpcl_jax"


@pytest.fixture(scope="module")
def trees():
    """File -> its syntax tree."""
    files = PACKAGE.rglob("*.py")
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in files}


def functions_of(tree: ast.AST):
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def length_of(function) -> int:
    """Lines without the docstring: that of a public function describes every argument."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.end_lineno - function.lineno + 1 - documented * (first.end_lineno - first.lineno + 1)


def test_files_and_functions_stay_short(trees):
    long_files = [path for path in trees if len((PACKAGE / path).read_text().splitlines()) >= 300]
    long_functions = [
        (path, function.name)
        for path, tree in trees.items()
        for function in functions_of(tree)
        if length_of(function) >= 60
    ]
    assert not long_files + long_functions


def test_arrays_are_read_without_pickle(trees):
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert node.value.value is False, f"{path}, line {node.value.lineno}"


def test_a_training_starts_without_what_only_results_need():
    late = {
        "matplotlib",
        "orbax.checkpoint",
        "pandas",
        "scipy.optimize",
        "scipy.special",
        "scipy.stats",
        "sklearn",
    }
    code = f"""
import sys
from mpcl_jax.config.schema import BenchmarkConfig
from mpcl_jax.evaluation import experiment
assert experiment.registry.wanted(BenchmarkConfig(baselines=("knn",))) == ("train_mean", "knn")
print(*{late} & set(sys.modules))
"""
    assert python("-c", code).stdout.split() == []
