"""The defaults of `MPCLRegressor` on small studies, against the train mean.

    python -m experiments.tables.small_studies --folders walking wesad_chest emopaircompete \
        --dmer dmer_feature_sample.mat --matlab ldl_sjaffe.mat

Problems: simulated recordings of 5, 8, 12 and 24 subjects; both halves of the subjects of every folder in the folder
format; the label groups of a DMER features file; the rows of a label-distribution benchmark (`features`, `labels`).
Each problem is split into five folds of whole subjects (trials of a single subject, rows of the benchmark);
the KL is a mean over rows. The defaults may be worse than the train mean by at most 2 % on every problem. Prints a
table and writes a CSV file.
"""

import argparse
import math
import pathlib
import sys
import time
from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import GroupKFold

import mpcl_jax as mpcl
from experiments.shared.table_command import ending, path, shown_command, write_rows
from mpcl_jax.metrics import kl
from mpcl_jax.types import Recordings, take

FOLDS = 5
SIMULATED = ((5, 8), (8, 8), (12, 6), (24, 6))  # subjects, clips
RESULT = "experiments/results/small_studies.csv"


def problems(args: argparse.Namespace) -> Iterator[tuple[str, Recordings]]:
    """Name and recordings of every problem."""
    for subjects, clips in SIMULATED:
        recordings = mpcl.load_dataset("simulated", subjects=subjects, clips=clips, windows=2)
        yield f"simulated, {subjects} subjects", recordings
    for folder in args.folders:
        recordings = mpcl.load_dataset("folder", folder)
        names = np.unique(recordings.subject)
        for half in (0, 1):
            own = take(recordings, np.isin(recordings.subject, names[half::2]))
            yield f"{pathlib.Path(folder).name}, half {half + 1}", own
    if args.dmer:
        yield "DMER, label groups", mpcl.load_dataset("dmer", args.dmer)
    if args.matlab:
        import scipy.io

        held = scipy.io.loadmat(args.matlab)
        rows = np.arange(len(held["labels"])).astype(str)
        name = pathlib.Path(args.matlab).stem
        yield name, mpcl.from_arrays({"face": held["features"]}, held["labels"], subject="all", trial=rows)


def measure(name: str, recordings: Recordings) -> dict[str, object]:
    """One row of the table."""
    several = len(np.unique(recordings.subject)) > 1
    group = recordings.subject if several else recordings.trial
    means, ours, epochs, begin = [], [], [], time.monotonic()
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(group, groups=group):
        fitted = mpcl.MPCLRegressor().fit(take(recordings, train))
        labels, mean = recordings.labels[test], recordings.labels[train].mean(0, dtype=np.float64)
        means.append(kl(labels, np.tile(mean, (len(test), 1))))
        ours.append(kl(labels, fitted.predict(take(recordings, test))))
        epochs.append(fitted.n_epochs_)
    mean, own = (float(np.concatenate(x).mean()) for x in (means, ours))
    return {
        "problem": name,
        "windows": len(group),
        "groups": len(np.unique(group)),
        "train_mean_kl": round(mean, 4),
        "mpcl_kl": round(own, 4),
        "difference_percent": round(100 * (own / mean - 1), 1),
        "epochs": " ".join(map(str, epochs)),
        "seconds_per_fit": math.ceil((time.monotonic() - begin) / FOLDS),
    }


def main() -> None:
    """Measures every problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", nargs="*", default=[], help="data sets in the folder format")
    parser.add_argument("--dmer", default="", help="a DMER features file")
    parser.add_argument("--matlab", default="", help="a label-distribution benchmark")
    parser.add_argument("--out", type=path, default=pathlib.Path(RESULT))
    args = parser.parse_args()
    with ending():
        rows = []
        for name, recordings in problems(args):
            rows.append(measure(name, recordings))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        write_rows(rows, args.out, shown_command("experiments.tables.small_studies", sys.argv[1:]))


if __name__ == "__main__":
    main()
