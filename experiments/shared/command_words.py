"""The words of a command: paths among them, and how a result file shows them, without places on this machine."""

import argparse
import pathlib
import shlex
from collections.abc import Sequence

from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataFileError

PLACES = ("--out", "--config.data.path", "--config.data.cache")


def path(text: str) -> pathlib.Path:
    """`user_path` as the type of an argument of argparse."""
    try:
        return user_path(text)
    except DataFileError as mistake:
        raise argparse.ArgumentTypeError(str(mistake)) from mistake


def shown_command(module: str, words: Sequence[str]) -> str:
    """The command for the first line of a result file, without places on this machine."""
    return shlex.join(["python", "-m", module, *without(words, *PLACES)])


def without(words: Sequence[str], *options: str) -> list[str]:
    """`words` without `option VALUE` and `option=VALUE` of each option."""
    kept, skip = [], False
    for word in words:
        if not (skip or word in options or word.startswith(tuple(f"{option}=" for option in options))):
            kept.append(word)
        skip = word in options
    return kept
