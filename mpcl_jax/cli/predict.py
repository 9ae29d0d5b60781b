"""Predicts the emotions of new recordings with a finished run.

    mpcl predict runs/wesad WESAD -o predictions.csv
    mpcl predict runs/dataset my_data --fold 2

DATA is a folder in the folder format (labels are not needed), or a data set of the kind that the run was trained on.
The output has one row per window: id, subject, trial, stimulus and the predicted share of each emotion. The shares of
a row sum to 1.
"""

import dataclasses
import pathlib

import numpy as np
import pandas as pd

import mpcl_jax
from mpcl_jax.cli.command import Parser, command, importing_jax, register_datasets_of
from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.data import pipeline
from mpcl_jax.data.folder import load as folder_of_user
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.runs.read_run import read_json
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import write_text
from mpcl_jax.types import Recordings, take, with_modalities


@command
def run(arguments: list[str]) -> None:
    """Writes the predictions as CSV, to a file or to stdout."""
    parser = Parser("predict", __doc__)
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("data", help="folder of the recordings")
    parser.add_output_and_fold("fold whose model predicts")
    parser.add_config()
    args = parser.parse_args(arguments)
    register_datasets_of(args.config)
    folder = user_path(args.run)
    require_fold(folder, args.fold)
    text = predictions_csv(folder, args.fold, load(folder, user_path(args.data)))
    if args.output:
        write_text(user_path(args.output, "--output"), text)
    else:
        print(text, end="")


def require_fold(folder: pathlib.Path, fold: int) -> None:
    """Raises ConfigError where the run in `folder` has no `fold`, DataError where it is no finished run."""
    if (folder / "model.json").is_file():  # written by MPCLRegressor.save
        if fold:
            raise ConfigError(f"--fold {fold}: {folder} is a saved model and has no folds")
        return
    names = [entry["name"] for entry in read_json(folder / "manifest.json", folds=list)["folds"]]
    if not 0 <= fold < len(names):
        held = f"only fold 0 ({names[0]})"
        if len(names) > 1:
            held = f"folds 0 ({names[0]}) to {len(names) - 1} ({names[-1]})"
        raise ConfigError(f"--fold {fold}: {folder} has {held}")


def load(folder: pathlib.Path, data: pathlib.Path) -> Recordings:
    """The recordings at `data`, read with the settings of the run in `folder` but not standardised."""
    settings = resolve(read_json(folder / "config.json")).data
    kind = "folder" if (data / "meta.json").is_file() or settings.kind == "simulated" else settings.kind
    changes = {"kind": kind, "path": str(data), "modalities": (), "per_subject_standardise": False}
    settings = dataclasses.replace(settings, **changes)
    if kind == "folder":
        return pipeline.checked(folder_of_user.load(settings.path, labelled=False), settings)
    return pipeline.load(settings)


def predictions_csv(folder: pathlib.Path, fold: int, recordings: Recordings) -> str:
    """The predictions of `fold` for every window that has a modality of the run.

    Raises ConfigError where the recordings do not fit the run.
    """
    with importing_jax():
        from mpcl_jax.runs.predict import open_model, predict

    saved = mpcl_jax.load(folder) if (folder / "model.json").is_file() else None
    model = open_model(folder, fold)
    known = [m for m in recordings.signals if m in model.spec.shapes]
    if not known:
        raise ConfigError(f"{recordings.name}: has none of the modalities {', '.join(model.spec.shapes)}")
    kept = np.stack([recordings.present[m] for m in known]).any(axis=0)
    recordings = take(with_modalities(recordings, known), kept)
    subject = recordings.subject if model.per_subject else None
    try:
        if saved is not None:  # the mean over its seeds, with its personal memory
            predicted = saved.predict(recordings)
        else:
            predicted = predict(model, recordings.signals, recordings.present, subject)
    except ValueError as mistake:
        raise ConfigError(f"{recordings.name}: {mistake}") from mistake
    columns = {"id": row_ids(recordings)}
    columns |= {name: getattr(recordings, name) for name in ("subject", "trial", "stimulus")}
    shares = np.vectorize(str, otypes=[object])(predicted).T  # float32 with all digits, as in predictions.csv
    columns |= {f"predicted_{name}": x for name, x in zip(model.spec.emotions, shares, strict=True)}
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
