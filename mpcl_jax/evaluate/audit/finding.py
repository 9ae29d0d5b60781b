"""What one check of the audit says, and the colour of them all."""

from typing import NamedTuple

from mpcl_jax.data.splits.descriptions import in_order

GREEN, AMBER, RED = "green", "amber", "red"
SHOWN = 12  # ids that a finding names


class Finding(NamedTuple):
    """The answer of one check."""

    check: str  # "groups": what was asked
    colour: (
        str  # GREEN: nothing found. AMBER: the reader has to know it, or it could not be checked. RED: a leak
    )
    says: str  # one sentence
    ids: tuple[str, ...] = ()  # windows, people, trials, … it is about; at most SHOWN of them


def green(check: str, says: str) -> Finding:
    """Nothing found."""
    return Finding(check, GREEN, says)


def amber(check: str, says: str, ids=()) -> Finding:
    """Something that the reader of the results has to know, or that could not be checked."""
    return Finding(check, AMBER, says, named(ids))


def red(check: str, says: str, ids=()) -> Finding:
    """A leak."""
    return Finding(check, RED, says, named(ids))


def named(ids) -> tuple[str, ...]:
    """The first of `ids` in numeric order."""
    return tuple(in_order(ids)[:SHOWN])


def colour_of(findings) -> str:
    """The worst colour."""
    colours = {finding.colour for finding in findings}
    return RED if RED in colours else AMBER if AMBER in colours else GREEN
