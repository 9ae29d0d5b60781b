"""Estimated time of a training step on 8, 64 and 512 chips of a TPU v5p, from XLA's analysis of the compiled program.

A training step of a chip is

    step = max(flop / (peak · REACH), bytes / memory bandwidth) + kernels · LAUNCH
    sum  = 2 (n − 1) / n · gradient / link bandwidth + 2 · hops · HOP

flop and bytes are linear in the rows of a chip (fitted at two batch sizes), `kernels` are the instructions of the
compiled step, `gradient` the bytes of its all-reduce, read off the program for 8 devices. Peak and links are the
manufacturer's figures; REACH, LAUNCH and HOP are assumptions. No accelerator was measured. Nothing is sent along the
axis of folds, so n folds on n chips take as long as one.
"""

import itertools
import math
import re
from typing import NamedTuple

# docs.cloud.google.com/tpu/docs/v5p-training: bf16 products, memory, links of 1200 GB/s in both directions.
CHIP, PEAK, MEMORY, LINK = "TPU v5p", 459e12, 2765e9, 600e9
REACH = 0.1  # share of a chip's peak that products of width 64 get
LAUNCH = 2e-6  # seconds from one kernel to the next
HOP = 1e-6  # seconds from a chip to its neighbour
BATCHES = (128, 1024, 8192)
CHIPS_OF_POD = (8, 64, 512)


class Step(NamedTuple):
    """Costs of a compiled training step by XLA: flop and bytes = (each step, each row)."""

    flop: tuple[float, float]
    bytes: tuple[float, float]
    kernels: int
    gradient: int  # bytes that the devices of the axis `data` sum up
    along_folds: int  # bytes a step that devices of different folds exchange


SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8}
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "call", "conditional"}


def loop_lines(hlo: str) -> list[str]:
    """The instructions in the loop bodies of a program, which every step runs."""
    bodies = set(re.findall(r"body=%?([\w.\-]+)", hlo))
    blocks = re.split(r"\n(?=\S)", hlo)
    return [
        line
        for block in blocks
        if (name := re.match(r"%?([\w.\-]+) ", block)) and name[1] in bodies
        for line in block.splitlines()[1:]
        if " = " in line
    ]


def kernels_in(hlo: str) -> int:
    """The number of instructions in loops, without those that cost nothing."""
    operations = (re.search(r"[\]})] ([a-z][\w\-]*)\(", line) for line in loop_lines(hlo))
    return sum(operation is not None and operation[1] not in FREE for operation in operations)


def exchanges(hlo: str) -> list[tuple[int, str]]:
    """(bytes, operation) of everything that devices exchange in each step."""
    found = []
    for line in loop_lines(hlo):
        operation = re.search(
            r" = (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\(", line
        )
        if operation:
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", operation[1])
            size = sum(
                SIZES[kind] * math.prod(int(n) for n in dims.split(",") if n)
                for kind, dims in shapes
                if kind in SIZES
            )
            found.append((size, operation[2]))
    return found


def seconds_of(step: Step, batch: int, chips: int) -> tuple[float, float]:
    """Estimated seconds of a step of one fold on `chips` chips: (arithmetic, all-reduce)."""
    rows = batch / chips
    flop, moved = (fixed + rows * each for fixed, each in (step.flop, step.bytes))
    work = max(flop / (REACH * PEAK), moved / MEMORY) + step.kernels * LAUNCH
    if chips == 1:
        return work, 0.0
    hops = 3 * chips ** (1 / 3) / 2  # along the three axes of a torus, both ways round
    return work, 2 * (chips - 1) / chips * step.gradient / LINK + 2 * hops * HOP


def estimates(step: Step) -> list[tuple]:
    """(batch, chips, arithmetic µs, all-reduce µs, speed-up by the batch axis)."""
    lines = []
    for batch, chips in itertools.product(BATCHES, CHIPS_OF_POD):
        work, reduce = seconds_of(step, batch, min(chips, batch))
        alone, _ = seconds_of(step, batch, 1)
        lines.append((batch, chips, 1e6 * work, 1e6 * reduce, alone / (work + reduce)))
    return lines
