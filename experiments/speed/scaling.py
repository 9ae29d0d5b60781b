"""Scaling of training over devices: measured on virtual devices, estimated for 8, 64 and 512 chips.

    python -m experiments.speed.scaling
    python -m experiments.speed.scaling --config configs/smoke.py --quick

Measured, on 1, 2, 4 and 8 virtual devices of this machine, an epoch at a time:

    strong   one fold, the batch of the config divided over n devices
    weak     one fold, that batch / 8 rows for each device
    folds    n folds on n devices of the mesh's axis `fold`, the batch of the config for each

Virtual devices share the same cores, so more of them cannot be faster. The measurement shows the overhead of dividing
the work: processor time of all threads, which other programs on the machine hardly change. `against one` is the time
of n devices over that of one device for the same rows (weak and folds: n times that of one device for its share); 1
means no overhead. The estimates are those of experiments/shared/chip_estimate.py.

Writes scaling.csv, one row per value: part (virtual, program, estimate), case, devices, rows, what, value, unit.
"""

import argparse
import dataclasses
import pathlib
import sys
import tempfile
import time
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jax.sharding import AxisType, Mesh

from experiments.shared.chip_estimate import CHIP, Step, estimates, exchanges, kernels_in
from experiments.shared.measured import FULL, QUICK, Effort, repeat, write_measured
from experiments.shared.table_command import ending, path, shown_command
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.system.output import any_output
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.folds import device_rows, stack, stack_keys
from mpcl_jax.train.run import Run, arrays_of, member_of, prepare, program_of
from mpcl_jax.train.start import start_jax
from mpcl_jax.types import spec_of


class Measured(NamedTuple):
    """Processor time of a step on `devices` virtual devices, which all together work on `rows` rows."""

    kind: str
    devices: int
    rows: int
    milliseconds: float
    against_one: float


def mesh_of(folds: int, data: int) -> Mesh:
    """The first devices, as `mpcl_jax.train.devices.make_mesh` lays out all of them."""
    devices = jax.devices()[: folds * data]
    return jax.make_mesh((folds, data), ("fold", "data"), axis_types=(AxisType.Auto,) * 2, devices=devices)


class Ready(NamedTuple):
    """A compiled epoch and its inputs."""

    epoch: jax.stages.Compiled
    inputs: tuple
    steps: int


def compiled(run: Run, batch: int, folds: int, data: int) -> Ready:
    """An epoch of the run's first fold, `folds` times side by side, on `folds · data` devices."""
    train = dataclasses.replace(run.config.train, batch_size=batch, folds_at_once=folds)
    config = dataclasses.replace(run.config, train=train)
    member = member_of(run, 0)
    program = program_of(config, spec_of(run.recordings), run.longest.train, mesh_of(folds, data))
    arrays = stack(program, [arrays_of(run, member)] * folds)
    keys = stack_keys(program, [jax.random.key(i, impl="threefry2x32") for i in range(folds)])
    training = program.create(keys, stack(program, [member.label_mean] * folds))
    inputs = (training, device_rows(run.recordings, program.replicated), arrays, keys)
    return Ready(program.epoch.lower(*inputs).compile(), inputs, program.steps_per_epoch)


def milliseconds(ready: Ready, effort: Effort) -> float:
    """Processor time of an epoch, the median of several, over its steps."""
    training, *others = ready.inputs

    def once():
        nonlocal training
        training, report = ready.epoch(training, *others)
        return training, report

    return 1e3 * float(np.median(repeat(once, effort, time.process_time))) / ready.steps


def measure(run: Run, devices: list[int], effort: Effort) -> tuple[list[Measured], Step]:
    """All layouts, and the costs of a step from the compiled programs."""
    batch, most = run.config.train.batch_size, max(devices)
    share = batch // most
    programs = {
        (kind, n): compiled(run, rows, folds, n // folds)
        for n in devices
        for kind, rows, folds in (("strong", batch, 1), ("weak", share * n, 1), ("folds", batch, n))
        if not (n == 1 and kind == "folds") and not (n == most and kind == "weak")
    }
    # An epoch donates its training state, so each program is timed once, also where two layouts are the same.
    times = {key: milliseconds(ready, effort) for key, ready in programs.items()}
    times |= {("folds", 1): times["strong", 1], ("weak", most): times["strong", most]}
    measured = []
    for kind, n in sorted(times, key=lambda key: (("strong", "weak", "folds").index(key[0]), key[1])):
        rows = {"strong": batch, "weak": share * n, "folds": batch * n}[kind]
        alone = times[kind, 1] * (1 if kind == "strong" else n)
        measured.append(Measured(kind, n, rows, times[kind, n], times[kind, n] / alone))
    one, few = programs["strong", 1], programs["weak", 1]
    return measured, step_of(one, few, batch, share, programs["strong", most], programs["folds", most])


def step_of(one: Ready, few: Ready, batch: int, share: int, divided: Ready, folds: Ready) -> Step:
    """Costs of a step from programs for one device with `batch` and `share` rows, and for many devices."""

    def line(what):
        high, low = (ready.epoch.cost_analysis()[what] for ready in (one, few))
        slope = (high - low) / (batch - share)
        return low - slope * share, slope

    return Step(
        line("flops"),
        line("bytes accessed"),
        kernels_in(one.epoch.as_text()),
        sum(size for size, _ in exchanges(divided.epoch.as_text())),
        sum(size for size, _ in exchanges(folds.epoch.as_text())),
    )


def to_frame(measured: list[Measured], step: Step) -> pd.DataFrame:
    """One row per value: part, case, devices, rows, what, value, unit."""
    rows = []
    for x in measured:
        place = ("virtual", x.kind, x.devices, x.rows)
        rows.append((*place, "processor time a step", f"{x.milliseconds:.4g}", "ms"))
        rows.append((*place, "against one", f"{x.against_one:.4g}", "times"))
    for what, values in (("flop", step.flop), ("bytes", step.bytes)):
        for each, value in zip(("step", "row"), values, strict=True):
            rows.append(("program", "", 1, "", f"{what} a {each}", f"{value:.6g}", what))
    rows.append(("program", "", 1, "", "kernels", step.kernels, "count"))
    rows.append(("program", "data axis", "", "", "exchanged a step", step.gradient, "bytes"))
    rows.append(("program", "fold axis", "", "", "exchanged a step", step.along_folds, "bytes"))
    for batch, chips, *values in estimates(step):
        words = (("step", "µs"), ("all-reduce", "µs"), ("faster by batch axis", "times"))
        for (what, unit), value in zip(words, values, strict=True):
            rows.append(("estimate", CHIP, chips, batch, what, f"{value:.4g}", unit))
    columns = ("part", "case", "devices", "rows", "what", "value", "unit")
    return pd.DataFrame(rows, columns=columns, dtype=object)


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", default="configs/dataset.py")
    parser.add_argument("--devices", default="1,2,4,8", help="virtual devices, increasing, from 1 on")
    parser.add_argument("--out", type=path, default="experiments/results/scaling.csv")
    parser.add_argument("--quick", action="store_true", help="a few repetitions; the times mean nothing")
    arguments, overrides = parser.parse_known_args(words)
    devices = [int(n) for n in arguments.devices.split(",")]
    jax.config.update("jax_num_cpu_devices", max(devices))
    keep_compiled_programs()
    with ending():
        # Folds side by side and alone draw the same numbers only from this generator.
        config = from_command_line(arguments.config, [*overrides, "--config.train.generator=threefry2x32"])
        start_jax()
        with tempfile.TemporaryDirectory() as workdir:
            run = prepare(config, pathlib.Path(workdir))
            frame = to_frame(*measure(run, devices, QUICK if arguments.quick else FULL))
    write_measured(frame, arguments.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
