"""Measures the repository: sizes, folder cycles, extension points, imports from the command to the loss, the README.

    python -m experiments.shared.measure            this checkout
    python -m experiments.shared.measure FOLDER     another one, e.g. a worktree of an earlier commit

Lines: all lines of *.py files. Folder cycles: folders of the package that import each other at module level. Hops:
the shortest path of imports from mpcl_jax/main.py to the module of `total_loss`. Files per extension: files of the
package that name the data set "dmer" or the baseline "extra_trees" outside of their own modules, plus one for these.
"""

import ast
import pathlib
import re
import sys

from mpcl_jax.system.output import any_output


def modules_of(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Dotted name -> file of every module of the package."""
    files = sorted((root / "mpcl_jax").rglob("*.py"))
    return {".".join(f.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def imports_of(name: str, modules: dict[str, pathlib.Path], *, top: bool) -> set[str]:
    """Modules of the package that a module imports, at module level only if `top`."""
    tree = ast.parse(modules[name].read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules.keys() - {"mpcl_jax"}


def cycles_in(modules: dict[str, pathlib.Path]) -> list[tuple[str, str]]:
    """Pairs of folders that import each other."""
    pairs = [(a, b) for a in modules for b in imports_of(a, modules, top=True)]
    arrows = {tuple(name.split(".")[1] for name in pair) for pair in pairs if all("." in x for x in pair)}
    return sorted((a, b) for a, b in arrows if a < b and (b, a) in arrows)


def path_to_loss(modules: dict[str, pathlib.Path]) -> list[str]:
    """The shortest path of imports from the command to the loss; [] without one."""
    paths, seen = [["mpcl_jax.main"]], set()
    while paths:
        path = paths.pop(0)
        if re.search(r"^def total_loss\b", modules[path[-1]].read_text(encoding="utf-8"), re.M):
            return path
        following = sorted(imports_of(path[-1], modules, top=False) - seen)
        seen |= set(following)
        paths += [[*path, name] for name in following]
    return []


@any_output()
def main(root: pathlib.Path) -> None:
    modules = modules_of(root)
    files = {name: (root / name).rglob("*.py") for name in ("mpcl_jax", "tests", "experiments")}
    lines = {name: sum(f.read_bytes().count(b"\n") for f in of) for name, of in files.items()}
    print("lines: " + ", ".join(f"{name} {n:,}" for name, n in lines.items()))
    print(f"tests / source: {lines['tests'] / lines['mpcl_jax']:.2f}")
    print(f"files at the package root: {len(list((root / 'mpcl_jax').glob('*.py')))}")
    print(f"folder cycles: {len(cycles_in(modules))}", *cycles_in(modules))
    for kind, name in (("data set", "dmer"), ("baseline", "extra_trees")):
        named = [m for m, f in modules.items() if name in f.read_text(encoding="utf-8") and name not in m]
        print(f"files per {kind}: {1 + len(named)}; {name} is named in {', '.join(named)}")
    path = path_to_loss(modules)
    print(f"hops from the command to the loss: {len(path) - 1}; {' -> '.join(path)}")
    readme = (root / "README.md").read_text(encoding="utf-8").splitlines()
    firsts = {"install": r"pip install", "Python": r"^```python", "command": r"^\s*(python -m|mpcl )"}
    found = {
        what: [n for n, line in enumerate(readme, 1) if re.search(x, line)] for what, x in firsts.items()
    }
    first = ", ".join(f"first {what} in line {n[0] if n else '-'}" for what, n in found.items())
    print(f"README: {len(readme)} lines, {first}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])
