"""The slots of a memory: usage, nearest prototypes, agreement of the two banks, dead and collapsed slots."""

from typing import NamedTuple

import numpy as np

from mpcl_jax.runs.memory import Memory

DEAD = 0.02  # of the average usage of its emotion's slots, or no evidence at all
COLLAPSED = 0.99  # cosine to another slot of its emotion, in every bank
NEVER = "never reported"  # no training window is evidence of the emotion


class Near(NamedTuple):
    """The nearest other prototype."""

    group: str  # of the bank in which it lies
    emotion: str
    slot: int
    cosine: float


class Window(NamedTuple):
    """A training window near a prototype."""

    id: str  # trial@start in seconds
    subject: str
    cosine: float


class Slot(NamedTuple):
    """One prototype pair."""

    emotion: str
    slot: int
    usage: float  # share of the emotion's recent evidence, 0 to 1
    evidence: float  # samples collected over the whole training, mean of the banks
    own_bank: dict[str, Near]  # modality group -> nearest slot of another emotion in the same bank
    # modality group -> nearest slot of the other bank, of any emotion; {} if the data set has one modality group
    other_bank: dict[str, Near]
    twin: float  # highest cosine to another slot of its emotion, lowest of the banks; NaN with one slot
    agreement: float  # correlation of its cosines to all other slots in the two banks; NaN with one bank
    windows: tuple[Window, ...]  # nearest training windows, each of another trial
    flag: str  # "never reported" (its emotion, in training), "dead", "collapsed" or ""


def describe_slots(memory: Memory) -> list[Slot]:
    """Every prototype pair in the order of the bank."""
    groups, count, slots, width = memory.bank.shape
    rows = memory.bank.reshape(groups, count * slots, width).astype(np.float64)
    cosine = np.einsum("gnd,hmd->ghnm", rows, rows)  # [G, G, N, N]
    usage = memory.usage / np.maximum(memory.usage.sum(1, keepdims=True), 1e-12)
    mass, twins = memory.mass.mean(0), _twins(cosine, count, slots)
    flags, agreement = _flags(mass, usage, twins), _agreements(cosine)

    def near(g, h, n, allowed):
        m = int(np.where(allowed, cosine[g, h, n], -np.inf).argmax())
        return Near(
            memory.modality_groups[h], memory.emotions[m // slots], m % slots, float(cosine[g, h, n, m])
        )

    found, owner = [], np.arange(count * slots) // slots
    for n, (c, k) in enumerate(np.ndindex(count, slots)):
        nearest = zip(memory.near_id[c, k], memory.near_subject[c, k], memory.near_cosine[c, k], strict=True)
        slot = Slot(
            emotion=memory.emotions[c],
            slot=k,
            usage=float(usage[c, k]),
            evidence=float(mass[c, k]),
            own_bank={
                x: near(g, g, n, owner != c) for g, x in enumerate(memory.modality_groups) if count > 1
            },
            other_bank={
                x: near(g, 1 - g, n, True) for g, x in enumerate(memory.modality_groups) if groups == 2
            },
            twin=float(twins[n]),
            agreement=float(agreement[n]),
            windows=tuple(Window(*window) for window in nearest),
            flag=flags[n],
        )
        found.append(slot)
    return found


def _flags(mass: np.ndarray, usage: np.ndarray, twins: np.ndarray) -> list[str]:
    """The flag of each slot [N], "" where it is healthy; `mass` and `usage` (shares) [C, K], `twins` [N]."""
    never = np.broadcast_to(mass.sum(1, keepdims=True) == 0, mass.shape).ravel()
    dead = ((mass == 0) | (usage * mass.shape[1] < DEAD)).ravel()
    return np.select([never, dead, twins > COLLAPSED], [NEVER, "dead", "collapsed"], "").tolist()


def never_reported(slots: list[Slot]) -> list[str]:
    """Emotions without evidence in training, in the order of the bank."""
    return list(dict.fromkeys(slot.emotion for slot in slots if slot.flag == NEVER))


def _twins(cosine: np.ndarray, count: int, slots: int) -> np.ndarray:
    """For each slot [N], the highest cosine to another one of its emotion, the lowest of the banks."""
    if slots == 1:
        return np.full(count, np.nan)
    owner = np.repeat(np.arange(count), slots)
    others = (owner[:, None] == owner) & ~np.eye(len(owner), dtype=bool)
    # Two slots are collapsed only if they are close in all banks.
    lower = np.min([cosine[g, g] for g in range(len(cosine))], axis=0)
    return np.where(others, lower, -np.inf).max(1)


def _agreements(cosine: np.ndarray) -> np.ndarray:
    """For each slot [N], the correlation of its cosines to all others in one bank and in the other, or NaN."""
    n = cosine.shape[-1]
    if len(cosine) == 1:
        return np.full(n, np.nan)
    others = ~np.eye(n, dtype=bool)
    a, b = (cosine[g, g][others].reshape(n, n - 1) for g in (0, 1))
    return correlation(a, b)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation over the last axis, 0 where one of the two does not vary."""
    a, b = (x - x.mean(-1, keepdims=True) for x in (a, b))
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.where(scale > 1e-12, (a * b).sum(-1) / np.maximum(scale, 1e-12), 0.0)


def bank_agreement(bank: np.ndarray) -> float:
    """Correlation of the two banks' own cosine matrices over all pairs of slots, in [-1, 1].

    1: the prototypes of both banks have the same relations. `bank` [G, C, K, D] unit rows; NaN where G is 1: the data
    set has one modality group.
    """
    if len(bank) == 1:
        return float("nan")
    rows = bank.reshape(len(bank), -1, bank.shape[-1]).astype(np.float64)
    upper = np.triu_indices(rows.shape[1], 1)
    of_bank = [(x @ x.T)[upper] for x in rows]
    return float(correlation(*of_bank))


def lift(cooccurrence: np.ndarray) -> np.ndarray:
    """Joint share of two emotions divided by its value if they were independent, [C, C]; 1 = unrelated.

    `cooccurrence` [C, C] >= 0, rows and columns need not be the same.
    """
    total = max(cooccurrence.sum(), 1e-12)
    expected = np.outer(cooccurrence.sum(1), cooccurrence.sum(0)) / total
    return cooccurrence / np.maximum(expected, 1e-12)


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """The entries of [C, C] for pairs of different emotions, [C² − C]."""
    return matrix[~np.eye(len(matrix), dtype=bool)]
