"""Each trial of a held-out subject is predicted after all earlier trials of that subject were written.

    python -m experiments.tables.sequential walking --out experiments/results/sequential_walking.csv
    python -m experiments.tables.sequential emopaircompete --methods train_mean ridge extra_trees mlp MPCL

Reads a folder in the folder format, whose rows are in the order of time. Subjects are held out in five folds. Every
method is measured without a memory, with the shrunk mean residual, and with recall of residuals by a Gaussian process
over views of a trial: its features, the method's own log p, for MPCL its query, all of them, and all of them with the
number of the trial. Shrinkage, gains, widths and blend are learned on training subjects, from predictions of inner
folds that held them out; a memory that does not help them is off in that fold. The KL is a mean over the windows of a
trial, its trials, then subjects. Differences are to the same method without a memory, and to MPCL with all views;
p values are corrected by Holm over the rows of each column. Prints a table and writes a CSV file.

In EmoPairCompete D1_2_ID_3 and D1_2_ID_6 hold the same windows: delete D1_2_ID_6.npz before.
"""

import argparse
import sys
from collections.abc import Iterator

import numpy as np

import mpcl_jax as mpcl
from experiments.shared.table_command import ending, path, positive, shown_command, write_rows
from mpcl_jax.baselines import registry
from mpcl_jax.config.data import ProtocolConfig
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.evaluation.sequential import PROTOCOL, BasePredictions, after_earlier_trials, predict_base
from mpcl_jax.evaluation.statistics import decide, paired_comparison, subject_interval
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, QUERY, TIME
from mpcl_jax.system.output import any_output

METHODS = ("train_mean", "ridge", "extra_trees", "mlp", METHOD)
NONE, ALL = "none", "all views"
MEMORIES = {
    "mean residual": (),
    "features": (FEATURES,),
    "own log p": (LOG_PROBS,),
    "query": (QUERY,),
    ALL: (FEATURES, LOG_PROBS, QUERY),
    "all views and time": (FEATURES, LOG_PROBS, QUERY, TIME),
}
Found = dict[tuple[str, str], np.ndarray]  # (method, memory) -> KL of each subject [S]


def predictions_of(
    recordings, method: str, folds: int, seeds: int, tries: int
) -> Iterator[list[BasePredictions]]:
    """For each seed the base predictions of `method` in every fold."""
    split = make_split(recordings, ProtocolConfig(kind=PROTOCOL, folds=folds))
    config = mpcl.MPCLRegressor().to_config()
    for seed in range(seeds):
        yield [predict_base(recordings, fold, method, config, seed, tries) for fold in split.folds]


def measure(of_folds: list[BasePredictions]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """memory -> KL of each subject of all folds, and in how many folds the memory was on."""
    views = of_folds[0].tested.views
    found, used = (
        {NONE: np.concatenate([after_earlier_trials(base, None)[0] for base in of_folds])},
        {NONE: 0},
    )
    for memory, wanted in MEMORIES.items():
        if QUERY in wanted and QUERY not in views and memory == "query":
            continue
        results = [after_earlier_trials(base, wanted) for base in of_folds]
        found[memory] = np.concatenate([kl for kl, _ in results])
        used[memory] = sum(learned.kernel is not None for _, learned in results)
    return found, used


def report(found: Found, used: dict[tuple[str, str], int]) -> list[dict[str, str]]:
    """A row of each method and memory: KL, its interval over subjects, and the two differences."""
    without = _differences(found, {key: (key[0], NONE) for key in found if key[1] != NONE})
    ours = (METHOD, ALL)
    against = _differences(found, {key: ours for key in found if key != ours} if ours in found else {})
    rows = []
    for key, kl in found.items():
        low, high = subject_interval(kl)
        row = {"method": key[0], "memory": key[1], "folds_on": used[key], "kl": f"{kl.mean():.4f}"}
        row["interval"] = f"[{low:.4f}, {high:.4f}]"
        rows.append(row | {"minus_none": without.get(key, ""), "minus_mpcl_all_views": against.get(key, "")})
    return rows


def _differences(found: Found, pairs: dict) -> dict[tuple[str, str], str]:
    """ "-0.0010 [-0.0020, -0.0001], p 0.030" of each pair of keys: the first minus the second, p after Holm."""
    compared = decide([paired_comparison(found[a], found[b]) for a, b in pairs.items()])
    return {
        key: f"{x.difference:+.4f} [{x.low:+.4f}, {x.high:+.4f}], p {x.corrected:.3f}"
        for key, x in zip(pairs, compared, strict=True)
    }


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("folder", type=path, help="recordings in the folder format")
    parser.add_argument("--methods", nargs="+", default=METHODS, help=f"{METHOD} and names of baselines")
    parser.add_argument("--folds", type=positive, default=5, help="folds of subjects")
    parser.add_argument("--seeds", type=positive, default=1, help="seeds whose KL is averaged")
    parser.add_argument("--tries", type=positive, default=6, help="settings that a baseline compares")
    parser.add_argument("--out", type=path, help="the .csv to write")
    args = parser.parse_args(words)
    with ending():
        for name in args.methods:
            if name != METHOD:
                registry.get(name)
        recordings, found, used = mpcl.load_dataset("folder", args.folder), {}, {}
        for method in args.methods:
            of_seeds = predictions_of(recordings, method, args.folds, args.seeds, args.tries)
            measured = [measure(of_folds) for of_folds in of_seeds]
            for memory in measured[0][0]:
                found[method, memory] = np.mean([kl[memory] for kl, _ in measured], axis=0)
                used[method, memory] = measured[0][1][memory]
            print(f"{method} is done", file=sys.stderr, flush=True)
        write_rows(report(found, used), args.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
