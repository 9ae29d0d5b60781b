"""Predicts the emotions of new recordings with a finished run or a saved model.

    mpcl predict runs/dataset my_data -o predictions.csv
    mpcl predict model session.zip --window 60 -o predictions.csv
    mpcl predict model recordings/*.csv -o predictions/

An INPUT is a folder in the folder format (labels are not needed), a data set of the kind that the run was trained on,
a table with one row a window or a sample, Empatica E4 sessions, EDF or BDF files, a BIDS folder, or a .npz file with
one array for each modality. The output has one row per window: id, subject, trial, stimulus and the predicted share
of each emotion. The shares of a row sum to 1. Several inputs give one file each, in the folder of --output. Started
again, the command skips inputs whose file is there.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

import mpcl_jax
from mpcl_jax.cli.command import Parser, command, importing_jax, paths_of, register_datasets_of
from mpcl_jax.cli.import_data import add_signals, signals_of
from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.data import pipeline
from mpcl_jax.data.folder import load as folder_of_user
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.data.tables.import_source import is_table
from mpcl_jax.data.tables.reports import Options
from mpcl_jax.data.tables.unreported import read_unreported
from mpcl_jax.runs.read_run import read_json
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import make_folder, write_text
from mpcl_jax.types import DataError, DataSpec, Recordings, take, with_modalities


class Opened(NamedTuple):
    """A model that is ready to predict."""

    spec: DataSpec
    predict: Callable[[Recordings], np.ndarray]  # [N, C]
    options: Options = Options()  # how recordings are read where the command line states nothing else
    columns: dict[str, tuple[str, ...]] = {}  # the same for tables: modality -> columns, where they are known


@command
def run(arguments: list[str]) -> int:
    """Writes the predictions as CSV, to stdout, a file, or one file per input."""
    parser = Parser("predict", __doc__)
    parser.add_argument("run", help="folder of a finished run or a saved model")
    parser.add_argument("inputs", nargs="+", metavar="input", help="the recordings: files or folders")
    parser.add_output_and_fold("fold whose model predicts")
    parser.add_config()
    add_signals(parser)
    args = parser.parse_args(arguments)
    register_datasets_of(args.config)
    folder, inputs = user_path(args.run), [user_path(text) for text in args.inputs]
    require_fold(folder, args.fold)
    if len(inputs) > 1:
        output = user_path(args.output, "--output") if args.output else None
        files = files_of(inputs, output)
    else:
        (output,), files = paths_of(args, "--output"), {}
    model = opened(folder, args.fold)
    options = model.options._replace(
        **{name: x for name, x in signals_of(args).items() if x not in (None, {})}
    )

    def text_of(data: pathlib.Path) -> str:
        return predictions_csv(model, load(folder, data, model, options))

    if files:
        return predict_each(files, text_of)
    if output:
        write_text(output, text_of(inputs[0]))
    else:
        print(text_of(inputs[0]), end="")
    return 0


def files_of(inputs: list[pathlib.Path], output: pathlib.Path | None) -> dict[pathlib.Path, pathlib.Path]:
    """The file of each of several inputs. Raises ConfigError without a folder, and for two inputs of one name."""
    if output is None or output.is_file():
        raise ConfigError("--output: several inputs need a folder, which gets one file for each")
    files = {data: output / f"{data.absolute().name.partition('.')[0]}.csv" for data in inputs}
    for data, file in files.items():
        if other := next((x for x in files if x != data and files[x] == file), None):
            raise ConfigError(f"{data}: has the name of {other}; predict them into different folders")
    return files


def predict_each(files: dict[pathlib.Path, pathlib.Path], text_of: Callable[[pathlib.Path], str]) -> int:
    """Writes the file of each input that has none yet, and reports the progress to stderr.

    An input that cannot be used is one line; the others are predicted, and the exit code is 2.
    """
    code = 0
    for number, (data, file) in enumerate(files.items(), start=1):
        step, done = f"{number} of {len(files)}", "exists, skipped"
        if not file.exists():
            try:
                text, done = text_of(data), "written"
            except (ConfigError, DataError) as mistake:
                print("error:", " ".join(str(mistake).split()), file=sys.stderr, flush=True)
                code = 2
                continue
            make_folder(file.parent)
            write_text(file, text)
        print(f"{step}: {file} {done}", file=sys.stderr, flush=True)
    return code


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


def load(
    folder: pathlib.Path, data: pathlib.Path, model: Opened | None = None, options: Options | None = None
) -> Recordings:
    """The recordings at `data`, read with the settings of the run in `folder` but not standardised.

    For a `model` also tables, sessions and `.npz` files, read by `options`; what is assumed goes to stderr.
    """
    settings = resolve(read_json(folder / "config.json")).data
    in_format = (data / "meta.json").is_file()
    if model and not in_format and (settings.kind in ("simulated", "folder") or not data.is_dir()):
        if is_table(data) and not options.modalities:
            options = options._replace(modalities=model.columns)
        found = read_unreported(data, model.spec, options)
        for note in found.assumed:
            print(f"{data}: {note}", file=sys.stderr)
        return found.recordings
    kind = "folder" if in_format or settings.kind == "simulated" else settings.kind
    changes = {"kind": kind, "path": str(data), "modalities": (), "per_subject_standardise": False}
    settings = dataclasses.replace(settings, **changes)
    if kind == "folder":
        return pipeline.checked(folder_of_user.load(settings.path, labelled=False), settings)
    return pipeline.load(settings)


def opened(folder: pathlib.Path, fold: int) -> Opened:
    """The saved model in `folder` (the mean over its seeds, with its personal memory), or `fold` of a run."""
    with importing_jax():
        from mpcl_jax.runs.predict import open_model, predict

    if (folder / "model.json").is_file():
        saved = mpcl_jax.load(folder)
        layout, window = saved._layout, saved._about["window_seconds"]
        columns = {m: own for m, own in (layout.columns or layout.names).items() if own}
        columns = {m: own for m, own in columns.items() if all(isinstance(x, str) for x in own)}
        return Opened(saved._spec, saved.predict, Options(kinds=layout.kinds, window=window), columns)
    model = open_model(folder, fold)

    def predicted(recordings: Recordings) -> np.ndarray:
        subject = recordings.subject if model.per_subject else None
        return predict(model, recordings.signals, recordings.present, subject)

    return Opened(model.spec, predicted)


def with_known(spec: DataSpec, recordings: Recordings) -> tuple[Recordings, np.ndarray]:
    """The windows that have a modality of the model, without other modalities, and which they are, [N] bool.

    Raises ConfigError where the recordings have none of the modalities.
    """
    known = [m for m in recordings.signals if m in spec.shapes]
    if not known:
        raise ConfigError(f"{recordings.name}: has none of the modalities {', '.join(spec.shapes)}")
    kept = np.stack([recordings.present[m] for m in known]).any(axis=0)
    return take(with_modalities(recordings, known), kept), kept


def predictions_csv(model: Opened, recordings: Recordings) -> str:
    """The predictions for every window that has a modality of the model.

    Raises ConfigError where the recordings do not fit the model.
    """
    recordings, _ = with_known(model.spec, recordings)
    try:
        predicted = model.predict(recordings)
    except ValueError as mistake:
        raise ConfigError(f"{recordings.name}: {mistake}") from mistake
    columns = {"id": row_ids(recordings)}
    columns |= {name: getattr(recordings, name) for name in ("subject", "trial", "stimulus")}
    shares = np.vectorize(str, otypes=[object])(predicted).T  # float32 with all digits, as in predictions.csv
    columns |= {f"predicted_{name}": x for name, x in zip(model.spec.emotions, shares, strict=True)}
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
