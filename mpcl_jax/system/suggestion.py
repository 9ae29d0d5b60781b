"""What a misspelt word of a user may mean."""

import difflib
from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str], most: int = 20) -> str:
    """ "did you mean 'ecg'?", or the first `known` words where none is near."""
    known = list(map(str, known))
    near = difflib.get_close_matches(word, known, n=1) or difflib.get_close_matches(word.lower(), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(known[:most])}{', …' if len(known) > most else ''}"
