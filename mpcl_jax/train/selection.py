"""The sealed test: every choice is recorded before any test measure is computed, and test accesses are counted.

selection.json holds, per fold and method, the chosen epoch or setting ("choice") with the time of the choice
("chosen") and of the first test access after it ("looked"). A choice that changes after a test access makes the next
access a second one: it is counted, kept beside the choice that it replaces ("earlier"), and shown with the results.
"""

import datetime
import json
import pathlib
from typing import Any

from mpcl_jax.system.storage import write_text
from mpcl_jax.types import DataError

NAME = "selection.json"
WITH_MEMORY = "MPCL with memory"  # the method whose choice is the personal memory of MPCL in a fold


def write_choices(workdir: pathlib.Path, method: str, choices: dict[str, dict[str, Any]]) -> None:
    """Records the choices of `method`, by the name of the fold; an equal choice keeps its times.

    Raises StorageError where the disk does not take it, DataError where the file is damaged.
    """
    document = read_record(workdir)
    for fold, choice in choices.items():
        of_fold = document.setdefault(fold, {})
        choice = json.loads(json.dumps(choice))
        before = of_fold.get(method)
        if before is None or before["choice"] != choice:
            earlier = [] if before is None else before.pop("earlier") + ([before] if before["looked"] else [])
            of_fold[method] = {"choice": choice, "chosen": _now(), "looked": None, "earlier": earlier}
    _write(workdir, document)


def record_test_access(workdir: pathlib.Path) -> str:
    """Records that test measures are computed now. Returns "" for a first access, else a sentence on earlier ones."""
    document, again = read_record(workdir), []
    for fold, methods in document.items():
        for method, entry in methods.items():
            entry["looked"] = entry["looked"] or _now()
            if entry["earlier"]:
                again.append((len(entry["earlier"]) + 1, method, fold))
    _write(workdir, document)
    if not again:
        return ""
    number, method, fold = max(again)
    others = f" and {len(again) - 1} more" if len(again) > 1 else ""
    chosen = f"{method} in {fold}{others} was chosen again after test measures had been computed"
    return f"Test access {number}: {chosen} (selection.json)."


def read_record(workdir: pathlib.Path) -> dict[str, dict[str, dict[str, Any]]]:
    """selection.json: fold -> method -> entry; {} where there is none. Raises DataError where it is damaged."""
    file = workdir / NAME
    if not file.exists():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        fields = {frozenset(entry) for methods in document.values() for entry in methods.values()}
        if fields - {frozenset({"choice", "chosen", "looked", "earlier"})}:
            raise ValueError("other fields")
        return document
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(file, f"is no record of choices ({error}); use another --workdir") from error


def _write(workdir: pathlib.Path, document: dict) -> None:
    write_text(workdir / NAME, json.dumps(document, indent=1) + "\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
