"""Which files of a user's own folder are read, which are not, and what their names mean."""

import collections
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# "sub-01_ses-2_eeg": an id, a word for sessions and a number. "10_2013-11-30": an id that ends in a digit, and
# numbers.
WORDED = re.compile(r"(.+?)[-_. ]+(?:session|sess|ses|run|visit|day|part)[-_. ]*\d+(?:[-_. ].*)?", re.I)
NUMBERED = re.compile(r"(.*?\d)(?:[-_. ]+\d+)+")


# Beside the data: what `mpcl import` assumed when it wrote the folder.
ABOUT = "import.txt"


class Files(NamedTuple):
    """The content of a folder but for hidden files, meta.json and import.txt; sorted by name."""

    read: tuple[Path, ...]  # *.npz directly in the folder
    lost: tuple[Path, ...]  # .npz files that are not read: in a folder below, or with an ending such as .NPZ
    other: tuple[Path, ...]  # everything else


def list_files(folder: Path) -> Files:
    """Every file at and below `folder`, sorted into those that are read and those that are not."""
    read, lost, other = [], [], []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        if path.parent == folder and path.suffix == ".npz":
            read.append(path)
        elif path.suffix.lower() == ".npz":
            lost.append(path)
        elif inside not in (Path("meta.json"), Path(ABOUT)):
            other.append(path)
    return Files(tuple(read), tuple(lost), tuple(other))


def names_of(files: Iterable[Path], folder: Path, most: int = 5) -> str:
    """The first few of `files` by their names below `folder`, in printable characters."""
    names = [str(file.relative_to(folder)) for file in files]
    shown = [name if name.isprintable() else ascii(name) for name in names[:most]]
    return ", ".join([*shown, f"… ({len(names)} in all)"] if len(names) > most else shown)


def name_for_read(file: Path, folder: Path) -> str:
    """What to do with a `lost` file so that it is read."""
    what = "name it" if file.parent == folder else "move it into the folder itself as"
    return f"{what} {file.stem}.npz if it belongs to the data set"


def sessions_of(stems: Iterable[str]) -> dict[str, list[str]]:
    """Names of files that look like several sessions of one subject, by the name that they share.

    Without a word such as "ses" a number at the end tells sessions apart only where the names before it are ids
    themselves: they end in a digit and are not all the same ("S1_1", "S1_2", "S2_1", but not "P_1", "P_2").
    """
    worded, numbered = collections.defaultdict(list), collections.defaultdict(list)
    for stem in stems:
        if found := WORDED.fullmatch(stem):
            worded[found[1]].append(stem)
        elif found := NUMBERED.fullmatch(stem):
            numbered[found[1]].append(stem)
    several = numbered if len(numbered) > 1 else {}
    return {base: names for base, names in {**several, **worded}.items() if len(names) > 1}


def spelling(name: str) -> str:
    """`name` without what a reader overlooks: capital letters, blanks, and two ways to store one character."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
