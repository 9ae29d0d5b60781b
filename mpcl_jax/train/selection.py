"""The sealed test: what was chosen is written down before any test measure is computed, and looks are counted.

selection.json holds, per fold and method, the chosen epoch or setting with the time of the choice and of the first
look at test measures behind it. A choice that changes after a look is a second look at the same test rows: it is
counted, kept beside the choice that it replaces, and said wherever the results stand.
"""

import datetime
import json
import pathlib
from typing import Any

from mpcl_jax.system.storage import write_text
from mpcl_jax.types import DataFileError

NAME = "selection.json"


def write_choices(workdir: pathlib.Path, method: str, choices: dict[str, dict[str, Any]]) -> None:
    """Writes what `method` chose, by the name of the fold; an equal choice keeps its time and its look.

    Raises StorageError where the disk does not take it, DataFileError where the file is damaged.
    """
    document = _read(workdir)
    for fold, choice in choices.items():
        of_fold = document.setdefault(fold, {})
        choice = json.loads(json.dumps(choice))
        before = of_fold.get(method)
        if before is not None and before["choice"] == choice:
            continue
        earlier = [] if before is None else before["earlier"]
        if before is not None and before["looked"]:
            earlier = [*earlier, {name: before[name] for name in ("choice", "chosen", "looked")}]
        of_fold[method] = {"choice": choice, "chosen": _now(), "looked": None, "earlier": earlier}
    _write(workdir, document)


def look(workdir: pathlib.Path) -> str:
    """Notes that test measures are computed now. Returns "" for a first look, else what was looked at before."""
    document, again = _read(workdir), []
    for fold, methods in document.items():
        for method, entry in methods.items():
            entry["looked"] = entry["looked"] or _now()
            if entry["earlier"]:
                again.append((len(entry["earlier"]) + 1, method, fold))
    _write(workdir, document)
    if not again:
        return ""
    looks, method, fold = max(again)
    others = f" and {len(again) - 1} more" if len(again) > 1 else ""
    return (
        f"Look {looks} at these test rows: {method} in {fold}{others} was chosen anew after test measures had been "
        "computed (selection.json)."
    )


def read_choices(workdir: pathlib.Path) -> dict[str, dict[str, Any]]:
    """What is chosen now: fold -> method -> choice; {} where nothing was."""
    return {fold: {m: entry["choice"] for m, entry in of.items()} for fold, of in _read(workdir).items()}


def _read(workdir: pathlib.Path) -> dict[str, dict[str, dict[str, Any]]]:
    file = workdir / NAME
    if not file.exists():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        good = all(
            set(entry) == {"choice", "chosen", "looked", "earlier"}
            for methods in document.values()
            for entry in methods.values()
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise DataFileError(file, f"is no record of choices ({error}); use another --workdir") from error
    if not good:
        raise DataFileError(file, "is no record of choices; use another --workdir")
    return document


def _write(workdir: pathlib.Path, document: dict) -> None:
    write_text(workdir / NAME, json.dumps(document, indent=1) + "\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
