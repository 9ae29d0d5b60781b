"""The words of a command as a result file shows them: without places on this machine, which change no number."""

from collections.abc import Sequence

PLACES = ("--out", "--config.data.path", "--config.data.cache")


def without(words: Sequence[str], *options: str) -> list[str]:
    """`words` without `option VALUE` and `option=VALUE` of each option."""
    kept, skip = [], False
    for word in words:
        if not (skip or word in options or word.startswith(tuple(f"{option}=" for option in options))):
            kept.append(word)
        skip = word in options
    return kept
