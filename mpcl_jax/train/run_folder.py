"""A run is a folder; everything shown later can be computed again from what lies in it.

config.json      the resolved settings            manifest.json    who was held out, ids and sha256
data.json        emotions, modalities, sha256     metrics.jsonl    a line per fold and epoch
made_with.json   versions and devices             .lock, .running  who works in it now
environment.json all versions, system, commit; no paths, no names of hosts
selection.json   what was chosen in every fold, written before test measures are computed
folds/00/        checkpoints, predictions.npz, baselines.npz, inspection.npz (what it looked up),
                 memory.jsonl (drift and usage of every prototype, a line per epoch)
predictions.csv  every test window, reported and predicted, with all digits: the tables follow from it (verify.py)
table.md .csv    the result with its baselines     audit.json       leaks that were looked for, and found
statistics.md    ranks, Friedman, every pair with Holm's correction; .csv and .tex (methods), pairs.csv
"""

import dataclasses
import json
import pathlib

import jax

from mpcl_jax import __version__
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.pipeline import content_hash
from mpcl_jax.data.splits.protocols import Split, read_manifest, write_manifest
from mpcl_jax.system.storage import make_folder, replacing, write_text
from mpcl_jax.train.changes import REFUSED, WARNED, Change, changes_between
from mpcl_jax.train.progress import warn
from mpcl_jax.types import Recordings, spec_of


def claim(workdir: pathlib.Path, config: Config, recordings: Recordings, split: Split) -> dict[str, str]:
    """Makes `workdir` the folder of this run, new or continued. Returns what all its checkpoints belong to.

    Raises ConfigError where it holds a run with other settings, other data or another split: results of two
    different runs never mix. Differences that do no harm are told, and written down.
    """
    origin = {"data": content_hash(recordings), "split": split.sha256}
    data = spec_of(recordings)._asdict() | {
        "name": recordings.name,
        "windows": len(recordings.labels),
        "subjects": len(set(recordings.subject)),
        "notes": recordings.notes,
        "sha256": origin["data"],
        "split_sha256": split.sha256,
    }
    if recordings.of_stimulus:  # named only where there are any: runs of earlier versions go on
        data["of_stimulus"] = recordings.of_stimulus
    documents = {"config": dataclasses.asdict(config), "data": data, "made_with": _made_with()}
    documents = json.loads(json.dumps(documents))
    make_folder(workdir)
    for name, document in documents.items():
        file = workdir / f"{name}.json"
        if file.exists():
            _require_same(file, changes_between(name, _read_json(file), document))
    for name, document in documents.items():
        write_text(workdir / f"{name}.json", json.dumps(document, indent=1) + "\n")
    _keep_manifest(workdir / "manifest.json", split, recordings)
    return origin


def _made_with() -> dict:
    """What the last bits of a result depend on besides settings and data."""
    return {
        "mpcl_jax": __version__,
        "jax": jax.__version__,
        "platform": jax.default_backend(),
        "devices": jax.device_count(),
    }


def _read_json(file: pathlib.Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: is no JSON ({error}); choose another --workdir") from error


def _require_same(file: pathlib.Path, changes: list[Change]) -> None:
    refused = [str(change) for change in changes if change.kind == REFUSED]
    if refused:
        raise ConfigError(
            f"{file} belongs to another run ({'; '.join(refused[:4])}); "
            "continue with its settings or choose another --workdir"
        )
    for change in changes:
        if change.kind == WARNED:
            warn(f"{change}: the rest of this run equals its beginning only up to rounding")
        else:
            print(f"note   {change}; no number of the training depends on it", flush=True)


def _keep_manifest(file: pathlib.Path, split: Split, recordings: Recordings) -> None:
    """Writes the split, or makes sure that the file still holds it."""
    if not file.exists():
        with replacing(file) as temporary:
            write_manifest(split, recordings, temporary)
    elif read_manifest(file, recordings).sha256 != split.sha256:
        raise ConfigError(f"{file}: holds another split than this run's; choose another --workdir")


def fold_folder(workdir: pathlib.Path, number: int) -> pathlib.Path:
    """The folder of a fold, made if it is not there."""
    folder = workdir / "folds" / f"{number:02d}"
    make_folder(folder)
    return folder
