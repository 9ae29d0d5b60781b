"""Averages predictions over seeds (a small ensemble) and over the windows of a trial, for all methods.

    python -m experiments.tables.averaged averaged_simulated --config configs/dataset.py
    python -m experiments.tables.averaged averaged_wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.averaged averaged_window80 --config configs/dmer.py --data SAMPLE.mat

It uses the jobs of main_table.py with --baseline-seeds equal to --seeds (default 5); after that table nothing is
trained. The predicted distributions of every method are averaged in the same way:

    one window, one seed   as in the main table
    seeds averaged         one prediction from all seeds; needs as many trainings
    the trial so far       each window with the earlier windows of its trial; possible during a recording
    the whole trial        all tested windows of a trial; possible after its end
    seeds and whole trial  both

No label and no other trial is used. Recordings without trials are averaged over seeds only. Writes NAME.csv,
NAME_differences.csv and NAME.png into experiments/results.
"""

from collections.abc import Iterable

import numpy as np

from experiments.shared import compared, series
from experiments.shared import table_command as command
from mpcl_jax.baselines.registry import wanted
from mpcl_jax.evaluation.jobs.keys import TableData, load_table_data
from mpcl_jax.evaluation.jobs.table_run import Fitted, complete
from mpcl_jax.evaluation.leaderboard import CONSTANTS, METHOD, OF_IDS
from mpcl_jax.evaluation.number_text import shown_name
from mpcl_jax.evaluation.statistics import Comparison, decide, paired_comparison
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.types import Recordings, knows_trials

ONE, SEEDS = "one window, one seed", "seeds averaged"
SO_FAR, TRIAL, BOTH = "the trial so far", "the whole trial", "seeds and whole trial"


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole experiment."""
    table_data = load_table_data(args.config)
    mpcl = compared.start(args, table_data)
    others = Fitted(wanted(args.config.benchmark), args.config, table_data, mpcl.seeds)
    complete([mpcl, others], args.cache_dir, args.workers, stop)
    predictions = compared.predictions_of_all((others, mpcl), args.cache_dir)
    cases = [
        series.Case(name, compared.table_of(table_data, predicted, others))
        for name, predicted in averaged(predictions, table_data).items()
    ]
    gains = {case.name: gain(case, cases[0]) for case in cases[1:]}
    found = [x for case in cases for x in series.differences_of(case, [best_of_signals(case)])]
    over = cases[0].table.over
    found += [compared.Difference(METHOD, x[METHOD], over, ONE, case) for case, x in gains.items()]
    title = f"{table_data.recordings.name}, {table_data.split.protocol}: predictions averaged"
    series.write(args, cases, "averaged over", title, found, picture(gains))


def averaged(
    predictions: dict[str, list[np.ndarray]], table_data: TableData
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Case -> method -> [N, C] of each seed, from the predictions [N, C] of every method with each seed."""
    seeds = {name: [np.mean(of_seeds, axis=0)] for name, of_seeds in predictions.items()}
    cases = {ONE: predictions, SEEDS: seeds}
    if not has_trials(table_data.recordings):
        print("note   the files have no trials: nothing is averaged over windows")
        return cases
    test = np.concatenate([fold.test for fold in table_data.split.folds])
    trial, start = table_data.recordings.trial[test], table_data.recordings.start[test]
    fold = np.repeat(
        np.arange(len(table_data.split.folds)), [len(one.test) for one in table_data.split.folds]
    )
    groups = list(in_time(fold, trial, start))
    for case, of, average in (
        (SO_FAR, predictions, so_far),
        (TRIAL, predictions, whole),
        (BOTH, seeds, whole),
    ):
        cases[case] = {name: [over(x, groups, average) for x in of_seeds] for name, of_seeds in of.items()}
    return cases


def has_trials(recordings: Recordings) -> bool:
    """Whether `trial` and `start` give the order of windows."""
    return knows_trials(recordings) and bool(np.isfinite(recordings.start).all())


def in_time(fold: np.ndarray, trial: np.ndarray, start: np.ndarray) -> Iterable[np.ndarray]:
    """The rows of each trial of each fold, from the earliest window to the last; all arguments [N]."""
    for key in dict.fromkeys(zip(fold.tolist(), trial.tolist(), strict=True)):
        rows = np.flatnonzero((fold == key[0]) & (trial == key[1]))
        yield rows[np.argsort(start[rows], kind="stable")]


def over(predicted: np.ndarray, groups: Iterable[np.ndarray], average) -> np.ndarray:
    """`average` of the predictions [N, C] of each group of rows."""
    out = np.empty(predicted.shape)
    for rows in groups:
        out[rows] = average(predicted[rows].astype(float))
    return out


def so_far(shares: np.ndarray) -> np.ndarray:
    """Mean of each row and all before it [n, C]."""
    return np.cumsum(shares, axis=0) / np.arange(1, len(shares) + 1)[:, None]


def whole(shares: np.ndarray) -> np.ndarray:
    """The mean of all rows, [1, C] for [n, C]."""
    return shares.mean(axis=0, keepdims=True)


def uses_signals(method: str) -> bool:
    """Whether a method uses signals, not only constants or ids."""
    return method not in (*CONSTANTS, *OF_IDS)


def best_of_signals(case: series.Case) -> str:
    """The best baseline that uses signals."""
    rows = [row for row in case.table.rows if uses_signals(row.method) and row.method != METHOD]
    return min(rows, key=lambda row: row.mean["kl"]).method


def gain(case: series.Case, one: series.Case) -> dict[str, Comparison]:
    """KL of each method that uses signals minus its KL with one window and one seed; corrected for these methods."""
    alone = {row.method: row.per_unit for row in one.table.rows}
    rows = [row for row in case.table.rows if uses_signals(row.method)]
    found = [
        paired_comparison(row.per_unit, alone[row.method], weight=case.table.unit_weight) for row in rows
    ]
    return dict(zip([row.method for row in rows], decide(found), strict=True))


def picture(gains: dict[str, dict[str, Comparison]]):
    """A line per case and method."""
    lines = {
        f"{case}: {shown_name(name)}": one for case, methods in gains.items() for name, one in methods.items()
    }
    return compared.picture_of(lines, f"KL minus KL of {ONE}, 95 %; left of 0: averaging helps")


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make)
