"""`meta.json` of a user's own data folder: emotions, modalities and the length of a window."""

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mpcl_jax.data.folder.files import spelling
from mpcl_jax.data.io.safe_read import read_json
from mpcl_jax.types import GROUPS, DataFileError

# Keys of a subject's file that no modality may be named after.
ROW_KEYS = ("labels", "subject", "trial", "stimulus", "start")
PRESENT = "present_"
OF = ("subject", "stimulus")  # what a modality describes


class Meta(NamedTuple):
    """What holds for every subject."""

    name: str  # for titles; "" where meta.json has none
    emotions: tuple[str, ...]  # C names
    valence: tuple[str, ...]  # C valence groups
    groups: dict[str, str]  # modality -> "physiological" | "behavioural"
    rates: dict[str, float]  # modality -> samples per second of raw signals, only where given
    of_stimulus: tuple[str, ...]  # modalities that describe the stimulus and not the subject
    window_seconds: float  # NaN where not given


def read_meta(file: Path) -> Meta:
    """Reads and checks `meta.json`; its keys are described in `folder.load`.

    Raises DataFileError naming the file, the entry and what is allowed there.
    """
    held = read_json(file)
    _check_keys(file, "", held, required=("emotions", "modalities"), optional=("name", "window_seconds"))
    emotions = _emotions(file, held["emotions"])
    groups, rates, of_stimulus = _modalities(file, held["modalities"])
    return Meta(
        name=_text(file, "name", held["name"]) if "name" in held else "",
        emotions=tuple(name for name, _ in emotions),
        valence=tuple(valence for _, valence in emotions),
        groups=groups,
        rates=rates,
        of_stimulus=of_stimulus,
        window_seconds=_positive(file, "window_seconds", held["window_seconds"])
        if "window_seconds" in held
        else math.nan,
    )


def find_issues(file: Path) -> list[DataFileError]:
    """Everything for which `read_meta` would refuse the file: each entry is judged by itself."""
    found: list[DataFileError] = []

    def refused(check, *args, **options) -> bool:
        try:
            check(*args, **options)
        except DataFileError as error:
            found.append(error)
        return bool(found)

    try:
        held = read_json(file)
    except DataFileError as error:
        return [error]
    required, optional = ("emotions", "modalities"), ("name", "window_seconds")
    if not isinstance(held, dict):
        refused(_check_keys, file, "", held, required=required)
        return found
    for key in {*held, *required}:
        one = {key: held[key]} if key in held else {}
        refused(
            _check_keys,
            file,
            "",
            one,
            required=(key,) if key in required else (),
            optional=(*required, *optional),
        )
    for key, check in (("name", _text), ("window_seconds", _positive)):
        if key in held:
            refused(check, file, key, held[key])
    emotions, modalities = held.get("emotions"), held.get("modalities")
    if isinstance(emotions, list) and len(emotions) > 1:
        for i, entry in enumerate(emotions):
            refused(_emotion, file, f"emotions[{i}]", entry)
    if isinstance(modalities, dict):
        for name, entry in modalities.items():
            refused(_modalities, file, {name: entry})
    if not found:
        refused(read_meta, file)
    return found


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "did you mean 'ecg'?", or all known words where none is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(known)}"


def _emotions(file: Path, held: Any) -> list[tuple[str, str]]:
    """(name, valence) of each emotion."""
    if not isinstance(held, list) or len(held) < 2:
        raise DataFileError(file, 'emotions: wanted a list of at least two {"name": ..., "valence": ...}')
    found = []
    for i, entry in enumerate(held):
        found.append(_emotion(file, f"emotions[{i}]", entry))
    names = [name for name, _ in found]
    for i, name in enumerate(names):
        if spelling(name) in map(spelling, names[:i]):
            raise DataFileError(file, f"emotions[{i}].name: {name!r} is there twice (blanks and case aside)")
    return found


def _emotion(file: Path, where: str, entry: Any) -> tuple[str, str]:
    """(name, valence) of one entry."""
    _check_keys(file, where, entry, required=("name", "valence"))
    name, valence = (_text(file, f"{where}.{key}", entry[key]) for key in ("name", "valence"))
    return name, valence


def _modalities(file: Path, held: Any) -> tuple[dict[str, str], dict[str, float], tuple[str, ...]]:
    """Groups and rates by modality, and the modalities that describe the stimulus."""
    if not isinstance(held, dict) or not held:
        raise DataFileError(file, 'modalities: wanted {"<name>": {"group": ...}} with at least one name')
    groups, rates, of_stimulus = {}, {}, []
    for name, entry in held.items():
        where = f"modalities.{name}"
        if not re.fullmatch(r"[A-Za-z]\w{0,39}", name, re.ASCII):
            raise DataFileError(
                file,
                f"modalities: {name[:60]!r} is no name; use up to 40 letters, digits and _, a letter first",
            )
        if name in ROW_KEYS or name.startswith(PRESENT):
            raise DataFileError(
                file, f"modalities: {name!r} has another meaning in the .npz files; rename it"
            )
        _check_keys(file, where, entry, required=("group",), optional=("rate", "of"))
        if entry["group"] not in GROUPS:
            raise DataFileError(file, f"{where}.group: {entry['group']!r}; allowed: {', '.join(GROUPS)}")
        groups[name] = entry["group"]
        if "rate" in entry:
            rates[name] = _positive(file, f"{where}.rate", entry["rate"])
        if entry.get("of", OF[0]) not in OF:
            raise DataFileError(file, f"{where}.of: {entry['of']!r}; allowed: {', '.join(OF)}")
        if entry.get("of") == "stimulus":
            of_stimulus.append(name)
    return groups, rates, tuple(of_stimulus)


def _check_keys(file: Path, where: str, held: Any, required: tuple, optional: tuple = ()) -> None:
    """Refuses anything but a JSON object with these keys."""
    if not isinstance(held, dict):
        raise DataFileError(file, f"{where or 'the file'}: wanted an object with {', '.join(required)}")
    dot = where and f"{where}."
    for key in held:
        if key not in required + optional:
            raise DataFileError(file, f"{dot}{key}: unknown; {suggestion(key, required + optional)}")
    for key in required:
        if key not in held:
            raise DataFileError(file, f"{dot}{key}: is missing")


def _text(file: Path, where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 100:
        raise DataFileError(file, f"{where}: wanted 1 to 100 printable characters")
    return value


def _positive(file: Path, where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise DataFileError(file, f"{where}: wanted a number above 0, got {value!r}")
    return float(value)
