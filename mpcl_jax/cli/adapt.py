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

from mpcl_jax.cli.command import Parser, command, importing_jax
from mpcl_jax.cli.predict import load, require_fold
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.folder.load import load_partly_reported
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import write_text
from mpcl_jax.types import DataError, DataSpec, Recordings, take, with_modalities


@command
def run(arguments: list[str]) -> None:
    """Writes the predictions as CSV, to a file or to stdout."""
    parser = Parser("adapt", __doc__)
    parser.add_argument("model", help="folder of a saved model, or of a finished run with a personal memory")
    parser.add_argument("data", help="folder of the recordings of one or more subjects")
    parser.add_argument("-o", "--output", metavar="FILE", help="a CSV file; default: stdout")
    parser.add_argument(
        "--fold",
        type=int,
        default=0,
        metavar="N",
        help="fold of a run, counted from 0; default: 0, the first",
    )
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
        from mpcl_jax.estimator.one_subject import open_adaptable

    model = open_adaptable(folder, args.fold)
    recordings, reported = fitting(model.models[0].spec, *load_reported(folder, user_path(args.data)))
    memory = user_path(args.memory, "--memory") if args.memory else None
    if reported.all() and not args.sequential and memory is None:
        fix = "give --sequential, or write NaN as the labels of the trials to predict"
        raise ConfigError(f"{args.data}: every trial has a report, so none is left to predict; {fix}")
    predictions, recalled = adapt(model, recordings, reported, args.sequential, memory)
    if args.recalled:
        write_text(user_path(args.recalled, "--recalled"), csv_text(recalled))
    if args.output:
        write_text(user_path(args.output, "--output"), csv_text(predictions))
    else:
        print(csv_text(predictions), end="")


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
    known = [m for m in recordings.signals if m in spec.shapes]
    if not known:
        raise ConfigError(f"{recordings.name}: has none of the modalities {', '.join(spec.shapes)}")
    if set(recordings.emotions) != set(spec.emotions):
        have, want = ", ".join(recordings.emotions), ", ".join(spec.emotions)
        raise ConfigError(f"{recordings.name}: has the emotions {have}; the model has {want}")
    order = [recordings.emotions.index(name) for name in spec.emotions]
    kept = np.stack([recordings.present[m] for m in known]).any(axis=0)
    recordings = recordings._replace(labels=recordings.labels[:, order], emotions=spec.emotions)
    return take(with_modalities(recordings, known), kept), reported[kept]


def adapt(
    model, recordings: Recordings, reported: np.ndarray, sequential: bool, memory: pathlib.Path | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The predictions of every subject, and the weights of written trials; continues and writes the file `memory`."""
    from mpcl_jax.estimator.memory_file import checksum_of, save_memory
    from mpcl_jax.estimator.one_subject import predict_subject

    subjects = list(dict.fromkeys(recordings.subject.tolist()))
    if memory and len(subjects) > 1:
        count = f"the data are of {len(subjects)} subjects"
        raise ConfigError(f"--memory {memory}: is of one subject, {count}; give them one by one")
    if model.kernel is None:
        warn(f"the personal memory is {model.reason}; the predictions are those of mpcl predict")
    before = continued(model, memory, subjects[0]) if memory else None
    tables, weights, ids = [], [], np.array(row_ids(recordings))
    for subject in subjects:
        own = np.flatnonzero(recordings.subject == subject)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found = predict_subject(model, take(recordings, own), reported[own], before, sequential)
        for text in dict.fromkeys(str(x.message) for x in caught):
            warn(f"subject {subject}: {text}")
        tables.append(_table(recordings, reported, ids, own[found.rows], found))
        weights.append(_weights(ids[own[found.rows]], found.recalled))
        if memory and found.memories and found.memories.trials:
            save_memory(memory, found.memories, subject, checksum_of(model.models, model.kernel))
    return pd.concat(tables), pd.concat(weights)


def continued(model, memory: pathlib.Path, subject: str):
    """The memory in the file, None where there is none yet. Raises DataError for that of another model or subject."""
    from mpcl_jax.estimator.memory_file import checksum_of, read_memory

    if model.kernel is None or not memory.exists():
        return None
    checksum = checksum_of(model.models, model.kernel)
    found, owner = read_memory(memory, model.kernel, len(model.models), checksum)
    if owner != subject:
        raise DataError(memory, f"is of subject {owner!r}, the data are of {subject!r}; give a new name")
    return found


def _weights(ids: np.ndarray, recalled: list[dict[str, float]]) -> pd.DataFrame:
    pairs = zip(ids, recalled, strict=True)
    rows = [(name, trial, weight) for name, of_trial in pairs for trial, weight in of_trial.items()]
    return pd.DataFrame(rows, columns=["id", "written_trial", "weight"])


def _table(
    recordings: Recordings, reported: np.ndarray, ids: np.ndarray, rows: np.ndarray, found
) -> pd.DataFrame:
    columns = {"id": ids[rows]}
    columns |= {name: getattr(recordings, name)[rows] for name in ("subject", "trial", "stimulus")}
    columns |= {"reported": reported[rows].astype(int), "written_trials": list(map(len, found.recalled))}
    columns |= {f"predicted_{e}": x for e, x in zip(recordings.emotions, found.shares.T, strict=True)}
    return pd.DataFrame(columns)
