"""What values a setting may take, in words for people and as a test; the vocabulary of all settings."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple


class Allowed(NamedTuple):
    """The values a field may take, in words and as a test."""

    text: str
    holds: Callable[[Any], bool]
    auto: bool = False  # whether AUTO is allowed too


def above(low, high) -> Allowed:
    """Numbers in (low, high]."""
    return Allowed(f"> {low} and <= {high}", lambda x: low < x <= high)


def between(low, high) -> Allowed:
    """Numbers in [low, high]."""
    return Allowed(f"in [{low}, {high}]", lambda x: low <= x <= high)


def below_one() -> Allowed:
    """Numbers in [0, 1)."""
    return Allowed("in [0, 1)", lambda x: 0 <= x < 1)


def one_of(*names) -> Allowed:
    """One of a few words."""
    return Allowed("one of " + ", ".join(map(repr, names)), lambda x: x in names)


def each(rule: Allowed, least: int = 0) -> Allowed:
    """Tuples with at least `least` entries, each of which `rule` allows."""
    text = f"a tuple of {f'at least {least} ' if least else ''}values, each {rule.text}"
    return Allowed(text, lambda xs: len(xs) >= least and all(rule.holds(x) for x in xs))


AUTO = "auto"  # of a setting that follows the number of training windows (train/sizes.py)


def or_auto(rule: Allowed) -> Allowed:
    """What `rule` allows, or AUTO, which a run replaces before it begins."""
    return Allowed(f"{rule.text}, or {AUTO!r}", rule.holds, auto=True)


SWITCH = Allowed("true or false", lambda x: isinstance(x, bool))
WORD = Allowed("text", lambda x: isinstance(x, str))
# Read by `paths.user_path` when settings are resolved; "" = not given.
PATH = Allowed("text, the path of a file or folder", lambda x: isinstance(x, str))
SEED = between(0, 2**32 - 1)


def setting(default, allowed: Allowed):
    """A field with a default and the values it may take."""
    return dataclasses.field(default=default, metadata={"allowed": allowed})


def part(cls):
    """A nested group of settings."""
    return dataclasses.field(default_factory=cls)
