"""Predicts trials of subjects with a memory of those of their trials that have a report; no gradient step.

    mpcl adapt model my_subject -o predictions.csv
    mpcl adapt model my_subject --memory anna.npz --recalled recalled.csv -o predictions.csv
    mpcl adapt model my_subject --sequential

MODEL is a folder that MPCLRegressor.save wrote, or a run whose protocol writes trials into a personal memory. DATA is
a folder in the folder format; every file names its trials. A file without labels, or rows of labels that are NaN,
have no report. The output has one row per predicted window: id, subject, trial, stimulus, reported (1 or 0),
written_trials (how many trials of the subject were in the memory before the prediction) and the predicted share of
each emotion.
"""

import pathlib
import warnings

import numpy as np
import pandas as pd

from mpcl_jax.cli.command import Parser, command, importing_jax, paths_of
from mpcl_jax.cli.predict import load, require_fold, with_known
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.folder.load import load_partly_reported
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import write_text
from mpcl_jax.types import DataError, DataSpec, Recordings


@command
def run(arguments: list[str]) -> None:
    """Writes the predictions as CSV, to a file or to stdout."""
    parser = Parser("adapt", __doc__)
    parser.add_argument("model", help="folder of a saved model, or of a finished run with a personal memory")
    parser.add_argument("data", help="folder of the recordings of one or more subjects")
    parser.add_output_and_fold("fold of a run")
    parser.add_argument(
        "--sequential",
        action="store_true",
        help="predict every trial, in the order of the files, with the reports of earlier trials alone; "
        "default: write all reported trials first and predict the others",
    )
    parser.add_argument(
        "--memory",
        metavar="FILE",
        help="a .npz file with the personal memory of one subject: continued where it exists, and written at the end",
    )
    parser.add_argument(
        "--recalled",
        metavar="FILE",
        help="a CSV file for the weight of each written trial in each prediction",
    )
    args = parser.parse_args(arguments)
    folder = user_path(args.model)
    require_fold(folder, args.fold)
    with importing_jax():
        from mpcl_jax.estimator import adapted_subjects

    memory, output, recalled = paths_of(args, "--memory", "--output", "--recalled")
    model = adapted_subjects.open_adaptable(folder, args.fold)
    recordings, reported = fitting(model.models[0].spec, *load_reported(folder, user_path(args.data)))
    if reported.all() and not args.sequential and memory is None:
        fix = "give --sequential, or write NaN as the labels of the trials to predict"
        raise ConfigError(f"{args.data}: every trial has a report, so none is left to predict; {fix}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        options = reported, args.sequential, memory
        predictions, weights, save_memory = adapted_subjects.adapt_subjects(model, recordings, *options)
    for text in dict.fromkeys(str(x.message) for x in caught):
        warn(text)
    if recalled:
        write_text(recalled, csv_text(weights))
    if output:
        write_text(output, csv_text(predictions))
    else:
        print(csv_text(predictions), end="", flush=True)
    save_memory()  # last: trials that it holds are not predicted again


def csv_text(frame: pd.DataFrame) -> str:
    """CSV with all digits."""
    return frame.to_csv(index=False, lineterminator="\n")


def load_reported(folder: pathlib.Path, data: pathlib.Path) -> tuple[Recordings, np.ndarray]:
    """The recordings at `data`, and which windows have a report, [N] bool. Raises DataError without trials."""
    if (data / "meta.json").is_file():
        recordings, reported = load_partly_reported(str(data))
    else:
        recordings = load(folder, data)
        reported = np.ones(len(recordings.labels), bool)
    if recordings.protocols and "trial_kfold" not in recordings.protocols:
        raise DataError(
            data, "not every file names its trials; give `trial`, one id per report (docs/own_data.md)"
        )
    return recordings, reported


def fitting(spec: DataSpec, recordings: Recordings, reported: np.ndarray) -> tuple[Recordings, np.ndarray]:
    """The windows with a modality of the model, labels in its order of emotions. Raises ConfigError."""
    if set(recordings.emotions) != set(spec.emotions):
        have, want = ", ".join(recordings.emotions), ", ".join(spec.emotions)
        raise ConfigError(f"{recordings.name}: has the emotions {have}; the model has {want}")
    order = [recordings.emotions.index(name) for name in spec.emotions]
    recordings = recordings._replace(labels=recordings.labels[:, order], emotions=spec.emotions)
    recordings, kept = with_known(spec, recordings)
    return recordings, reported[kept]
