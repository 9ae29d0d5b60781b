"""What a finished piece of a table is kept under: everything that changes its result, and nothing else.

The key of a piece holds the recordings (content, names and groups; so features are in it by their values), the split,
the fold, the seed, the settings that change numbers, and the code, i.e. the sources that such a result can depend
on. Not in it: paths, devices, workers, what is logged, the commit. An edit of the README finds every piece
finished, an edit of a layer none of MPCL's.
"""

import ast
import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Any, NamedTuple

from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import require_present
from mpcl_jax.data.pipeline import content_hash, load
from mpcl_jax.data.splits.protocols import Split, make_split
from mpcl_jax.types import Recordings, spec_of

PACKAGE = pathlib.Path(__file__).resolve().parents[2]
MPCL_STARTS_AT = "train.loop"
BASELINES_START_AT = "evaluate.comparison"

# Modules whose text changes no number of a piece: settings and recordings stand in its key by their values, and
# these only read, write, check, count or tell. A module that is not named here counts as one that changes results.
NEUTRAL = (
    "config.fields",
    "system.os_errors",
    "system.paths",
    "config.schema",
    "config.resolve",
    "train.environment",
    "config.data",
    "config.model",
    "data.io.cache",
    "data.issues",
    "data.splits.manifest",
    "data.io.npz_reader",
    "data.pipeline",
    "data.splits.protocols",
    "data.splits.descriptions",
    "train.fold_inspection",
    "train.ahead",
    "train.changes",
    "train.checkpoint",
    "system.errors",
    "train.examine",
    "train.interrupt",
    "train.lock",
    "train.processes",
    "train.progress",
    "train.read_back",
    "train.run_folder",
    "train.selection",
    "train.skips",
    "train.slots",
    "system.storage",
    "system.checksums",
    "baselines.choices",
    "evaluate.leaderboard",
    "evaluate.statistics",
    "evaluate.table_text",
)
# Settings of `config.train` with which the same training runs another way.
NO_RESULT = ("checkpoint_every", "folds_at_once", "max_consecutive_skips", "stream_rows")


class TableData(NamedTuple):
    """What all pieces of a table stand on."""

    recordings: Recordings
    whole: Split  # with all folds of the protocol
    split: Split  # with the folds of the table
    numbers: tuple[int, ...]  # of these folds in the whole
    sha256: str  # of the recordings


def load_table_data(config: Config) -> TableData:
    """Loads the recordings and makes the split. Raises ConfigError and DataFileError."""
    recordings = load(config.data)
    return _table_data(recordings, hash_of(recordings), config)


def with_split(table_data: TableData, config: Config) -> TableData:
    """The same recordings, split as `config.protocol` says."""
    return _table_data(table_data.recordings, table_data.sha256, config)


def _table_data(recordings: Recordings, sha256: str, config: Config) -> TableData:
    split = make_split(recordings, config.protocol)
    require_present(recordings, {fold.name: fold.train for fold in split.folds})
    whole = make_split(recordings, dataclasses.replace(config.protocol, only=()))
    names = [fold.name for fold in whole.folds]
    numbers = tuple(names.index(fold.name) for fold in split.folds)
    return TableData(recordings, whole, split, numbers, sha256)


def hash_of(recordings: Recordings) -> str:
    """sha256 of the content and of the names of emotions, valence groups and modalities."""
    contract = json.dumps(spec_of(recordings)._asdict())
    return hashlib.sha256(f"{content_hash(recordings)} {contract}".encode()).hexdigest()


def fold_key(config: Config, table_data: TableData, number: int) -> dict[str, Any]:
    """The key of MPCL trained on fold `number` of the split."""
    settings = dataclasses.asdict(config)
    train = {name: value for name, value in settings["train"].items() if name not in NO_RESULT}
    return _key("MPCL", config.seed, table_data, number, MPCL_STARTS_AT) | {
        "settings": {"model": settings["model"], "loss": settings["loss"], "train": train}
    }


def baseline_key(name: str, config: Config, table_data: TableData, number: int) -> dict[str, Any]:
    """The key of one baseline, chosen and fitted on fold `number` of the split."""
    settings = dataclasses.asdict(config.benchmark)
    del settings["baselines"]
    return _key(name, config.seed, table_data, number, BASELINES_START_AT) | {"settings": settings}


def _key(method: str, seed: int, table_data: TableData, number: int, start: str) -> dict[str, Any]:
    return {
        "method": method,
        "seed": seed,
        "data": table_data.sha256,
        "split": table_data.whole.sha256,
        "fold": table_data.whole.folds[number].name,
        "code": code_hash(start),
    }


def digest(key: dict[str, Any]) -> str:
    """The name of a piece's folder: 20 hexadecimal digits of the sha256 of its key."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@functools.cache
def code_hash(start: str, package: pathlib.Path = PACKAGE) -> str:
    """sha256 of the sources of `sources_of(start, package)`."""
    read = hashlib.sha256()
    for name in sorted(sources_of(start, package)):
        read.update(name.encode() + b"\0" + _file(name, package).read_bytes() + b"\0")
    return read.hexdigest()


def sources_of(start: str, package: pathlib.Path = PACKAGE) -> set[str]:
    """The module `start` of `package` and all that it imports from there, on any way that leads past neutral ones."""
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in found or name in NEUTRAL or not _file(name, package).exists():
            continue
        found.add(name)
        for node in ast.walk(ast.parse(_file(name, package).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [_inside(f"{node.module}.{alias.name}", package) for alias in node.names]
                waiting.append(_inside(node.module, package))
            elif isinstance(node, ast.Import):
                waiting += [_inside(alias.name, package) for alias in node.names]
    return found


def _inside(full: str, package: pathlib.Path) -> str:
    """ "train.loop" of "mpcl_jax.train.loop", "" for what is no module of the package."""
    return full.removeprefix(f"{package.name}.") if full.startswith(f"{package.name}.") else ""


def _file(name: str, package: pathlib.Path) -> pathlib.Path:
    return package.joinpath(*name.split(".")).with_suffix(".py") if name else package / "no module"
