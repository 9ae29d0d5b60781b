"""What the audit reads: the files of a run as they are, and its recordings.

The manifest is not validated here: `data.splits.manifest.read_manifest` would refuse what the audit must describe.
"""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.manifest import Fold, row_ids
from mpcl_jax.runs.read_run import read_json, read_lines
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.selection import read_record
from mpcl_jax.types import DataError, Recordings

PARTS = ("validation", "test", "unused")


class Evidence(NamedTuple):
    """All inputs of the checks."""

    config: Config
    data: dict[str, Any]  # data.json
    manifest: dict[str, Any]  # manifest.json
    recordings: Recordings
    ids: np.ndarray  # [N] str, of every row of the recordings
    unknown: tuple[str, ...]  # ids that are only in the manifest or only in the recordings
    folds: tuple[Fold, ...]  # rows are those of the recordings
    logs: tuple[list[dict[str, Any]], ...]  # lines of metrics.jsonl, of each fold
    choices: dict[str, dict[str, dict[str, Any]]]  # selection.json: fold -> method -> entry; {} without it


def read_settings(folder: pathlib.Path) -> Config:
    """The settings of a run. Raises DataError where there is no run or its settings are unknown."""
    file = user_path(folder) / "config.json"
    try:
        return resolve(read_json(file))
    except ConfigError as error:
        raise DataError(file, f"was written by another version ({error}); audit it with that one") from error


def read_evidence(folder: pathlib.Path, recordings: Recordings) -> Evidence:
    """The files of a finished run and its `recordings`. Raises DataError naming a missing or damaged file."""
    folder = user_path(folder)
    config, data = read_settings(folder), read_json(folder / "data.json")
    manifest = read_json(folder / "manifest.json")
    ids = np.array(row_ids(recordings))
    log = read_lines(folder / "metrics.jsonl")
    place = {name: row for row, name in enumerate(ids.tolist())}
    try:
        unknown = sorted(set(manifest["rows"]) ^ set(place))
        folds = tuple(_fold(entry, manifest["rows"], place) for entry in manifest["folds"])
        logs = tuple([x for x in log if x.get("fold") == number] for number in range(len(folds)))
        canonical(manifest), folds[0]
    except (LookupError, TypeError, AttributeError) as error:
        reason = f"is no split manifest ({error!r}): needs `protocol`, `rows`, `folds` and `sha256`"
        raise DataError(folder / "manifest.json", reason) from error
    unknown, choices = tuple(unknown), read_record(folder)
    return Evidence(config, data, manifest, recordings, ids, unknown, folds, logs, choices)


def _fold(entry, rows: list[str], place: dict[str, int]) -> Fold:
    named = set().union(*(entry[part] for part in PARTS))

    def rows_of(names):
        return np.array(sorted(place[name] for name in names if name in place), int)

    train = rows_of([name for name in rows if name not in named])
    validation, test = rows_of(entry["validation"]), rows_of(entry["test"])
    return Fold(str(entry.get("name", "a fold")), "", train, validation, test)


def canonical(manifest: dict[str, Any]) -> str:
    """The text whose sha256 a manifest holds: protocol, ids, and per fold those not trained on, all sorted."""
    folds = [
        {"name": fold.get("name")} | {part: sorted(fold[part]) for part in PARTS}
        for fold in manifest["folds"]
    ]
    content = {"protocol": manifest["protocol"], "rows": sorted(manifest["rows"]), "folds": folds}
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
