"""What labelled trials of a new person are worth: n are written into a memory of that person, others predicted.

    python -m experiments.tables.personal_memory runs/wesad
    python -m experiments.tables.personal_memory runs/table/wesad_loso/seed_* --most 3 --features

Of finished runs that hold people out; no method is trained. The first n trials of each person, in the order of the
recording, are written (`mpcl_jax/model/personal_memory.py`); the trials behind the first --most are predicted, for
every n the same ones. Baselines get the mean surprise of the person, and so does MPCL in a row of its own. They have
no queries; with --features they also recall by what they look at, the z-scored features of a window, and so does MPCL
(this reads the recordings of the run). `minus_recalled`: KL of a row minus that of MPCL with recall and as many
trials. Neither κ = 1 nor β = 1/τ was tuned. Several runs are seeds of one table. Prints and writes a .csv.
"""

import argparse
import csv
import pathlib
import sys
from typing import NamedTuple

import numpy as np

from experiments.shared.command_words import path
from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.evaluate.comparison import task_of
from mpcl_jax.evaluate.jobs.keys import load_table_data
from mpcl_jax.evaluate.leaderboard import CONSTANTS, METHOD, OF_IDS
from mpcl_jax.evaluate.statistics import paired_comparison, subject_interval
from mpcl_jax.metrics import SMALLEST_SHARE, scores
from mpcl_jax.model.personal_memory import adapt, write_trials
from mpcl_jax.runs.read_run import Tested, join_folds, read_json, read_tested
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import shell_command
from mpcl_jax.system.storage import replacing
from mpcl_jax.train.environment import code_version
from mpcl_jax.types import DataFileError

RECALLED, MEAN = f"{METHOD}, recalled by query", f"{METHOD}, mean surprise"
BY_FEATURES = ", recalled by features"


class Answers(NamedTuple):
    """What a run was tested on, and what its memory of people needs beside that."""

    tested: Tested
    query: np.ndarray  # [P, G, D] unit rows
    features: np.ndarray | None  # [P, 1, F] what baselines look at; None where it was not asked for
    sharpness: float  # 1/τ of the prototype banks


def read_answers(folder: pathlib.Path, with_features: bool) -> Answers:
    """What a run says and was told. Raises DataFileError naming the file that is missing or damaged."""
    tested = read_tested(folder)
    files = [folder / "folds" / f"{number:02d}" / "predictions.npz" for number in np.unique(tested.fold)]
    queries = [{"query": parse_npz(file)["query"]} for file in files]
    config = read_json(folder / "config.json")
    return Answers(
        tested,
        query=join_folds(folder, queries, len(tested.id))["query"],
        features=features_of(tested, resolve(config)) if with_features else None,
        sharpness=1.0 / config["model"]["memory"]["temperature"],
    )


def features_of(tested: Tested, config: Config) -> np.ndarray:
    """What the baselines of each fold saw of its tested windows [P, 1, F], read from the recordings again.

    Raises DataFileError where the recordings can not be read or lack a tested window.
    """
    table_data = load_table_data(config)
    names, found = np.array(row_ids(table_data.recordings)), {}
    for fold in table_data.split.folds:
        x = task_of(table_data.recordings, table_data.split.protocol, fold).x
        found |= dict(zip(names[fold.test].tolist(), x, strict=True))
    if lacking := [name for name in tested.id.tolist() if name not in found]:
        raise DataFileError(tested.folder, f"{lacking[0]} was tested and is not in the recordings")
    return np.stack([found[name] for name in tested.id.tolist()])[:, None]


def after(run: Answers, predicted, written: int, most: int, query, beta: float) -> dict[str, float]:
    """KL of every person, mean over the windows behind the first `most` trials, `written` of which were written.

    `query` [P, G, D] of every window is what the memory is asked with, `beta` its inverse temperature, 0 = the mean.
    """
    found = {}
    log_probs = np.log(np.maximum(predicted, SMALLEST_SHARE))
    for person in dict.fromkeys(run.tested.subject.tolist()):
        own = np.flatnonzero(run.tested.subject == person)
        trials = list(dict.fromkeys(run.tested.trial[own].tolist()))
        if len(trials) <= most:
            raise DataFileError(
                run.tested.folder, f"{person} has {len(trials)} trials: choose --most below that"
            )
        known = own[np.isin(run.tested.trial[own], trials[:written])]
        args = own[np.isin(run.tested.trial[own], trials[most:])]
        answer = log_probs[args]
        if written:
            memory = write_trials(
                run.tested.trial[known], query[known], log_probs[known], run.tested.reported[known]
            )
            answer = adapt(answer, query[args], memory, beta)
        shares = np.exp(answer)
        found[person] = scores(run.tested.reported[args], shares / shares.sum(1, keepdims=True))["kl"].mean()
    return found


def measure(run: Answers, most: int) -> dict[tuple[str, int], dict[str, float]]:
    """(method, n) -> KL by person."""
    said = {**run.tested.baselines, METHOD: run.tested.predicted}
    rows = {MEAN if name == METHOD else name: (shares, run.query, 0.0) for name, shares in said.items()}
    if run.features is not None:
        looking = {name: shares for name, shares in said.items() if name not in (*CONSTANTS, *OF_IDS)}
        rows |= {f"{name}{BY_FEATURES}": (x, run.features, run.sharpness) for name, x in looking.items()}
    rows[RECALLED] = run.tested.predicted, run.query, run.sharpness
    return {
        (name, n): after(run, shares, n, most, query, beta)
        for name, (shares, query, beta) in rows.items()
        for n in range(most + 1)
    }


def mean_over_seeds(of_runs: list[dict]) -> dict[tuple[str, int], np.ndarray]:
    """(method, n) -> KL of each person [people], mean over runs of the same people."""
    return {key: np.mean([list(one[key].values()) for one in of_runs], axis=0) for key in of_runs[0]}


def report(found: dict[tuple[str, int], np.ndarray]) -> list[dict[str, str]]:
    """A row per method and n: interval over people, difference to n = 0, and to MPCL with recall at the same n."""
    rows = []
    for (method, n), kl in found.items():
        low, high = subject_interval(kl)
        row = {
            "method": method,
            "trials": n,
            "kl": f"{kl.mean():.4f}",
            "interval": f"[{low:.4f}, {high:.4f}]",
        }
        row["against_none"] = difference(kl, found[method, 0]) if n else ""
        row["minus_recalled"] = "" if method == RECALLED else difference(kl, found[RECALLED, n])
        rows.append(row)
    return rows


def difference(kl: np.ndarray, other: np.ndarray) -> str:
    """ "+.0010 [-.0010, +.0030]": the first minus the second, person by person, 95 %."""
    against = paired_comparison(kl, other)
    return f"{against.difference:+.4f} [{against.low:+.4f}, {against.high:+.4f}]"


@any_output()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=path, nargs="+", help="folders of finished runs, seeds of one table")
    parser.add_argument("--most", type=int, default=3, help="trials of a person that may be written")
    parser.add_argument("--features", action="store_true", help="baselines recall too, by their features")
    parser.add_argument("--out", type=path, help="the .csv to write")
    args = parser.parse_args()
    try:
        of_runs = [measure(read_answers(folder, args.features), args.most) for folder in args.run]
    except (ConfigError, DataFileError) as mistake:
        sys.exit(f"error: {mistake}")
    rows = report(mean_over_seeds(of_runs))
    for row in rows:
        print(
            "  ".join(f"{value!s:>8}" if name != "method" else f"{value:32}" for name, value in row.items())
        )
    if args.out:
        with replacing(args.out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            file.write(
                f"# python -m experiments.tables.personal_memory {shell_command(sys.argv[1:])} · {code_version()}\n"
            )
            writer = csv.DictWriter(
                file,
                ["method", "trials", "kl", "interval", "against_none", "minus_recalled"],
                lineterminator="\n",
            )
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
