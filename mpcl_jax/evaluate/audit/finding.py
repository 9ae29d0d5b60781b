"""The result of one check of the audit, and the colour of several."""

from typing import NamedTuple

from mpcl_jax.data.splits.descriptions import in_order

GREEN, AMBER, RED = "green", "amber", "red"
SHOWN = 12  # ids that a finding names


class Finding(NamedTuple):
    """The result of one check."""

    check: str  # "groups": the name of the check
    colour: str  # GREEN: no problem. AMBER: readers of the results must know it, or it was not checked. RED: a leak
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


def colour_of(findings) -> str:
    """The worst colour."""
    colours = {finding.colour for finding in findings}
    return RED if RED in colours else AMBER if AMBER in colours else GREEN
