"""Where the time of a training step goes on a CPU: its kernels by kind and by part of the model.

    taskset -c 0 python -m experiments.speed.step_profile
    python -m experiments.speed.step_profile --config configs/wesad.py --config.data.path=WESAD

JAX's profiler traces some epochs. The time of a kernel is the shortest of its calls, times its calls in a step;
loops and branches are left out, as their kernels count. With several threads it is the time of the first one. The
kind follows from the operations inside a fused kernel, the part of the model from the path that JAX keeps. Writes
experiments/results/step_profile.csv.
"""

import argparse
import collections
import pathlib
import re
import sys
import tempfile
from typing import NamedTuple

import jax
import pandas as pd

from experiments.shared.measured import make_ready, write_measured
from experiments.shared.table_command import ending, path, shown_command
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.train.start import start_jax

EPOCHS = 8  # traced
PRODUCTS = "products of matrices (YNNPACK)"
GRADIENTS = "products of matrices (Eigen): mostly gradients for kernels"
REDUCTIONS, MOVES, ELEMENTWISE = "reductions", "copies and transpositions", "elementwise"
MOVING = {"bitcast", "broadcast", "concatenate", "copy", "dynamic-slice", "gather", "pad", "reshape", "slice"}
MOVING |= {"constant", "parameter", "transpose", "tuple", "get-tuple-element", "iota", "dynamic-update-slice"}
LOOPS = ("while", "conditional")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(\S+) = .*?\s([a-z][a-z-]*)\(", re.M)
# The beginning of the path of an operation inside the model.
OF_MODEL = re.compile(r"(?:transpose\()?jvp\(MPCL\)\)?/(?:MPCL\.)?(\w+)")
STAGES = {
    "_encode": "encoders",
    "fusion": "fusion",
    "reading": "prototypes",
    "cooccurrence": "co-occurrence",
    "head": "head",
}
REST = "rest: losses, augmentation, memory, optimiser, guard"


class Kernel(NamedTuple):
    """A kernel of the compiled epoch."""

    kind: str
    stage: str


def kernels_of(text: str) -> dict[str, Kernel]:
    """The kernels of an optimised HLO module, by name."""
    inside = {}  # the operations of each computation
    for computation in re.split(r"\n(?=%|ENTRY )", text):
        inside[computation.split(" ")[0].lstrip("%")] = {op for _, op in INSTRUCTION.findall(computation)}
    found = {}
    for line in text.splitlines():
        if match := INSTRUCTION.match(line):
            called = re.search(r"calls=%([^\s,]+)", line)
            operations = inside.get(called[1], set()) if called else {match[2]}
            place = re.search(r'op_name="([^"]*)"', line)
            found[match[1]] = Kernel(kind_of(match[2], operations), stage_of(place[1] if place else ""))
    return found


def kind_of(name: str, operations: set[str]) -> str:
    """The kind of a kernel `name` with these operations inside; "" for loops."""
    if name in LOOPS:
        return ""
    if "dot" in operations:
        return GRADIENTS if name == "dot" else PRODUCTS
    if operations & {"reduce", "reduce-window"}:
        return REDUCTIONS
    return MOVES if operations <= MOVING else ELEMENTWISE


def stage_of(place: str) -> str:
    """The part of the model of an operation, by the path that JAX keeps of it."""
    match = OF_MODEL.search(place)
    return STAGES.get(match[1], REST) if match else REST


def profile(config: Config, workdir: pathlib.Path) -> pd.DataFrame:
    """Milliseconds of a step, share and number of kernels, by kind and by part of the model."""
    ready = make_ready(config, workdir)
    program = ready.run.program
    training = program.create(ready.key, ready.label_mean)
    arguments = ready.run.rows, ready.arrays, ready.key
    text = program.epoch.lower(training, *arguments).compile().as_text()
    training, _ = program.epoch(training, *arguments)
    with jax.profiler.trace(str(workdir)):
        for _ in range(EPOCHS):
            training, _ = program.epoch(training, *arguments)
        jax.block_until_ready(training)
    calls = calls_in(next(workdir.rglob("*.xplane.pb")))
    return frame_of(kernels_of(text), calls, EPOCHS * program.steps_per_epoch)


def calls_in(trace: pathlib.Path) -> dict[str, list[float]]:
    """Nanoseconds of every call of each kernel of the epoch in a trace."""
    calls = collections.defaultdict(list)
    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            for event in line.events:
                if dict(event.stats).get("hlo_op") == event.name:
                    calls[event.name].append(event.duration_ns)
    return calls


def frame_of(kernels: dict[str, Kernel], calls: dict[str, list[float]], steps: int) -> pd.DataFrame:
    """The table, from nanoseconds of the calls of each kernel in `steps` steps."""
    known = {name: own for name, own in calls.items() if name in kernels and kernels[name].kind}
    if not known:
        raise ConfigError("the trace has no kernels: this command needs a CPU (JAX_PLATFORMS=cpu)")
    frame = pd.DataFrame([kernels[name] for name in known])
    frame["ms"] = [1e-6 * min(own) * len(own) / steps for own in known.values()]
    tables = []
    for by in Kernel._fields:
        of = frame.groupby(by)["ms"].agg(["sum", "size"]).sort_values("sum", ascending=False).reset_index()
        columns = {"by": by, "what": of[by], "ms": of["sum"], "share": of["sum"] / of["sum"].sum()}
        tables.append(pd.DataFrame(columns | {"kernels": of["size"]}))
    return pd.concat(tables)


def main(words: list[str]) -> None:
    """Profiles, prints, writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", default="configs/dataset.py", help="a config file or preset")
    out = pathlib.Path("experiments/results/step_profile.csv")
    parser.add_argument("--out", type=path, default=out, help="CSV file to write")
    arguments, settings = parser.parse_known_args(words)
    with ending(), tempfile.TemporaryDirectory() as folder:
        start_jax()
        frame = profile(from_command_line(arguments.config, settings), pathlib.Path(folder))
        write_measured(frame, arguments.out, shown_command("experiments.speed.step_profile", words))


if __name__ == "__main__":
    main(sys.argv[1:])
