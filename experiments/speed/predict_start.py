"""Time from the start of a process to predictions with a saved model.

    python -m experiments.speed.predict_start
    python -m experiments.speed.predict_start --against ../other_checkout --repeats 10

A small model is trained and saved once for each checkout. Then new processes load it and predict 1 row and 64 rows
for the first time, in turn for this checkout and the other one, so that other programs disturb both alike. Compiled
programs are kept in a temporary folder. Each number is the smallest of the repeats, as wall-clock time and as
processor time (user and system). `total` leaves out the start of Python itself.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import pandas as pd

from experiments.shared.table_command import ending, positive
from mpcl_jax.evaluation.table_text import markdown_of

HERE = pathlib.Path(__file__).resolve().parents[2]
# Run in a process of its own: nothing of the package is imported before the first line.
PREDICT = """
import time
wall, cpu = [time.perf_counter()], [time.process_time()]
def lap():
    wall.append(time.perf_counter()), cpu.append(time.process_time())
import mpcl_jax
lap()
mpcl_jax.load
lap()
model = mpcl_jax.load("model")
lap()
import numpy
X = numpy.load("x.npy")
for rows in (1, 64):
    model.predict(X[:rows])
    lap()
print(*(b - a for times in (wall, cpu) for a, b in zip(times, times[1:])))
"""
TRAIN = """
import numpy, mpcl_jax
rng = numpy.random.default_rng(0)
X, Y = rng.normal(size=(64, 24)), rng.dirichlet([0.7] * 4, size=64)
model = mpcl_jax.MPCLRegressor(epochs=1, early_stopping=False).fit(X, Y)
model.save("model")
numpy.save("x.npy", X)
model.predict(X[:1]), model.predict(X)
"""
STEPS = ("import mpcl_jax", "import of load", "load", "first row", "first 64 rows")
COMMANDS = {"mpcl --help": ("-m", "mpcl_jax", "--help")}


def child(words: tuple[str, ...], checkout: pathlib.Path, folder: pathlib.Path) -> tuple[str, float]:
    """What `python WORDS` prints in `folder` with the package of `checkout`, and its processor time in seconds."""
    cache = {"XDG_CACHE_HOME": str(folder), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment = os.environ | cache | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": ""}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    before = os.times()
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    after = os.times()
    return ended.stdout, sum(
        getattr(after, x) - getattr(before, x) for x in ("children_user", "children_system")
    )


def measure(checkout: pathlib.Path, folder: pathlib.Path) -> dict[tuple[str, str], float]:
    """Seconds of one new process, (step, "wall" or "cpu") -> seconds."""
    numbers = list(map(float, child(("-c", PREDICT), checkout, folder)[0].split()))
    wall, cpu = numbers[: len(STEPS)], numbers[len(STEPS) :]
    found = {
        (s, kind): x for kind, of in (("wall", wall), ("cpu", cpu)) for s, x in zip(STEPS, of, strict=True)
    }
    found |= {("total", kind): sum(of) for kind, of in (("wall", wall), ("cpu", cpu))}
    return found | {(name, "cpu"): child(words, checkout, folder)[1] for name, words in COMMANDS.items()}


def table(checkouts: list[pathlib.Path], repeats: int, folder: pathlib.Path) -> pd.DataFrame:
    """A row a step, for each checkout the smallest wall-clock and processor time, in seconds."""
    taken: dict[int, list[dict]] = {number: [] for number in range(len(checkouts))}
    folders = [folder / str(number) for number in taken]
    for checkout, own in zip(checkouts, folders, strict=True):
        own.mkdir()
        child(("-c", TRAIN), checkout, own)
        measure(checkout, own)  # not counted: the first process writes bytecode
    for _ in range(repeats):
        for number, runs in taken.items():
            runs.append(measure(checkouts[number], folders[number]))
    smallest = {n: pd.DataFrame(runs).min() for n, runs in taken.items()}
    rows = []
    for step in (*STEPS, "total", *COMMANDS):
        row = {"step": step}
        for number, seconds in smallest.items():
            for kind in ("wall", "cpu"):
                value = seconds.get((step, kind))
                row[f"{'this' if number == 0 else 'other'}, {kind} s"] = (
                    "" if value is None else f"{value:.2f}"
                )
        rows.append(row)
    return pd.DataFrame(rows)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--against", type=pathlib.Path, metavar="FOLDER", help="another checkout to compare with"
    )
    parser.add_argument(
        "--repeats", type=positive, default=5, metavar="N", help="processes of each; default: 5"
    )
    args = parser.parse_args(words)
    checkouts = [HERE] + ([args.against.resolve()] if args.against else [])
    with ending(), tempfile.TemporaryDirectory() as folder:
        print(markdown_of(table(checkouts, args.repeats, pathlib.Path(folder))))


if __name__ == "__main__":
    main(sys.argv[1:])
