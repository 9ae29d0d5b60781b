"""Python in a process of its own, with the package and the fixtures of tests/."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"  # real recordings, where they are at hand
# Compiles in a third of the time; numbers of such programs are compared only with one another.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def environment(**variables: str) -> dict[str, str]:
    """The variables of this process with `variables` and the import path."""
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"} | variables


def python(*words, code: int = 0, cwd: pathlib.Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
    """What `python WORDS` left, with its output; AssertionError where its exit code is not `code`."""
    ended = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert ended.returncode == code, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended
