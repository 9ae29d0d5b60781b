"""The key of a finished job: everything that changes its result, and nothing else.

The key holds the recordings (content, names and groups), the split, the fold, the seed, the settings that change
numbers, and the code: all sources that the computation imports. It holds no paths, devices, workers or log settings.
"""

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from mpcl_jax.baselines import registry
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import require_present
from mpcl_jax.data.pipeline import content_hash, load
from mpcl_jax.data.splits.protocols import Split, make_split
from mpcl_jax.types import Recordings, spec_of

PACKAGE = pathlib.Path(__file__).resolve().parents[2]
TRAINING, BASELINES = "train/loop.py", "evaluation/comparison.py"
# Settings of `config.train` that do not change the result of a training.
NO_RESULT = ("checkpoint_every", "folds_at_once", "max_consecutive_skips", "stream_rows")


class TableData(NamedTuple):
    """Recordings and split, shared by all jobs of a table."""

    recordings: Recordings
    whole: Split  # with all folds of the protocol
    split: Split  # with the folds of the table
    numbers: tuple[int, ...]  # of these folds in the whole
    sha256: str  # of the recordings


def load_table_data(config: Config) -> TableData:
    """Loads the recordings and makes the split. Raises ConfigError and DataError."""
    recordings = load(config.data)
    return _split(recordings, hash_of(recordings), config)


def with_split(table_data: TableData, config: Config) -> TableData:
    """The same recordings with the split of `config.protocol`."""
    return _split(table_data.recordings, table_data.sha256, config)


def _split(recordings: Recordings, sha256: str, config: Config) -> TableData:
    split = make_split(recordings, config.protocol)
    require_present(recordings, {fold.name: fold.train for fold in split.folds})
    whole = make_split(recordings, dataclasses.replace(config.protocol, only=()))
    names = [fold.name for fold in whole.folds]
    return TableData(recordings, whole, split, tuple(names.index(fold.name) for fold in split.folds), sha256)


def hash_of(recordings: Recordings) -> str:
    """sha256 of the content and of the names of emotions, valence groups and modalities."""
    contract = json.dumps(spec_of(recordings)._asdict())
    return hashlib.sha256(f"{content_hash(recordings)} {contract}".encode()).hexdigest()


def fold_key(config: Config, table_data: TableData, number: int) -> dict[str, Any]:
    """The key of MPCL trained on fold `number` of the split."""
    settings = dataclasses.asdict(config)
    train = {name: value for name, value in settings["train"].items() if name not in NO_RESULT}
    return _key("MPCL", config.seed, table_data, number) | {
        "code": code_hash(PACKAGE / TRAINING),
        "settings": {"model": settings["model"], "loss": settings["loss"], "train": train},
    }


def baseline_key(name: str, config: Config, table_data: TableData, number: int) -> dict[str, Any]:
    """The key of one baseline, tuned and fitted on fold `number` of the split."""
    baseline = registry.get(name)
    return _key(name, config.seed, table_data, number) | {
        "code": code_hash(PACKAGE / BASELINES, source_file(baseline.origin)),
        "settings": {
            "tries": config.benchmark.tries,
            "grid": baseline.grid,
            "other_subjects": config.benchmark.other_subjects,
        },
    }


def _key(method: str, seed: int, table_data: TableData, number: int) -> dict[str, Any]:
    return {
        "method": method,
        "seed": seed,
        "data": table_data.sha256,
        "split": table_data.whole.sha256,
        "fold": table_data.whole.folds[number].name,
    }


def digest(key: dict[str, Any]) -> str:
    """The name of a job's folder: 20 hexadecimal digits of the sha256 of its key."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def source_file(function: Callable) -> pathlib.Path:
    """The file that defines `function`. Raises ConfigError where there is none, e.g. typed at a prompt."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        file = pathlib.Path(inspect.getsourcefile(function)).resolve()
    except TypeError:
        file = None
    if file is None or not file.exists():
        raise ConfigError(f"baseline {function!r}: define it in a file; its content is part of the cache key")
    return file


@functools.cache
def code_hash(*starts: pathlib.Path, package: pathlib.Path = PACKAGE) -> str:
    """sha256 of `starts` and of all files of `package` that they import."""
    files = {file for start in starts for file in sources_of(start, package)}
    read = hashlib.sha256()
    for file in sorted(files):
        inside = file.relative_to(package) if file.is_relative_to(package) else file.name
        read.update(f"{inside}\0".encode() + file.read_bytes() + b"\0")
    return read.hexdigest()


def sources_of(start: pathlib.Path, package: pathlib.Path = PACKAGE) -> set[pathlib.Path]:
    """The file `start` and all files of `package` that it imports, directly or not, also inside functions."""
    found, waiting = set(), [start]
    while waiting:
        file = waiting.pop()
        if file in found or not file.exists():
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                top, *parts = name.split(".")
                if top == package.name and parts:
                    folders = [package.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
                    waiting += [
                        folders[-1].with_suffix(".py"),
                        *(folder / "__init__.py" for folder in folders),
                    ]
    return found
