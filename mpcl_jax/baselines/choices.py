"""What a search decided, told to whoever asked for it, without a word in the signatures in between."""

import contextlib
import contextvars
from collections.abc import Iterator

_LISTENING: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("listening", default=None)


def note(setting: str) -> None:
    """Tells the chosen setting to the surrounding `noting`; nobody else hears it."""
    heard = _LISTENING.get()
    if heard is not None:
        heard.append(setting)


@contextlib.contextmanager
def noting() -> Iterator[list[str]]:
    """Yields a list that gets every setting chosen inside, in order."""
    heard: list[str] = []
    token = _LISTENING.set(heard)
    try:
        yield heard
    finally:
        _LISTENING.reset(token)
