"""A run is a folder; everything shown later can be computed again from what lies in it (docs/run_folder.md)."""

import dataclasses
import json
import pathlib

import jax
from flax.traverse_util import flatten_dict

from mpcl_jax import __version__
from mpcl_jax.config.resolve import ConfigError, default, plain
from mpcl_jax.config.schema import Config
from mpcl_jax.data.pipeline import content_hash
from mpcl_jax.data.splits.manifest import Split, read_manifest, write_manifest
from mpcl_jax.system.output import warn
from mpcl_jax.system.storage import make_folder, replacing, write_text
from mpcl_jax.types import Recordings, spec_of

# What a run may change when it goes on. All other settings, the data and the split may not: two different experiments
# never mix in one folder.
HARMLESS = (  # no number of the training depends on these
    "config.log.",
    "config.distributed.",
    "config.train.checkpoint_every",
    "config.train.stream_rows",
    "config.data.path",
    "config.data.cache",
    "config.protocol.manifest",  # the place of the split; the split itself is in data.json
    "config.benchmark.baselines",
)
WARNED = ("made_with.",)  # versions and devices: the same numbers up to rounding


def register_run(workdir, config: Config, recordings: Recordings, split: Split) -> dict[str, str]:
    """Makes `workdir` the folder of this run, new or continued. Returns what all its checkpoints belong to.

    Raises ConfigError where it holds a run with other settings, other data or another split. Differences that do no
    harm are printed, and the files get the new values.
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
    made_with = {  # what the last bits of a result depend on besides settings and data
        "mpcl_jax": __version__,
        "jax": jax.__version__,
        "platform": jax.default_backend(),
        "devices": jax.device_count(),
    }
    documents = {"config": dataclasses.asdict(config), "data": data, "made_with": made_with}
    documents = json.loads(json.dumps(documents))
    make_folder(workdir)
    for name, document in documents.items():
        if (workdir / f"{name}.json").exists():
            _require_same(workdir / f"{name}.json", name, document)
    for name, document in documents.items():
        write_text(workdir / f"{name}.json", json.dumps(document, indent=1) + "\n")
    manifest = workdir / "manifest.json"
    if not manifest.exists():
        with replacing(manifest) as temporary:
            write_manifest(split, recordings, temporary)
    elif read_manifest(manifest, recordings).sha256 != split.sha256:
        raise ConfigError(f"{manifest}: holds another split than this run's; choose another --workdir")
    return origin


def _require_same(file: pathlib.Path, name: str, now: dict) -> None:
    """Compares a document of the folder, `name` "config", "data" or "made_with", with that of this start."""
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: is no JSON ({error}); choose another --workdir") from error
    # A setting that the version of `before` did not know had what is now its default.
    known = json.loads(json.dumps(plain(default()))) if name == "config" else {}
    before, now, known = (flatten_dict({name: x}, sep=".") for x in (before, now, known))
    before = {key: known.get(key) for key in now} | before
    changed = [key for key in sorted(before) if before[key] != now.get(key)]
    changes = {key: f"{key} was {before[key]!r}, is {now.get(key)!r}" for key in changed}
    if refused := [text for key, text in changes.items() if not key.startswith((*HARMLESS, *WARNED))]:
        fix = "continue with its settings or choose another --workdir"
        raise ConfigError(f"{file} belongs to another run ({'; '.join(refused[:4])}); {fix}")
    for key, text in changes.items():
        if key.startswith(WARNED):
            warn(f"{text}: the rest of this run equals its beginning only up to rounding")
        else:
            print(f"note   {text}; no number of the training depends on it", flush=True)


def fold_folder(workdir: pathlib.Path, number: int) -> pathlib.Path:
    """The folder of a fold, made if it is not there."""
    folder = workdir / "folds" / f"{number:02d}"
    make_folder(folder)
    return folder
