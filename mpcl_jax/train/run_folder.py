"""A run is a folder; everything shown later can be computed again from what lies in it.

config.json      the resolved settings            manifest.json    who was held out, ids and sha256
data.json        emotions, modalities, sha256     metrics.jsonl    a line per fold and epoch
folds/00/        checkpoints, predictions.npz, baselines.npz
predictions.csv  every test window, reported and predicted
table.md .csv    the result with its baselines
"""

import dataclasses
import json
import os
import pathlib

from mpcl_jax.batch import Recordings, spec_of
from mpcl_jax.config import ConfigError
from mpcl_jax.data.pipeline import content_hash
from mpcl_jax.data.protocols import Split, write_manifest
from mpcl_jax.settings import Config

# What may differ between a run and its continuation: nothing of it changes a number.
HARMLESS = (
    "config.log.",
    "config.distributed.",
    "config.train.checkpoint_every",
    "config.data.path",
    "config.data.cache",
)


def claim(workdir: pathlib.Path, config: Config, recordings: Recordings, split: Split) -> None:
    """Makes `workdir` the folder of this run, new or continued.

    Raises ConfigError where it holds a run with other settings, other data or another split: results of two
    different runs never mix.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    data = spec_of(recordings)._asdict() | {
        "name": recordings.name,
        "windows": len(recordings.labels),
        "subjects": len(set(recordings.subject)),
        "notes": recordings.notes,
        "sha256": content_hash(recordings),
        "split_sha256": split.sha256,
    }
    documents = {"config.json": dataclasses.asdict(config), "data.json": data}
    for name, document in documents.items():
        file, document = workdir / name, json.loads(json.dumps(document))
        if file.exists():
            _require_same(file, _read_json(file), document)
        else:
            write_text(file, json.dumps(document, indent=1) + "\n")
    if not (workdir / "manifest.json").exists():
        partial = workdir / "manifest.json.partial"
        write_manifest(split, recordings, partial)
        os.replace(partial, workdir / "manifest.json")


def _read_json(file: pathlib.Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: is no JSON ({error}); choose another --workdir") from error


def _require_same(file: pathlib.Path, before: dict, now: dict) -> None:
    root = "config" if file.name == "config.json" else "data"
    changed = [
        f"{key} was {was!r}, is {now_is!r}"
        for key, was, now_is in _differences(before, now, root)
        if not key.startswith(HARMLESS)
    ]
    if changed:
        raise ConfigError(
            f"{file} belongs to another run ({'; '.join(changed[:4])}); "
            "continue with its settings or choose another --workdir"
        )


def _differences(before, now, key):
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(name), now.get(name), f"{key}.{name}")
    elif before != now:
        yield key, before, now


def fold_folder(workdir: pathlib.Path, number: int) -> pathlib.Path:
    """The folder of a fold, made if it is not there."""
    folder = workdir / "folds" / f"{number:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_text(file: pathlib.Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    temporary = file.with_name(file.name + ".partial")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
