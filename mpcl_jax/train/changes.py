"""A run that goes on with other settings: what may differ, what is worth a warning, and what is refused.

harmless   changes no number of the training: where data lie, what is logged, which baselines share the table
warned     changes numbers from here on, in a way that a reader of the results has to know
refused    would mix two different experiments in one folder: everything else
"""

from typing import Any, NamedTuple

from mpcl_jax.config.resolve import default, plain

HARMLESS, WARNED, REFUSED = "harmless", "warned", "refused"
KINDS = {
    "config.log.": HARMLESS,
    "config.distributed.": HARMLESS,
    "config.train.checkpoint_every": HARMLESS,
    "config.train.stream_rows": HARMLESS,
    "config.data.path": HARMLESS,
    "config.data.cache": HARMLESS,
    "config.protocol.manifest": HARMLESS,  # where the split is kept; the split itself is in data.json
    "config.benchmark.baselines": HARMLESS,
    "made_with.": WARNED,
}


class Change(NamedTuple):
    """One difference between a run and its continuation."""

    key: str  # "config.train.epochs"
    was: Any
    now: Any
    kind: str

    def __str__(self):
        """ "config.train.epochs was 60, is 80"."""
        return f"{self.key} was {self.was!r}, is {self.now!r}"


def changes_between(root: str, before: dict, now: dict) -> list[Change]:
    """Every difference of two JSON documents, with its kind. `root`: "config", "data" or "made_with"."""
    # A setting that the version of before did not know had what is now its default.
    known = plain(default()) if root == "config" else {}
    return list(_differences(root, before, now, known))


def _differences(key: str, before, now, known):
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            unset = known.get(name) if isinstance(known, dict) else None
            yield from _differences(f"{key}.{name}", before.get(name, unset), now.get(name), unset)
    elif before != now and not (isinstance(before, tuple) and list(before) == now):
        kind = next((kind for start, kind in KINDS.items() if key.startswith(start)), REFUSED)
        yield Change(key, before, now, kind)
