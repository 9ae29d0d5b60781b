"""Do predictions claim as much as they know? Of finished runs, for MPCL and every baseline.

    python -m experiments.tables.calibration runs/wesad
    python -m experiments.tables.calibration runs/table/wesad_loso/seed_* --out calibration_wesad.csv

A model that knows nothing says the train mean m; what it claims is how far its prediction p lies from there.

    slope   Σ (y − m)(p − m) / Σ (p − m)² over windows and emotions of a person: how much of a claim comes true.
            1 = as much as was claimed, below 1 = it claims too much, above 1 = it could have said more.
    bold    KL that it saves against m in that half of a person's windows where it claims most, KL(p ‖ m)
    timid   the same in the other half: a model whose doubt is worth something saves less there

"MPCL, doubt by memory" orders the windows of a person by how near they are to any prototype instead of by the claim,
max over emotions of Σ_g logsumexp_k(s_g): does the memory know what it has never seen?

Means over people, 95 % by bootstrap over people. The train mean claims nothing and has no row. Several runs are seeds
of one table. Prints and writes a .csv.
"""

import argparse
import csv
import sys

import numpy as np
from scipy.special import logsumexp, rel_entr

from experiments.shared.command_words import path
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.evaluate.leaderboard import METHOD, REFERENCE
from mpcl_jax.evaluate.statistics import subject_interval
from mpcl_jax.runs.read_run import Tested, join_folds, read_json, read_tested
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import shell_command
from mpcl_jax.system.storage import replacing
from mpcl_jax.train.environment import code_version
from mpcl_jax.types import DataFileError

WHAT = ("slope", "bold", "timid")
BY_MEMORY = "MPCL, doubt by memory"
CLAIMS_NOTHING = 1e-12  # Σ (p − m)² of a person, below which there is no slope


def claim_of(predicted, mean) -> np.ndarray:
    """How much a prediction claims, KL(p ‖ m) [P]."""
    return rel_entr(predicted.astype(float), mean).sum(1)


def of_person(reported, predicted, mean, certainty) -> np.ndarray:
    """slope, bold and timid [3] of one person's windows; distributions [P, C], rows sum to 1.

    `certainty` [P] orders the windows. NaN where nothing is claimed (slope), or where there is a single window (bold
    or timid).
    """
    claim = predicted - mean
    total = (claim**2).sum()
    slope = ((reported - mean) * claim).sum() / total if total > CLAIMS_NOTHING else np.nan
    saved = rel_entr(reported, mean).sum(1) - rel_entr(reported, predicted).sum(1)
    order = np.argsort(-certainty, kind="stable")
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    return np.array([slope, *(saved[half].mean() if len(half) else np.nan for half in halves)])


def measure(run: Tested) -> dict[str, np.ndarray]:
    """Method -> [people, 3]. Raises DataFileError for a missing or damaged file."""
    mean = run.baselines[REFERENCE].astype(float)
    methods = {METHOD: (run.predicted, claim_of(run.predicted, mean))}
    if read_json(run.folder / "config.json")["model"]["memory"]["enabled"]:
        methods[BY_MEMORY] = (run.predicted, nearness_of(run))
    methods |= {n: (x, claim_of(x, mean)) for n, x in run.baselines.items() if n != REFERENCE}
    people = [run.subject == person for person in dict.fromkeys(run.subject.tolist())]
    reported = run.reported.astype(float)

    def of_method(shares, certainty):
        return np.stack(
            [of_person(reported[own], shares[own].astype(float), mean[own], certainty[own]) for own in people]
        )

    return {name: of_method(*method) for name, method in methods.items()}


def nearness_of(run: Tested) -> np.ndarray:
    """How near each window came to any prototype, max_c Σ_g logsumexp_k(s_g) [P]."""
    files = [run.folder / "folds" / f"{number:02d}" / "predictions.npz" for number in np.unique(run.fold)]
    folds = [{"similarity": parse_npz(file)["similarity"]} for file in files]
    similarity = join_folds(run.folder, folds, len(run.id))["similarity"].astype(float)  # [P, G, C, K]
    return logsumexp(similarity, axis=-1).sum(axis=1).max(axis=1)


def rows_of(of_runs: list[dict[str, np.ndarray]]) -> list[dict[str, str]]:
    """A row per method: means over people and seeds, with intervals over people."""
    rows = []
    for method in of_runs[0]:
        people = np.mean([found[method] for found in of_runs], axis=0)
        row = {"method": method}
        for name, values in zip(WHAT, people.T, strict=True):
            values = values[np.isfinite(values)]
            low, high = subject_interval(values) if len(values) > 1 else (np.nan, np.nan)
            digits = 2 if name == "slope" else 4
            row |= {name: f"{values.mean():.{digits}f}" if len(values) else "nan"}
            row |= {f"{name}_interval": f"[{low:.{digits}f}, {high:.{digits}f}]"}
        rows.append(row)
    return rows


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("run", type=path, nargs="+", help="folders of finished runs, seeds of one table")
    parser.add_argument("--out", type=path, help="the .csv to write")
    args = parser.parse_args(words)
    try:
        rows = rows_of([measure(read_tested(folder)) for folder in args.run])
    except DataFileError as mistake:
        sys.exit(f"error: {mistake}")
    for row in rows:
        print("  ".join(f"{value:>17}" if name != "method" else f"{value:22}" for name, value in row.items()))
    if args.out:
        with replacing(args.out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            file.write(
                f"# python -m experiments.tables.calibration {shell_command(words)} · {code_version()}\n"
            )
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
