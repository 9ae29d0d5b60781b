"""Calibration of predictions of finished runs: reliability slope and gain by confidence, for MPCL and every baseline.

    python -m experiments.tables.calibration runs/wesad
    python -m experiments.tables.calibration runs/table/wesad_loso/seed_* --out calibration_wesad.csv

m is the train mean, p the prediction, y the reported distribution.

    slope              Σ (y − m)(p − m) / Σ (p − m)² over windows and emotions of a subject. 1 = calibrated,
                       below 1 = overconfident, above 1 = underconfident.
    gain_confident     KL(y ‖ m) − KL(y ‖ p) in the half of a subject's windows with the highest confidence KL(p ‖ m)
    gain_unconfident   the same in the other half; lower than gain_confident where the confidence is informative

"MPCL, confidence by similarity" orders the windows by their similarity to the nearest prototypes instead,
max over emotions of Σ_g logsumexp_k(s_g).

Means over subjects, 95 % by bootstrap over subjects. The train mean has no confidence and no row. Several runs are
seeds of one table. Prints a table and writes a CSV file.
"""

import argparse
import sys

import numpy as np
from scipy.special import logsumexp, rel_entr

from experiments.shared.table_command import ending, path, shown_command, write_rows
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.evaluation.leaderboard import METHOD, REFERENCE
from mpcl_jax.evaluation.statistics import subject_interval
from mpcl_jax.runs.read_run import Tested, join_folds, read_json, read_tested
from mpcl_jax.system.output import any_output

WHAT = ("slope", "gain_confident", "gain_unconfident")
BY_SIMILARITY = "MPCL, confidence by similarity"
NO_CONFIDENCE = 1e-12  # Σ (p − m)² of a subject, below which there is no slope


def confidence_of(predicted, mean) -> np.ndarray:
    """KL(p ‖ m) [P]."""
    return rel_entr(predicted.astype(float), mean).sum(1)


def of_subject(reported, predicted, mean, confidence) -> np.ndarray:
    """slope, gain_confident and gain_unconfident [3] of one subject; distributions [P, C], rows sum to 1.

    `confidence` [P] orders the windows. NaN where p = m (slope), or where there is a single window (a gain).
    """
    away = predicted - mean
    total = (away**2).sum()
    slope = ((reported - mean) * away).sum() / total if total > NO_CONFIDENCE else np.nan
    gain = rel_entr(reported, mean).sum(1) - rel_entr(reported, predicted).sum(1)
    order = np.argsort(-confidence, kind="stable")
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    return np.array([slope, *(gain[half].mean() if len(half) else np.nan for half in halves)])


def measure(run: Tested) -> dict[str, np.ndarray]:
    """Method -> [subjects, 3]. Raises DataError for a missing or damaged file."""
    mean = run.baselines[REFERENCE].astype(float)
    methods = {METHOD: (run.predicted, confidence_of(run.predicted, mean))}
    if read_json(run.folder / "config.json")["model"]["memory"]["enabled"]:
        methods[BY_SIMILARITY] = (run.predicted, similarity_of(run))
    methods |= {n: (x, confidence_of(x, mean)) for n, x in run.baselines.items() if n != REFERENCE}
    subjects = [run.subject == name for name in dict.fromkeys(run.subject.tolist())]
    reported = run.reported.astype(float)
    return {
        name: np.stack(
            [of_subject(reported[own], p[own].astype(float), mean[own], confidence[own]) for own in subjects]
        )
        for name, (p, confidence) in methods.items()
    }


def similarity_of(run: Tested) -> np.ndarray:
    """Similarity of each window to the nearest prototypes, max_c Σ_g logsumexp_k(s_g) [P]."""
    files = [run.folder / "folds" / f"{number:02d}" / "predictions.npz" for number in np.unique(run.fold)]
    folds = [{"similarity": parse_npz(file)["similarity"]} for file in files]
    similarity = join_folds(run.folder, folds, len(run.id))["similarity"].astype(float)  # [P, G, C, K]
    return logsumexp(similarity, axis=-1).sum(axis=1).max(axis=1)


def rows_of(of_runs: list[dict[str, np.ndarray]]) -> list[dict[str, str]]:
    """A row per method: means over subjects and seeds, with intervals over subjects."""
    rows = []
    for method in of_runs[0]:
        of_subjects = np.mean([found[method] for found in of_runs], axis=0)
        row = {"method": method}
        for name, values in zip(WHAT, of_subjects.T, strict=True):
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
    with ending():
        rows = rows_of([measure(read_tested(folder)) for folder in args.run])
        write_rows(rows, args.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
