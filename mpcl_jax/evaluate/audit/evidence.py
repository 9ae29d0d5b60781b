"""What an audit looks at: a run's files as they lie there, and the recordings they were made of.

The manifest is not checked here (`data.manifest.read_manifest` would refuse what an audit has to describe).
"""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.runs.read_run import read_csv, read_json, read_lines
from mpcl_jax.system import checksums
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.arrays import array_names, read_arrays
from mpcl_jax.types import DataFileError, Recordings

PARTS = ("validation", "test", "unused")


class Checkpoint(NamedTuple):
    """The newest checkpoint of a fold."""

    epoch: int
    origin: dict[str, str]  # which data, split and fold it says it belongs to
    config: dict[str, Any]  # the settings it was saved with
    norm: Normalisation  # what signals are normalised with; no medians where an earlier version kept none
    step: int  # steps made since the start of the training
    best: tuple[int, float] | None  # chosen epoch and its validation KL, where validation chooses
    bank: np.ndarray | None  # [G, C, K, D] of the chosen model; None without a memory
    mass: np.ndarray | None  # [G, C, K] evidence collected


class FoldEvidence(NamedTuple):
    """One fold; rows are those of the recordings."""

    number: int
    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    checkpoint: Checkpoint | None  # None where it is gone
    predictions: dict[str, np.ndarray]  # arrays of predictions.npz
    baselines: dict[str, np.ndarray]  # method -> [P, C], in the order of `rows` of the predictions
    log: tuple[dict[str, Any], ...]  # lines of metrics.jsonl


class Evidence(NamedTuple):
    """All that is known of a run."""

    folder: pathlib.Path
    config: Config
    data: dict[str, Any]  # data.json
    manifest: dict[str, Any]  # manifest.json
    recordings: Recordings
    ids: np.ndarray  # [N] str, of every row of the recordings
    unknown: tuple[str, ...]  # ids of the manifest that the recordings lack, and the other way round
    folds: tuple[FoldEvidence, ...]
    tested: tuple[dict[str, str], ...]  # rows of predictions.csv
    choices: dict[str, dict[str, dict[str, Any]]]  # selection.json: fold -> method -> entry; {} without it


def read_settings(folder: pathlib.Path) -> Config:
    """The settings of a run. Raises DataFileError where there is no run or its settings are not understood."""
    file = user_path(folder) / "config.json"
    try:
        return resolve(read_json(file))
    except ConfigError as error:
        raise DataFileError(
            file, f"was written by another version ({error}); audit it with that one"
        ) from error


def read_evidence(folder: pathlib.Path, recordings: Recordings) -> Evidence:
    """Everything in the folder of a finished run, next to the `recordings` it was made of.

    Raises DataFileError naming the file that is missing or damaged.
    """
    folder = user_path(folder)
    config, data = read_settings(folder), read_json(folder / "data.json")
    manifest = _manifest(folder / "manifest.json")
    ids = np.array(row_ids(recordings))
    tested, _ = read_csv(folder / "predictions.csv", commented=False)
    log = read_lines(folder / "metrics.jsonl")
    place = {name: row for row, name in enumerate(ids.tolist())}
    unknown = sorted(set(manifest["rows"]) ^ set(place))
    folds = tuple(
        _fold(folder, number, entry, manifest["rows"], place, log)
        for number, entry in enumerate(manifest["folds"])
    )
    choices = _choices(folder / "selection.json")
    return Evidence(
        folder, config, data, manifest, recordings, ids, tuple(unknown), folds, tuple(tested), choices
    )


def _choices(file: pathlib.Path) -> dict[str, dict[str, dict[str, Any]]]:
    choices = read_json(file) if file.exists() else {}
    for methods in choices.values():
        entries = methods.values() if isinstance(methods, dict) else [None]
        if not all(
            isinstance(x, dict) and {"choice", "chosen", "looked", "earlier"} <= set(x) for x in entries
        ):
            raise DataFileError(file, "is no record of choices; start the run again in another folder")
    return choices


def _manifest(file: pathlib.Path) -> dict[str, Any]:
    manifest = read_json(file)

    def are_ids(x):
        return isinstance(x, list) and all(isinstance(name, str) for name in x)

    folds = manifest.get("folds")
    good = (
        isinstance(manifest.get("protocol"), str)
        and are_ids(manifest.get("rows"))
        and isinstance(folds, list)
    )
    good = good and all(isinstance(fold, dict) and all(are_ids(fold.get(p)) for p in PARTS) for fold in folds)
    if not good or not folds:
        raise DataFileError(file, "is no split manifest: needs `protocol`, `rows`, `folds` and `sha256`")
    return manifest


def _fold(folder, number: int, entry, rows: list[str], place: dict[str, int], log) -> FoldEvidence:
    own = folder / "folds" / f"{number:02d}"
    named = set().union(*(entry[part] for part in PARTS))

    def rows_of(names):
        return np.array(sorted(place[name] for name in names if name in place), int)

    return FoldEvidence(
        number=number,
        name=str(entry.get("name", f"fold {number}")),
        train=rows_of([name for name in rows if name not in named]),
        validation=rows_of(entry["validation"]),
        test=rows_of(entry["test"]),
        checkpoint=_checkpoint(own / "checkpoints"),
        predictions=_predictions(own / "predictions.npz"),
        baselines=parse_npz(own / "baselines.npz") if (own / "baselines.npz").exists() else {},
        log=tuple(line for line in log if line.get("fold") == number),
    )


def _predictions(file: pathlib.Path) -> dict[str, np.ndarray]:
    found = parse_npz(file)
    if missing := [name for name in ("rows", "predicted") if name not in found]:
        raise DataFileError(file, f"lacks {missing[-1]!r}; start the run's command again, then audit it")
    return found


def _checkpoint(folder: pathlib.Path) -> Checkpoint | None:
    steps = checksums.steps_in(folder)[::-1]
    if not steps:
        return None
    place = folder / str(steps[-1])
    if damage := checksums.damage_in(place, checksums.of_epoch(steps[-1])):
        raise DataFileError(damage.file, f"{damage.reason}; start the run's command again, then audit it")
    origin, config = (read_json(place / part / "metadata") for part in ("origin", "config"))
    names = array_names(place / "normalisation")
    statistics = {name: read_arrays(place / "normalisation", (name,))[name] for name in names}
    best = None
    if "best.epoch" in array_names(place / "state"):
        chosen = read_arrays(place / "state", ("best.epoch", "best.validation_kl"))
        best = int(chosen["best.epoch"]), float(chosen["best.validation_kl"])
    memory = dict.fromkeys(("bank", "mass"))
    if (place / "prototypes").is_dir():
        memory = read_arrays(place / "prototypes", ("bank", "mass"))
    return Checkpoint(
        epoch=steps[-1],
        origin=origin,
        config=config,
        norm=Normalisation(
            *(
                {
                    name.removeprefix(f"{of}."): x
                    for name, x in statistics.items()
                    if name.startswith(f"{of}.")
                }
                for of in Normalisation._fields
            )
        ),
        step=int(read_arrays(place / "state", ("state.step",))["state.step"]),
        best=best,
        **memory,
    )


def canonical(manifest: dict[str, Any]) -> str:
    """What the sha256 of a manifest is of: protocol, ids, and per fold those not trained on, all sorted."""
    folds = [
        {"name": fold.get("name")} | {part: sorted(fold[part]) for part in PARTS}
        for fold in manifest["folds"]
    ]
    content = {"protocol": manifest["protocol"], "rows": sorted(manifest["rows"]), "folds": folds}
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
