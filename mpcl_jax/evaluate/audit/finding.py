"""The result of one check of the audit."""

from typing import NamedTuple

from mpcl_jax.data.splits.descriptions import in_order
from mpcl_jax.runs.read_run import COLOURS

RED, AMBER, GREEN = COLOURS
SHOWN = 12  # ids that a finding names


class Finding(NamedTuple):
    """The result of one check."""

    check: str  # "copies": the name of the check
    colour: str  # RED: a leak · AMBER: readers of the results must know it, or it was not checked · GREEN
    says: str  # one sentence
    ids: tuple[str, ...] = ()  # windows, subjects, trials, …; at most SHOWN of them


def green(check: str, says: str) -> Finding:
    """No problem."""
    return Finding(check, GREEN, says)


def amber(check: str, says: str, ids=()) -> Finding:
    """Something that readers of the results must know, or that was not checked."""
    return Finding(check, AMBER, says, tuple(in_order(ids)[:SHOWN]))


def red(check: str, says: str, ids=()) -> Finding:
    """A leak."""
    return Finding(check, RED, says, tuple(in_order(ids)[:SHOWN]))
