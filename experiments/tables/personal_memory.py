"""Few-shot adaptation: n labelled calibration trials of an unseen subject are stored, later trials are predicted.

    python -m experiments.tables.personal_memory runs/wesad
    python -m experiments.tables.personal_memory runs/table/wesad_loso/seed_* --most 3 --features

Uses finished runs whose protocol holds out subjects; nothing is trained. The first n trials of each subject, in the
order of the recording, are stored with the hand-set memory of version 0.1; the trials after the first --most are
predicted, the same ones for every n. Baselines are corrected by the mean residual of the subject, and so is MPCL in a
row of its own. With --features baselines and MPCL also recall residuals by the z-scored features of a window (this
reads the recordings of the run). `minus_recalled`: KL of a row minus KL of MPCL with recall by query and as many
trials. Neither κ = 1 nor β = 1/τ was tuned. Several runs are seeds of one table. Prints a table and writes
a CSV file. The memory of the product is learned: `experiments/tables/sequential.py`.
"""

import argparse
import pathlib
import sys
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from experiments.shared.table_command import ending, path, shown_command, write_rows
from mpcl_jax.config.resolve import resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.evaluation.comparison import task_of
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.leaderboard import CONSTANTS, METHOD, OF_IDS
from mpcl_jax.evaluation.statistics import paired_comparison, subject_interval
from mpcl_jax.metrics import SMALLEST_SHARE, scores
from mpcl_jax.runs.read_run import Tested, join_folds, read_json, read_tested
from mpcl_jax.system.output import any_output
from mpcl_jax.types import DataError

RECALLED, MEAN = f"{METHOD}, recalled by query", f"{METHOD}, mean residual"
BY_FEATURES = ", recalled by features"
KAPPA = 1.0  # κ, shrinkage: the number of trials at which half of the correction is applied


class RunData(NamedTuple):
    """The tested windows of a run and what the memory of a subject uses."""

    tested: Tested
    query: np.ndarray  # [P, G, D] unit rows
    features: np.ndarray | None  # [P, 1, F] features of the baselines; None without --features
    sharpness: float  # 1/τ of the prototype banks


def read_data(folder: pathlib.Path, with_features: bool) -> RunData:
    """Predictions, queries and features of a run. Raises DataError for a missing or damaged file."""
    tested = read_tested(folder)
    files = [folder / "folds" / f"{number:02d}" / "predictions.npz" for number in np.unique(tested.fold)]
    queries = [{"query": parse_npz(file)["query"]} for file in files]
    config = read_json(folder / "config.json")
    return RunData(
        tested,
        query=join_folds(folder, queries, len(tested.id))["query"],
        features=features_of(tested, resolve(config)) if with_features else None,
        sharpness=1.0 / config["model"]["memory"]["temperature"],
    )


def features_of(tested: Tested, config: Config) -> np.ndarray:
    """The features of the tested windows as the baselines of each fold use them [P, 1, F], from the recordings.

    Raises DataError where the recordings cannot be read or lack a tested window.
    """
    table_data = load_table_data(config)
    names, found = np.array(row_ids(table_data.recordings)), {}
    for fold in table_data.split.folds:
        x = task_of(table_data.recordings, table_data.split.protocol, fold).x
        found |= dict(zip(names[fold.test].tolist(), x, strict=True))
    if lacking := [name for name in tested.id.tolist() if name not in found]:
        raise DataError(tested.folder, f"{lacking[0]} was tested and is not in the recordings")
    return np.stack([found[name] for name in tested.id.tolist()])[:, None]


class PersonalMemory(NamedTuple):
    """n labelled trials of one subject."""

    query: np.ndarray  # [n, G·D] unit rows
    residual: np.ndarray  # [n, C] log y − log p, mean over the windows of the trial; rows sum to 0


def write_trials(trial, query, log_probs, labels) -> PersonalMemory:
    """A memory of the trials that windows belong to, one entry a trial, in the order in which they come.

    `trial` [B] ids · `query` [B, G, D] unit rows, zeros where a modality group is absent · `log_probs` [B, C] as
    predicted · `labels` [B, C] as reported, rows sum to 1.
    """
    residual = np.log(np.maximum(labels, SMALLEST_SHARE)) - log_probs
    residual = residual - residual.mean(axis=1, keepdims=True)
    trial, flat = np.asarray(trial), np.asarray(query).reshape(len(query), -1)
    windows = [trial == one for one in dict.fromkeys(trial.tolist())]
    return PersonalMemory(
        query=_unit(np.stack([flat[here].mean(axis=0) for here in windows])),
        residual=np.stack([residual[here].mean(axis=0) for here in windows]),
    )


def adapt(log_probs, query, memory: PersonalMemory, beta: float, kappa: float = KAPPA) -> np.ndarray:
    """`log_softmax( log p + n/(n + κ) · Σ_i softmax_i(β q·q_i) residual_i )`, [B, C].

    `log_probs` [B, C] and `query` [B, G, D] of other windows of the subject · `beta` >= 0, inverse temperature; 0 is
    the mean residual of the subject, 1/τ the sharpness of the prototype banks · `kappa` > 0, the shrinkage.
    """
    written = len(memory.query)
    state = _unit(np.asarray(query).reshape(len(query), -1))
    association = softmax(beta * state @ memory.query.T, axis=1)
    return log_softmax(log_probs + written / (written + kappa) * association @ memory.residual, axis=1)


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def after(run: RunData, predicted, written: int, most: int, query, beta: float) -> dict[str, float]:
    """KL of every subject, mean over the windows after the first `most` trials, `written` of which were stored.

    `query` [P, G, D] of every window is the key of the recall, `beta` its inverse temperature, 0 = the mean residual.
    """
    found = {}
    log_probs = np.log(np.maximum(predicted, SMALLEST_SHARE))
    for subject in dict.fromkeys(run.tested.subject.tolist()):
        own = np.flatnonzero(run.tested.subject == subject)
        trials = list(dict.fromkeys(run.tested.trial[own].tolist()))
        if len(trials) <= most:
            reason = f"{subject} has {len(trials)} trials: choose --most below that"
            raise DataError(run.tested.folder, reason)
        known = own[np.isin(run.tested.trial[own], trials[:written])]
        later = own[np.isin(run.tested.trial[own], trials[most:])]
        adapted = log_probs[later]
        if written:
            memory = write_trials(
                run.tested.trial[known], query[known], log_probs[known], run.tested.reported[known]
            )
            adapted = adapt(adapted, query[later], memory, beta)
        shares = np.exp(adapted)
        kl = scores(run.tested.reported[later], shares / shares.sum(1, keepdims=True))["kl"]
        found[subject] = kl.mean()
    return found


def measure(run: RunData, most: int) -> dict[tuple[str, int], dict[str, float]]:
    """(method, n) -> KL by subject."""
    predicted = {**run.tested.baselines, METHOD: run.tested.predicted}
    rows = {MEAN if name == METHOD else name: (shares, run.query, 0.0) for name, shares in predicted.items()}
    if run.features is not None:
        looking = {name: shares for name, shares in predicted.items() if name not in (*CONSTANTS, *OF_IDS)}
        rows |= {f"{name}{BY_FEATURES}": (x, run.features, run.sharpness) for name, x in looking.items()}
    rows[RECALLED] = run.tested.predicted, run.query, run.sharpness
    return {
        (name, n): after(run, shares, n, most, query, beta)
        for name, (shares, query, beta) in rows.items()
        for n in range(most + 1)
    }


def mean_over_seeds(of_runs: list[dict]) -> dict[tuple[str, int], np.ndarray]:
    """(method, n) -> KL of each subject [S], mean over runs of the same subjects."""
    return {key: np.mean([list(one[key].values()) for one in of_runs], axis=0) for key in of_runs[0]}


def report(found: dict[tuple[str, int], np.ndarray]) -> list[dict[str, str]]:
    """A row per method and n: interval over subjects, difference to n = 0, and to MPCL with recall at the same n."""
    rows = []
    for (method, n), kl in found.items():
        low, high = subject_interval(kl)
        row = {
            "method": method,
            "trials": n,
            "kl": f"{kl.mean():.4f}",
            "interval": f"[{low:.4f}, {high:.4f}]",
        }
        row["minus_zero_trials"] = difference(kl, found[method, 0]) if n else ""
        row["minus_recalled"] = "" if method == RECALLED else difference(kl, found[RECALLED, n])
        rows.append(row)
    return rows


def difference(kl: np.ndarray, other: np.ndarray) -> str:
    """ "+0.0010 [-0.0010, +0.0030]": the first minus the second, paired by subject, 95 %."""
    against = paired_comparison(kl, other)
    return f"{against.difference:+.4f} [{against.low:+.4f}, {against.high:+.4f}]"


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("run", type=path, nargs="+", help="folders of finished runs, seeds of one table")
    parser.add_argument("--most", type=int, default=3, help="calibration trials of a subject, at most")
    parser.add_argument("--features", action="store_true", help="also recall by the features of a window")
    parser.add_argument("--out", type=path, help="the .csv to write")
    args = parser.parse_args(words)
    with ending():
        of_runs = [measure(read_data(folder, args.features), args.most) for folder in args.run]
        write_rows(report(mean_over_seeds(of_runs)), args.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
