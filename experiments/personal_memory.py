"""What labelled trials of a new person are worth: n are written into a memory of that person, others predicted.

    python experiments/personal_memory.py runs/wesad
    python experiments/personal_memory.py runs/table/wesad_loso/seed_* --most 3

Of finished runs that hold people out; nothing is trained. The first n trials of each person, in the order of the
recording, are written (`mpcl_jax/model/personal_memory.py`); the trials behind the first --most are predicted, for
every n the same ones. Baselines have no queries: they get the mean surprise of the person, and so does MPCL in a row
of its own. `minus_recalled`: KL of a row minus that of MPCL with recall and as many trials. Neither κ = 1 nor β = 1/τ
was tuned. Several runs are seeds of one table. Prints and writes a .csv.
"""

import argparse
import csv
import pathlib
import sys
from typing import NamedTuple

import numpy as np

from mpcl_jax.batch import DataFileError
from mpcl_jax.benchmark.statistics import paired_comparison, subject_interval
from mpcl_jax.data.npz_reader import parse_npz
from mpcl_jax.environment import code_version
from mpcl_jax.inspection.run_files import join_folds, read_json
from mpcl_jax.inspection.tested import Tested, read_tested
from mpcl_jax.metrics import scores
from mpcl_jax.model.personal_memory import FLOOR, adapt, write_trials

RECALLED, MEAN = "MPCL, recalled by query", "MPCL, mean surprise"


class Answers(NamedTuple):
    """What a run was tested on, and what its memory of people needs beside that."""

    tested: Tested
    query: np.ndarray  # [P, G, D] unit rows
    sharpness: float  # 1/τ of the prototype banks


def read_answers(folder: pathlib.Path) -> Answers:
    """What a run says and was told. Raises DataFileError naming the file that is missing or damaged."""
    tested = read_tested(folder)
    files = [folder / "folds" / f"{number:02d}" / "predictions.npz" for number in np.unique(tested.fold)]
    queries = [{"query": parse_npz(file)["query"]} for file in files]
    return Answers(
        tested,
        query=join_folds(folder, queries, len(tested.id))["query"],
        sharpness=1.0 / read_json(folder / "config.json")["model"]["memory"]["temperature"],
    )


def after(run: Answers, predicted, written: int, most: int, beta: float) -> dict[str, float]:
    """KL of every person, mean over the windows behind the first `most` trials, `written` of which were written."""
    found = {}
    log_probs = np.log(np.maximum(predicted, FLOOR))
    for person in dict.fromkeys(run.tested.subject.tolist()):
        own = np.flatnonzero(run.tested.subject == person)
        trials = list(dict.fromkeys(run.tested.trial[own].tolist()))
        if len(trials) <= most:
            raise DataFileError(
                run.tested.folder, f"{person} has {len(trials)} trials: choose --most below that"
            )
        known = own[np.isin(run.tested.trial[own], trials[:written])]
        asked = own[np.isin(run.tested.trial[own], trials[most:])]
        answer = log_probs[asked]
        if written:
            memory = write_trials(
                run.tested.trial[known], run.query[known], log_probs[known], run.tested.reported[known]
            )
            answer = adapt(answer, run.query[asked], memory, beta)
        shares = np.exp(answer)
        found[person] = scores(run.tested.reported[asked], shares / shares.sum(1, keepdims=True))["kl"].mean()
    return found


def measure(run: Answers, most: int) -> dict[tuple[str, int], dict[str, float]]:
    """(method, n) -> KL by person."""
    rows = {name: (shares, 0.0) for name, shares in run.tested.baselines.items()}
    rows |= {MEAN: (run.tested.predicted, 0.0), RECALLED: (run.tested.predicted, run.sharpness)}
    return {
        (name, n): after(run, shares, n, most, beta)
        for name, (shares, beta) in rows.items()
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "run", type=pathlib.Path, nargs="+", help="folders of finished runs, seeds of one table"
    )
    parser.add_argument("--most", type=int, default=3, help="trials of a person that may be written")
    parser.add_argument("--out", type=pathlib.Path, help="the .csv to write")
    asked = parser.parse_args()
    try:
        of_runs = [measure(read_answers(folder), asked.most) for folder in asked.run]
    except DataFileError as mistake:
        sys.exit(f"error: {mistake}")
    rows = report(mean_over_seeds(of_runs))
    for row in rows:
        print(
            "  ".join(f"{value!s:>8}" if name != "method" else f"{value:24}" for name, value in row.items())
        )
    if asked.out:
        with asked.out.open("w", newline="", encoding="utf-8") as file:
            file.write(
                f"# python experiments/personal_memory.py {' '.join(sys.argv[1:])} · {code_version()}\n"
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
