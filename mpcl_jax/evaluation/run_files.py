"""Writes what a reader needs of a finished run: predictions, tables, statistics, and the versions that made them."""

import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.evaluation import statistics_text
from mpcl_jax.evaluation.leaderboard import Table
from mpcl_jax.evaluation.table_text import csv_text
from mpcl_jax.evaluation.written_trials import memory_markdown
from mpcl_jax.system.storage import write_text
from mpcl_jax.train.environment import code_version, environment
from mpcl_jax.train.evaluate import Predictions
from mpcl_jax.train.run import Run
from mpcl_jax.types import Recordings


class Memory(NamedTuple):
    """What written trials are worth (`written_trials.py`)."""

    frame: pd.DataFrame  # memory.csv
    curve: pd.DataFrame  # memory_curve.csv
    zero_shot: np.ndarray  # [N, C], predictions of MPCL for all test rows without written trials


def write_results(
    run: Run,
    table: Table,
    predictions: list[Predictions],
    memory: Memory | None,
    command: str,
    again: str,
) -> None:
    """Writes all files and prints the table.

    `memory`: what written trials are worth; None for protocols that write none · `again`: "", or a note below the
    table that the same test rows were evaluated before with another selection.
    """
    title = f"{run.recordings.name}, {run.split.protocol}"
    files = statistics_text.files_of(
        table, run.recordings.emotions, title=title, command=command, commit=code_version()
    )
    if memory is not None:
        commented = {"command": command, "commit": code_version()}
        files["table.md"] += f"\n{memory_markdown(memory.frame)}"
        files["memory.csv"] = csv_text(memory.frame, **commented)
        files["memory_curve.csv"] = csv_text(memory.curve, **commented)
    print(f"\n{files['table.md']}")
    notes = "".join(f"\n*{note}*\n" for note in filter(None, (*run.recordings.notes, again)))
    files["table.md"] += f"{notes}\n`{command}`\n"
    for name, text in files.items():
        write_text(run.workdir / name, text)
    zero_shot = None if memory is None else memory.zero_shot
    write_predictions(run.workdir, run.recordings, predictions, zero_shot)
    print(f"{again}\n\n" if again else "", f"written to {run.workdir}", sep="", flush=True)


def write_predictions(
    folder: pathlib.Path,
    recordings: Recordings,
    predictions: list[Predictions],
    zero_shot: np.ndarray | None = None,
) -> None:
    """Writes predictions.csv and environment.json; `predictions` of each fold."""
    predicted = np.concatenate([fold.predicted for fold in predictions])
    frame = predictions_frame(recordings, [fold.rows for fold in predictions], predicted, zero_shot)
    write_text(folder / "predictions.csv", frame.to_csv(index=False, na_rep="nan", lineterminator="\n"))
    write_text(folder / "environment.json", json.dumps(environment(), indent=1) + "\n")


def predictions_frame(
    recordings: Recordings,
    tested: Sequence[np.ndarray],
    predicted: np.ndarray,
    zero_shot: np.ndarray | None = None,
) -> pd.DataFrame:
    """Every test window: its ids, the reported and the `predicted` [N, C] distribution; `tested` rows of each fold.

    `zero_shot` [N, C]: the predictions without written trials, where the protocol writes trials.
    Shares have all digits of a float32: `mpcl verify` computes the same table from predictions.csv.
    """
    rows = np.concatenate(tested)
    columns = {
        "id": np.array(row_ids(recordings))[rows],
        "fold": np.repeat(np.arange(len(tested)), [len(of_fold) for of_fold in tested]),
    }
    columns |= {name: getattr(recordings, name)[rows] for name in ("subject", "trial", "stimulus")}
    shares = {"reported": recordings.labels[rows], "predicted": predicted}
    for kind, values in (shares if zero_shot is None else shares | {"zero_shot": zero_shot}).items():
        columns |= {f"{kind}_{name}": values[:, c] for c, name in enumerate(recordings.emotions)}
    return pd.DataFrame(columns)
