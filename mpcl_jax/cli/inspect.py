"""Shows the memory of a run or checkpoint: prototypes, usage, neighbours, co-occurrence.

    mpcl inspect runs/dataset
    mpcl inspect runs/dataset/folds/00/checkpoints/20

Reads the prototypes of a checkpoint as NumPy arrays. JAX and the model are not used.
"""

import pandas as pd

from mpcl_jax.cli.command import Parser, command, to_json
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluation.number_text import decimal
from mpcl_jax.report.slots import Slot, bank_agreement, describe_slots, lift, never_reported
from mpcl_jax.runs.memory import Memory, open_memory

LEGEND = {  # column, or a part of its name -> what it is
    "usage": "share of the recent evidence of the emotion that was assigned to the slot",
    "evidence": "number of training samples that were assigned to the slot",
    "twin": "highest cosine to another slot of the same emotion",
    "agreement": "correlation of the cosines to all other slots in the two banks",
    "own bank": "nearest slot of another emotion in the bank of this modality group, and its cosine",
    "other bank": "nearest slot of any emotion in the bank of the other modality group, and its cosine",
    "flag": "dead: almost no usage; collapsed: twin above 0.99; never reported: no training sample has the emotion",
}


def to_text(memory: Memory, slots: list[Slot]) -> str:
    """A table of the prototypes, and the pairs of emotions with the highest and the lowest co-occurrence."""
    _, count, per_emotion, width = memory.bank.shape
    flags = [slot.flag for slot in slots]
    held = f"both modality groups; agreement of the two banks {decimal(bank_agreement(memory.bank), 2)}"
    if len(memory.modality_groups) == 1:
        held = f"{memory.modality_groups[0]} only (the data set has no other modality group)"
    never = ", ".join(never_reported(slots))
    table = pd.DataFrame([_text_row(slot) for slot in slots])
    lines = [
        str(memory.checkpoint),
        f"{count} emotions × {per_emotion} slots, width {width}, {held}",
        f"slots: {flags.count('dead')} dead, {flags.count('collapsed')} collapsed"
        + (f"; never reported in training: {never}" if never else ""),
        "",
        table.to_string(index=False),
        "",
        *(f"{x:10s}  {about}" for x, about in LEGEND.items() if any(x in column for column in table)),
    ]
    names, lifts = memory.emotions, lift(memory.cooccurrence)
    pairs = sorted((lifts[a, b], f"{names[b]} + {names[a]}") for a in range(count) for b in range(a))
    for title, chosen in (("highest", pairs[::-1]), ("lowest", pairs)):
        lines += ["", f"{title} lift in memory (joint frequency / frequency if independent):"]
        lines += [f"  {pair}  {x:.2f}" for x, pair in chosen[:5]]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())


def _text_row(slot: Slot) -> dict[str, str]:
    row = {"emotion": slot.emotion, "slot": slot.slot, "usage": f"{slot.usage:.2f}"}
    row |= {"evidence": f"{slot.evidence:.1f}", "twin": decimal(slot.twin, 2)}
    row |= {"agreement": decimal(slot.agreement, 2), "flag": slot.flag}
    for bank, neighbours in (("own bank", slot.own_bank), ("other bank", slot.other_bank)):
        for group, near in neighbours.items():
            row[f"{group}, {bank}"] = f"{near.emotion} {near.slot} {decimal(near.cosine, 2)}"
    return row | {"nearest training windows": ", ".join(w.id for w in slot.windows) or "-"}


def to_document(memory: Memory, slots: list[Slot]) -> dict:
    """The same for programs."""
    return {
        "checkpoint": str(memory.checkpoint),
        "emotions": memory.emotions,
        "modality_groups": memory.modality_groups,
        "bank_agreement": bank_agreement(memory.bank),
        "slots": slots,
        "cooccurrence": memory.cooccurrence,
    }


@command
def run(arguments: list[str]) -> None:
    """Prints the memory."""
    parser = Parser("inspect", __doc__)
    parser.add_argument("run", help="a run folder, the folder of a fold, or a checkpoint")
    parser.add_argument(
        "--fold", type=int, metavar="N", help="fold of a run, counted from 0; default: the first"
    )
    parser.add_argument(
        "--step", type=int, metavar="EPOCH", help="read the checkpoint of this epoch; default: the newest"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(arguments)
    try:
        memory = open_memory(args.run, fold=args.fold, step=args.step)
    except (FileNotFoundError, ValueError) as mistake:
        raise ConfigError(str(mistake)) from mistake
    slots = describe_slots(memory)
    print(to_json(to_document(memory, slots)) if args.json else to_text(memory, slots))
