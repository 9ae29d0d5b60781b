"""Each trial of a held-out subject is predicted after all earlier trials of that subject were written.

    python -m experiments.tables.sequential walking --out experiments/results/sequential_walking.csv
    python -m experiments.tables.sequential emopaircompete --methods ridge extra_trees mlp MPCL --cache jobs

Reads a folder in the folder format, whose rows are in the order of time. `mpcl.evaluate` with the protocol
`sequential` trains and tests every method in folds of subjects; here its table is shown for every memory, not only
for the one that each fold chose: none, the shrunk mean residual, and recall of residuals by a Gaussian process over
a trial's features, the method's own log p, for MPCL its query, and all of them. A memory that does not help the
training subjects is off in that fold. The KL is a mean over the windows of a trial, its trials, then subjects.
Differences are to the same method without a memory, and to MPCL with the memory that each fold chose; p values are
corrected by Holm over the rows of each column. Prints a table and writes a CSV file.

In EmoPairCompete D1_2_ID_3 and D1_2_ID_6 share windows; `experiments.datasets.emopaircompete` leaves D1_2_ID_6 out.
"""

import argparse
import sys

import numpy as np

import mpcl_jax as mpcl
from experiments.shared.table_command import ending, path, positive, shown_command, write_rows
from mpcl_jax.estimator.evaluation_table import EvaluationTable
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.evaluation.statistics import decide, paired_comparison, subject_interval
from mpcl_jax.evaluation.written_trials import kl_of_subjects, shares_after
from mpcl_jax.system.output import any_output
from mpcl_jax.train.fold_memory import NONE

METHODS = ("ridge", "extra_trees", "mlp", METHOD)
CHOSEN = "chosen"  # by each fold, on its training subjects
Found = dict[tuple[str, str], np.ndarray]  # (method, memory) -> KL of each subject [S]


def measure(table: EvaluationTable) -> tuple[Found, dict[tuple[str, str], int]]:
    """The KL of each method with each memory, and in how many folds of all seeds the memory is on."""
    found, used, tested = {}, {}, [fold.test for fold in table.split.folds]
    rows, data = np.concatenate(tested), table.recordings
    for method, seeds in table.memories.items():
        folds = [memory for of_seed in seeds for memory in of_seed]
        for name in (NONE, *folds[0].learned, CHOSEN):
            memory = None if name == CHOSEN else name
            shares = shares_after({method: seeds}, tested, None, memory)[method]
            own = data.labels[rows], data.subject[rows], data.trial[rows]
            found[method, name] = kl_of_subjects(*own, shares)
            kernels = (
                fold.kernel if name == CHOSEN else fold.learned[name].kernel if name != NONE else None
                for fold in folds
            )
            used[method, name] = sum(kernel is not None for kernel in kernels)
    return found, used


def report(found: Found, used: dict[tuple[str, str], int]) -> list[dict[str, str]]:
    """A row of each method and memory: KL, its interval over subjects, and the two differences."""
    without = _differences(found, {key: (key[0], NONE) for key in found if key[1] != NONE})
    ours = (METHOD, CHOSEN)
    against = _differences(found, {key: ours for key in found if key != ours} if ours in found else {})
    rows = []
    for key, kl in found.items():
        low, high = subject_interval(kl)
        row = {"method": key[0], "memory": key[1], "folds_on": used[key], "kl": f"{kl.mean():.4f}"}
        row["interval"] = f"[{low:.4f}, {high:.4f}]"
        rows.append(row | {"minus_none": without.get(key, ""), "minus_mpcl_chosen": against.get(key, "")})
    return rows


def _differences(found: Found, pairs: dict) -> dict[tuple[str, str], str]:
    """ "-0.0010 [-0.0020, -0.0001], p 0.030" of each pair of keys: the first minus the second, p after Holm."""
    compared = decide([paired_comparison(found[a], found[b]) for a, b in pairs.items()])
    return {
        key: f"{x.difference:+.4f} [{x.low:+.4f}, {x.high:+.4f}], p {x.corrected:.3f}"
        for key, x in zip(pairs, compared, strict=True)
    }


def parser_of(document: str) -> argparse.ArgumentParser:
    """The options of a table that `mpcl.evaluate` makes of a folder; `document`: the docstring of the script."""
    parser = argparse.ArgumentParser(description=document.splitlines()[0], allow_abbrev=False)
    parser.add_argument("folder", type=path, help="recordings in the folder format")
    parser.add_argument("--methods", nargs="+", default=METHODS, help=f"{METHOD} and names of baselines")
    parser.add_argument("--folds", type=positive, default=5, help="folds of subjects")
    parser.add_argument("--seeds", type=positive, default=1, help="seeds whose KL is averaged")
    parser.add_argument("--tries", type=positive, default=6, help="settings that a baseline compares")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 = one per core")
    parser.add_argument("--cache", type=path, help="folder that keeps finished jobs")
    parser.add_argument("--out", type=path, help="the .csv to write; a picture, if any, is beside it")
    return parser


def evaluated(args: argparse.Namespace, protocol: str, **settings) -> EvaluationTable:
    """The table of a script with the options of `parser_of`."""
    settings |= {name: getattr(args, name) for name in ("folds", "seeds", "tries", "workers", "cache")}
    return mpcl.evaluate(args.methods, mpcl.load_dataset("folder", args.folder), protocol, **settings)


@any_output()
def main(words: list[str]) -> None:
    args = parser_of(__doc__).parse_args(words)
    with ending():
        table = evaluated(args, "sequential")
        write_rows(report(*measure(table)), args.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
