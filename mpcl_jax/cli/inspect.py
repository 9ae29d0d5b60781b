"""Opens the memory of a run or checkpoint: `python -m mpcl_jax.cli.inspect runs/dataset`.

Reads only the part `prototypes` of an Orbax checkpoint, as NumPy, whatever number of devices wrote it; imports no
JAX, builds no model and executes no config. In Python: `inspection.memory.open_memory`, `inspection.slots`,
`inspection.compare`.
"""

import argparse
import csv
import io
import json
import math
import sys

from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.report.compare import Matching, match_slots
from mpcl_jax.report.slots import Near, Slot, bank_agreement, describe_slots, lift, never_reported
from mpcl_jax.runs.memory import Memory, open_memory
from mpcl_jax.system.output import any_output
from mpcl_jax.types import DataFileError


def to_text(memory: Memory, slots: list[Slot]) -> str:
    """What a person reads."""
    _, count, per_emotion, _ = memory.bank.shape
    flags = {flag: sum(s.flag == flag for s in slots) for flag in ("dead", "collapsed")}
    never = never_reported(slots)
    lines = [
        f"{memory.checkpoint}",
        f"{count} emotions × {per_emotion} slots, {_sides_text(memory)}; "
        f"{flags['dead']} dead, {flags['collapsed']} collapsed"
        + (f"; never reported in training: {', '.join(never)}" if never else ""),
        "",
    ]
    longest = max(map(len, memory.emotions))
    wide = longest + 9
    heads = f"{'emotion':{longest}s} slot usage evidence twin agree"
    two = len(memory.sides) > 1  # with one bank there is no other
    for side in memory.sides:
        heads += f"  {side + ': own bank':{wide}s}" + f" {'other bank':{wide}s}" * two
    lines.append((heads + "  nearest training windows").rstrip())
    for s in slots:
        line = f"{s.emotion:{longest}s} {s.slot:4d} {s.usage:5.2f} {s.evidence:8.1f} "
        line += f"{decimal(s.twin, 2):>4s} {decimal(s.agreement, 2):>5s}"
        for side in memory.sides:
            own, other = _near(s.own_bank.get(side), longest), _near(s.other_bank.get(side), longest)
            line += f"  {own:{max(wide, len(side) + 10)}s}" + f" {other:{wide}s}" * two
        windows = ", ".join(w.id for w in s.windows) or "-"
        lines.append(f"{line}  {windows}  {s.flag.upper()}".rstrip())
    pairs = [(lift(memory.cooccurrence)[a, b], a, b) for a in range(count) for b in range(a)]
    names = memory.emotions
    lines += ["", "remembered together (times as often as if independent):"]
    lines += [f"  {names[b]} + {names[a]}  {x:.2f}" for x, a, b in sorted(pairs, reverse=True)[:5]]
    lines += ["remembered apart:"]
    lines += [f"  {names[b]} + {names[a]}  {x:.2f}" for x, a, b in sorted(pairs)[:5]]
    return "\n".join(lines)


def _sides_text(memory: Memory) -> str:
    width = memory.bank.shape[-1]
    if len(memory.sides) == 1:
        return f"{memory.sides[0]} (the data set has no other modality group), width {width}"
    return f"both sides, width {width}; agreement of the two banks {decimal(bank_agreement(memory.bank), 2)}"


def _near(near: Near | None, longest: int) -> str:
    return f"{near.emotion:{longest}s} {near.slot:2d} {decimal(near.cosine, 2):>5s}" if near else ""


def to_document(memory: Memory, slots: list[Slot]) -> dict:
    """The same for programs, ready for JSON."""

    def plain(slot: Slot) -> dict:
        near = {
            f: {side: x._asdict() for side, x in slot._asdict()[f].items()}
            for f in ("own_bank", "other_bank")
        }
        windows = [window._asdict() | {"cosine": float(window.cosine)} for window in slot.windows]
        numbers = {name: _or_none(slot._asdict()[name]) for name in ("twin", "agreement")}
        return slot._asdict() | near | {"windows": windows} | numbers

    return {
        "checkpoint": str(memory.checkpoint),
        "emotions": list(memory.emotions),
        "sides": list(memory.sides),
        "bank_agreement": _or_none(bank_agreement(memory.bank)),
        "slots": [plain(slot) for slot in slots],
        "cooccurrence": memory.cooccurrence.tolist(),
    }


def _or_none(x: float) -> float | None:
    """What is not defined is null in JSON."""
    return None if math.isnan(x) else x


def to_csv(slots: list[Slot]) -> str:
    """One line per slot."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ["emotion", "slot", "usage", "evidence", "twin", "agreement", "flag"]
    places = [
        (side, kind)
        for side in slots[0].own_bank
        for kind in ("own_bank", "other_bank")
        if side in slots[0]._asdict()[kind]
    ]
    near = [f"{side}_{kind}_{what}" for side, kind in places for what in ("emotion", "slot", "cosine")]
    writer.writerow([*heads, *near, "windows"])
    for s in slots:
        cells = [s.emotion, s.slot, s.usage, s.evidence, s.twin, s.agreement, s.flag]
        for side, kind in places:
            found = s._asdict()[kind].get(side)
            cells += [found.emotion, found.slot, found.cosine] if found else ["", "", ""]
        writer.writerow([*cells, " ".join(window.id for window in s.windows)])
    return out.getvalue()


def comparison_text(a: Memory, b: Memory, matching: Matching) -> str:
    """What became of each slot of `a` in `b`."""
    kind = "cosine, mean of both banks" if matching.same_space else "likeness of what the slots lie near to"
    lines = [
        f"{a.checkpoint}\n{b.checkpoint}",
        f"drift = 1 - {kind}; mean {float(_mean(matching.drift)):.3f}; "
        f"remembered co-occurrence correlates {decimal(matching.cooccurrence, 3)}",
        "",
    ]
    longest = max(map(len, a.emotions))
    lines.append(f"{'emotion':{longest}s} slot -> slot  drift  usage before, after")
    for c, name in enumerate(a.emotions):
        for k, partner in enumerate(matching.partner[c]):
            if partner < 0:
                lines.append(f"{name:{longest}s} {k:4d} ->    -")
                continue
            before, after = a.usage[c, k] / a.usage[c].sum(), b.usage[c, partner] / b.usage[c].sum()
            drift = matching.drift[c, k]
            lines.append(f"{name:{longest}s} {k:4d} -> {partner:4d} {drift:6.3f}  {before:.2f}, {after:.2f}")
    return "\n".join(lines)


def _mean(drift) -> float:
    known = [x for x in drift.ravel().tolist() if not math.isnan(x)]
    return math.fsum(known) / max(len(known), 1)


def comparison_document(a: Memory, b: Memory, matching: Matching) -> dict:
    """The same for programs, ready for JSON; a slot without a partner has null."""
    nulls = [[_or_none(x) for x in row] for row in matching.drift.tolist()]
    return {
        "checkpoints": [str(a.checkpoint), str(b.checkpoint)],
        "emotions": list(a.emotions),
        "same_space": matching.same_space,
        "partner": [[None if k < 0 else k for k in row] for row in matching.partner.tolist()],
        "drift": nulls,
        "cooccurrence_correlation": matching.cooccurrence,
    }


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("run", help="a run folder, a fold's folder or a checkpoint")
    parser.add_argument("--fold", type=int, help="number of the fold of a run, counted from 0")
    parser.add_argument("--step", type=int, help="the checkpoint of this epoch instead of the newest")
    parser.add_argument(
        "--against", metavar="RUN", help="compare with this run or checkpoint: matching and drift"
    )
    parser.add_argument(
        "--against-step", type=int, help="compare with this epoch (of --against, else of the run)"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    output.add_argument("--csv", action="store_true", help="print CSV, a line per slot")
    return parser.parse_args()


@any_output()
def main() -> None:
    """Prints the memory; a folder without one ends in one line and exit code 2."""
    args = parse_arguments()
    try:
        memory = open_memory(args.run, fold=args.fold, step=args.step)
        if args.against or args.against_step is not None:
            other = open_memory(args.against or args.run, fold=args.fold, step=args.against_step)
            matching = match_slots(memory, other)
            if args.json:
                print(json.dumps(comparison_document(memory, other, matching), indent=1))
            else:
                print(comparison_text(memory, other, matching))
            return
    except (FileNotFoundError, DataFileError, ValueError) as mistake:
        print("error:", " ".join(str(mistake).split()), file=sys.stderr)
        sys.exit(2)
    slots = describe_slots(memory)
    if args.json:
        print(json.dumps(to_document(memory, slots), indent=1))
    else:
        print(to_csv(slots).rstrip() if args.csv else to_text(memory, slots))


if __name__ == "__main__":
    main()
