"""Opens the memory of a run or checkpoint: `python -m mpcl_jax.inspect_prototypes runs/dataset`.

Reads only the part `prototypes` of an Orbax checkpoint, as NumPy, whatever number of devices wrote it; builds no
model and executes no config.
"""

import argparse
import json
import pathlib
import sys
from typing import NamedTuple

import numpy as np
from absl import logging

from mpcl_jax.batch import GROUPS, DataFileError
from mpcl_jax.model.relation_distillation import bank_agreement
from mpcl_jax.train.checkpoint import latest_checkpoint, read_prototypes

DEAD = 0.02  # of the average usage of its emotion's slots, or no evidence at all
COLLAPSED = 0.99  # cosine to another slot of its emotion, in both banks


class Slot(NamedTuple):
    """One prototype pair."""

    emotion: str
    slot: int
    usage: float  # share of its emotion's recent evidence, 0 to 1
    evidence: float  # samples collected over the whole training, mean of both banks
    nearest: dict[str, tuple[str, int, float]]  # group -> nearest slot of another emotion, with its cosine
    twin: (
        float  # highest cosine to another slot of its own emotion, the lower of both banks; NaN with one slot
    )
    flag: str  # "dead", "collapsed" or ""


def describe_slots(memory, emotions: list[str]) -> list[Slot]:
    """Every prototype pair of `memory` (NumPy arrays, see `model/prototypes.py`) in the order of the bank."""
    groups, count, slots, width = memory.bank.shape
    rows = memory.bank.reshape(groups, count * slots, width)
    cosine = np.einsum("gnd,gmd->gnm", rows, rows)
    owner = np.repeat(np.arange(count), slots)
    same = owner[:, None] == owner
    itself = np.eye(len(owner), dtype=bool)
    elsewhere = np.where(same, -np.inf, cosine)
    twins = np.where(same & ~itself, cosine, -np.inf).max(-1).min(0) if slots > 1 else np.full(count, np.nan)
    usage = memory.usage / np.maximum(memory.usage.sum(1, keepdims=True), 1e-12)
    mass = memory.mass.mean(0)
    found = []
    for n, c in enumerate(owner):
        k = n % slots
        dead = mass[c, k] == 0 or usage[c, k] * slots < DEAD
        flag = "dead" if dead else "collapsed" if twins[n] > COLLAPSED else ""
        nearest = {}
        for g in range(groups if count > 1 else 0):
            m = int(elsewhere[g, n].argmax())
            nearest[GROUPS[g]] = (emotions[owner[m]], m % slots, float(cosine[g, n, m]))
        found.append(
            Slot(emotions[c], k, float(usage[c, k]), float(mass[c, k]), nearest, float(twins[n]), flag)
        )
    return found


def lift(cooccurrence) -> np.ndarray:
    """How much more often two emotions were reported together than if they were independent, [C, C]; 1 = not."""
    share = cooccurrence.sum(1)
    return cooccurrence / np.maximum(np.outer(share, share), 1e-12)


def emotion_names(checkpoint: pathlib.Path, count: int) -> list[str]:
    """The names in the `data.json` of the run that a checkpoint lies in, or numbers where there is none."""
    for folder in checkpoint.absolute().parents:
        if (folder / "data.json").is_file():
            names = json.loads((folder / "data.json").read_text())["emotions"]
            if len(names) == count:
                return names
    return [f"emotion {c}" for c in range(count)]


def to_text(checkpoint: pathlib.Path, memory, slots: list[Slot], emotions: list[str]) -> str:
    """What a person reads."""
    _, count, per_emotion, width = memory.bank.shape
    lines = [
        f"{checkpoint}",
        f"{count} emotions × {per_emotion} slots, both sides, width {width}; agreement of the two banks "
        f"{bank_agreement(memory.bank):.2f}",
        "",
    ]
    longest = max(map(len, emotions))
    heads = "".join(f"  nearest {g:14s}{'':{longest - 4}s}" for g in GROUPS)
    lines.append(f"{'emotion':{longest}s} slot  usage  evidence{heads}  twin")
    for s in slots:
        near = "".join(
            f"  {name:{longest}s} {k:2d} {cosine:5.2f}{'':9s}" for name, k, cosine in s.nearest.values()
        )
        own = f"{s.emotion:{longest}s} {s.slot:4d}  {s.usage:5.2f}  {s.evidence:8.1f}"
        lines.append(f"{own}{near}  {s.twin:4.2f}  {s.flag}".rstrip())
    pairs = [(lift(memory.cooccurrence)[a, b], a, b) for a in range(count) for b in range(a)]
    lines += ["", "remembered together (times as often as if independent):"]
    lines += [f"  {emotions[b]} + {emotions[a]}  {x:.2f}" for x, a, b in sorted(pairs, reverse=True)[:5]]
    lines += ["remembered apart:"]
    lines += [f"  {emotions[b]} + {emotions[a]}  {x:.2f}" for x, a, b in sorted(pairs)[:5]]
    return "\n".join(lines)


def to_json(checkpoint: pathlib.Path, memory, slots: list[Slot], emotions: list[str]) -> str:
    """The same for programs."""
    document = {
        "checkpoint": str(checkpoint),
        "emotions": emotions,
        "bank_agreement": float(bank_agreement(memory.bank)),
        "slots": [s._asdict() | {"twin": None if np.isnan(s.twin) else s.twin} for s in slots],
        "cooccurrence": memory.cooccurrence.tolist(),
    }
    return json.dumps(document, indent=1)


def main() -> None:
    """Prints the memory; a folder without one ends in one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="a run folder, a fold's folder or a checkpoint")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args()
    logging.set_verbosity(logging.ERROR)  # Orbax misses a file that only whole checkpoints have
    try:
        checkpoint = latest_checkpoint(asked.run)
    except (FileNotFoundError, DataFileError) as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
    memory = read_prototypes(checkpoint)
    emotions = emotion_names(checkpoint, memory.bank.shape[1])
    show = to_json if asked.json else to_text
    print(show(checkpoint, memory, describe_slots(memory, emotions), emotions))


if __name__ == "__main__":
    main()
