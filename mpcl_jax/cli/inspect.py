"""Shows the memory of a run or checkpoint: prototypes, usage, neighbours, co-occurrence; or compares two of them.

    mpcl inspect runs/dataset
    mpcl inspect runs/dataset --against runs/other

Reads only the prototypes of a checkpoint, as NumPy, whatever number of devices wrote it: no JAX, no model.
"""

import argparse

import numpy as np
import pandas as pd

from mpcl_jax.cli.command import Parser, command, to_json
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.report.compare import Matching, match_slots
from mpcl_jax.report.slots import Slot, bank_agreement, describe_slots, lift, never_reported
from mpcl_jax.runs.memory import Memory, open_memory

BANKS = ("own_bank", "other_bank")


def to_text(memory: Memory, slots: list[Slot]) -> str:
    """A table of the prototypes, and the emotions that are remembered together and apart."""
    _, count, per_emotion, width = memory.bank.shape
    flags = {flag: sum(s.flag == flag for s in slots) for flag in ("dead", "collapsed")}
    held = f"both modality groups; agreement of the two banks {decimal(bank_agreement(memory.bank), 2)}"
    if len(memory.sides) == 1:
        held = f"{memory.sides[0]} only (the data set has no other modality group)"
    found = f"{flags['dead']} dead, {flags['collapsed']} collapsed"
    if never := never_reported(slots):
        found += f"; never reported in training: {', '.join(never)}"
    pairs = [(lift(memory.cooccurrence)[a, b], a, b) for a in range(count) for b in range(a)]
    lines = [
        f"{memory.checkpoint}",
        f"{count} emotions × {per_emotion} slots, width {width}, {held}",
        f"{found}\n",
        pd.DataFrame([_text_row(slot) for slot in slots]).to_string(index=False),
    ]
    for title, best_first in (("together", True), ("apart", False)):
        lines += ["", f"remembered {title} (times as often as if independent):"]
        for x, a, b in sorted(pairs, reverse=best_first)[:5]:
            lines.append(f"  {memory.emotions[b]} + {memory.emotions[a]}  {x:.2f}")
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())


def _text_row(slot: Slot) -> dict[str, str]:
    row = {"emotion": slot.emotion, "slot": slot.slot, "usage": f"{slot.usage:.2f}"}
    row |= {"evidence": f"{slot.evidence:.1f}", "twin": decimal(slot.twin, 2)}
    row |= {"agreement": decimal(slot.agreement, 2), "flag": slot.flag}
    for side, bank, near in _neighbours(slot):
        row[f"{side}, {bank.replace('_', ' ')}"] = f"{near.emotion} {near.slot} {decimal(near.cosine, 2)}"
    return row | {"nearest training windows": ", ".join(w.id for w in slot.windows) or "-"}


def _neighbours(slot: Slot):
    """(modality group, bank, nearest prototype there) of a prototype."""
    for side in dict.fromkeys([*slot.own_bank, *slot.other_bank]):
        for bank in BANKS:
            if near := getattr(slot, bank).get(side):
                yield side, bank, near


def to_document(memory: Memory, slots: list[Slot]) -> dict:
    """The same for programs."""
    return {
        "checkpoint": str(memory.checkpoint),
        "emotions": memory.emotions,
        "sides": memory.sides,
        "bank_agreement": bank_agreement(memory.bank),
        "slots": slots,
        "cooccurrence": memory.cooccurrence,
    }


def to_csv(slots: list[Slot]) -> str:
    """One line per prototype."""
    rows = []
    for slot in slots:
        names = ("emotion", "slot", "usage", "evidence", "twin", "agreement", "flag")
        row = {name: getattr(slot, name) for name in names}
        for side, bank, near in _neighbours(slot):
            row |= {f"{side}_{bank}_{name}": getattr(near, name) for name in ("emotion", "slot", "cosine")}
        rows.append(row | {"windows": " ".join(window.id for window in slot.windows)})
    return pd.DataFrame(rows).to_csv(index=False, na_rep="nan", lineterminator="\n")


def comparison_text(a: Memory, b: Memory, matching: Matching) -> str:
    """The partner of each prototype of `a` in `b`, with its drift."""
    kind = "cosine, mean of both banks" if matching.same_space else "similarity of their nearest prototypes"
    rows = []
    for c, k in np.ndindex(matching.partner.shape):
        partner = matching.partner[c, k]
        row = {"emotion": a.emotions[c], "slot": k, "partner": "-"}
        if partner >= 0:
            before, after = a.usage[c, k] / a.usage[c].sum(), b.usage[c, partner] / b.usage[c].sum()
            row |= {"partner": partner, "drift": f"{matching.drift[c, k]:.3f}"}
            row |= {"usage before": f"{before:.2f}", "usage after": f"{after:.2f}"}
        rows.append(row)
    known = matching.drift[~np.isnan(matching.drift)]
    lines = [
        f"{a.checkpoint}\n{b.checkpoint}",
        f"drift = 1 - {kind}; mean {known.mean() if known.size else 0:.3f}; "
        f"correlation of the remembered co-occurrence {decimal(matching.cooccurrence, 3)}\n",
        pd.DataFrame(rows).fillna("").to_string(index=False),
    ]
    return "\n".join(lines)


def comparison_document(a: Memory, b: Memory, matching: Matching) -> dict:
    """The same for programs; a prototype without a partner has null."""
    return {
        "checkpoints": [str(a.checkpoint), str(b.checkpoint)],
        "emotions": a.emotions,
        "same_space": matching.same_space,
        "partner": [[None if k < 0 else k for k in row] for row in matching.partner.tolist()],
        "drift": matching.drift,
        "cooccurrence_correlation": matching.cooccurrence,
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser("inspect", __doc__)
    parser.add_argument("run", help="a run folder, a fold's folder or a checkpoint")
    parser.add_argument("--fold", type=int, help="number of the fold of a run, counted from 0")
    parser.add_argument("--step", type=int, help="the checkpoint of this epoch instead of the newest")
    parser.add_argument("--against", metavar="RUN", help="compare with this run or checkpoint")
    parser.add_argument(
        "--against-step", type=int, help="compare with this epoch (of --against, else of the run)"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    output.add_argument("--csv", action="store_true", help="print CSV, one line per prototype")
    return parser.parse_args(arguments)


@command
def run(arguments: list[str]) -> None:
    """Prints the memory, or the comparison."""
    args = parse(arguments)
    try:
        memory = open_memory(args.run, fold=args.fold, step=args.step)
        if args.against or args.against_step is not None:
            other = open_memory(args.against or args.run, fold=args.fold, step=args.against_step)
            show = comparison_document if args.json else comparison_text
            shown = show(memory, other, match_slots(memory, other))
            print(to_json(shown) if args.json else shown)
            return
    except (FileNotFoundError, ValueError) as mistake:
        raise ConfigError(str(mistake)) from mistake
    slots = describe_slots(memory)
    if args.json:
        print(to_json(to_document(memory, slots)))
    else:
        print(to_csv(slots).rstrip() if args.csv else to_text(memory, slots))
