"""Paths that a user types, and paths for libraries.

A path is read literally: no pattern, no URL, no shell syntax. Only `~` at its beginning has a meaning, the home
folder, because a shell expands it in `--workdir ~/x` and not in `--workdir=~/x`.
"""

import contextlib
import os
import pathlib
import re
import shlex
import tempfile

from mpcl_jax.types import DataError, as_text, is_text

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Characters that every library reads literally. Orbax finds its files with patterns, so a checkpoint with brackets in
# its path cannot be opened again; tensorstore refuses a backslash, and etils reads `gs:` as a bucket.
PLAIN = re.compile(r"([A-Za-z]:/)?[A-Za-z0-9_.,+=@ /-]*")  # C:/ of Windows


def user_path(text: str | os.PathLike, option: str = "") -> pathlib.Path:
    """The path that a user means by `text`, the value of `option`, e.g. "--workdir". It need not exist.

    A leading `~` or `~name` becomes the home folder; `./~` is a folder of that name. A path that another program
    would read as a home folder or an option becomes absolute. Raises DataError, in one line, for a URL, an
    unknown home folder, and a path that is not UTF-8 text, which could not be written into a result.
    """
    given = os.fspath(text)
    name = f"{option} {as_text(given)}".strip()
    if SCHEME.match(given):
        raise DataError(name, "is a URL; give a path of this machine, e.g. where the bucket is mounted")
    if "\0" in given:
        raise DataError(ascii(name), "holds a zero character, which no path can hold")
    path = pathlib.Path(os.path.expanduser(given))
    if given.startswith("~") and str(path).startswith("~"):
        raise DataError(name, f"no such home folder is known; for a folder of this name give ./{given}")
    if str(path).startswith(("~", "-")):  # pathlib drops "./"
        path = path.absolute()
    whole = os.path.abspath(path)
    if not is_text(whole):
        raise DataError(name, f"{as_text(whole)} is not UTF-8 text; rename that file or folder")
    return path


def require_writable(folder: pathlib.Path) -> None:
    """Makes `folder` and its parents. Raises OSError where nothing can be written into it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return


@contextlib.contextmanager
def plain_path(path: pathlib.Path):
    """An absolute path to the same folder or file that every library reads literally, while the block runs.

    It is `path` itself where that has plain characters only, else a symbolic link in a temporary folder.
    """
    whole = path.absolute()
    if ".." not in whole.parts and PLAIN.fullmatch(whole.as_posix()):  # tensorstore refuses ".."
        yield whole
        return
    usual = tempfile.gettempdir()
    place = usual if PLAIN.fullmatch(pathlib.Path(usual).as_posix()) else "/tmp"
    with tempfile.TemporaryDirectory(prefix="mpcl_path_", dir=place) as folder:
        link = pathlib.Path(folder, "link")
        link.symlink_to(whole)
        yield link


def shell_command(words: list[str]) -> str:
    """`words` as one line that a shell (bash, zsh) reads as these words."""

    def quoted(word: str) -> str:
        if word.isprintable():
            return shlex.quote(word)
        escaped = re.sub(r"[\\']", r"\\\g<0>", word)
        return "$'" + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", escaped) + "'"

    return " ".join(map(quoted, words))
