"""Measures the repository: sizes, folder cycles, hops from the command to the loss, extension points, the README.

    python -m experiments.shared.measure            this checkout
    python -m experiments.shared.measure FOLDER     another one, e.g. a worktree of an earlier commit

Lines: all lines of *.py files. Folder cycles: folders of the package that import each other. Hops: the shortest path
of imports from mpcl_jax/main.py to mpcl_jax/train/step.py, whose function computes the loss. Extensions: the tests
that add a data set or a baseline as one file outside the package are run, and their result is printed.
"""

import argparse
import itertools
import pathlib
import re
import subprocess
import sys

import grimp

COMMAND, LOSS = "mpcl_jax.main", "mpcl_jax.train.step"
EXTENSIONS = {
    "data set": "tests/data/test_registry.py::test_a_function_from_outside_is_loaded_through_the_pipeline",
    "baseline": "tests/evaluation/test_own_baseline.py::test_a_run_has_a_row_for_it_and_records_its_setting",
}
README = {"install": r"pip install", "Python": r"^```python", "command": r"^\s*(python -m|mpcl )"}


def measure(root: pathlib.Path) -> list[str]:
    """A line per measure, without the extensions."""
    files = {name: list((root / name).rglob("*.py")) for name in ("mpcl_jax", "tests", "experiments")}
    count = {name: sum(file.read_bytes().count(b"\n") for file in of) for name, of in files.items()}
    sys.path.insert(0, str(root))
    graph = grimp.build_graph("mpcl_jax", cache_dir=None)
    path = graph.find_shortest_chain(importer=COMMAND, imported=LOSS) or [COMMAND]
    folders = sorted(child for child in graph.find_children("mpcl_jax") if graph.find_children(child))
    for folder in folders:
        graph.squash_module(folder)
    cycles = [
        f"{a} and {b}"
        for a, b in itertools.combinations(folders, 2)
        if graph.direct_import_exists(importer=a, imported=b)
        and graph.direct_import_exists(importer=b, imported=a)
    ]
    readme = (root / "README.md").read_text(encoding="utf-8").splitlines()
    firsts = {
        what: next((n for n, line in enumerate(readme, 1) if re.search(pattern, line)), "-")
        for what, pattern in README.items()
    }
    return [
        "lines: " + ", ".join(f"{name} {n:,}" for name, n in count.items()),
        f"tests / source: {count['tests'] / count['mpcl_jax']:.2f}",
        f"files at the package root: {len(list((root / 'mpcl_jax').glob('*.py')))}",
        f"folder cycles: {len(cycles)} {', '.join(cycles)}".rstrip(),
        f"hops from the command to the loss: {len(path) - 1}; {' -> '.join(path)}",
        f"README: {len(readme)} lines, "
        + ", ".join(f"first {what} in line {n}" for what, n in firsts.items()),
    ]


def extension(root: pathlib.Path, test: str) -> str:
    """The last line that pytest prints for `test`."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return (ended.stdout.strip() or ended.stderr.strip()).splitlines()[-1]


def main(root: pathlib.Path) -> None:
    print("\n".join(measure(root)), flush=True)
    for kind, test in EXTENSIONS.items():
        print(f"a new {kind} as one file outside the package: {test}: {extension(root, test)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parents[2])
    main(parser.parse_args().folder.resolve())
