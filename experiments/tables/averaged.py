"""What averaging predictions is worth: over seeds (a small ensemble), over the windows of one trial, for all methods.

    python -m experiments.tables.averaged averaged_simulated --config configs/dataset.py
    python -m experiments.tables.averaged averaged_wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.averaged averaged_window80 --config configs/dmer.py --data SAMPLE.mat

The pieces are those of main_table.py with --baseline-seeds as many as --seeds (default 5): after it nothing is
trained. Averaged are predicted distributions, those of every method in the same way:

    one window, one seed   as in the main table
    seeds averaged         one prediction from all seeds, which costs as many trainings
    the trial so far       each window with those before it in its trial: can be had while recording
    the whole trial        all tested windows of a trial: only when it has ended
    seeds and whole trial  both

No label and no other trial is used, but the windows must be known to belong together: nothing is averaged over
trials where the files have no trials. Writes experiments/results/NAME.csv, .md, .tex and .png.
"""

from collections.abc import Iterable

import numpy as np

from experiments.shared import compared, series
from experiments.shared import table_command as command
from mpcl_jax.evaluate.comparison import wanted
from mpcl_jax.evaluate.jobs.keys import TableData, load_table_data
from mpcl_jax.evaluate.jobs.table_run import Fitted, complete, shares_of
from mpcl_jax.evaluate.leaderboard import CONSTANTS, METHOD, OF_IDS
from mpcl_jax.evaluate.statistics import paired_comparison
from mpcl_jax.evaluate.table_text import spoken
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
    said = compared.said_by(others, args.cache_dir)
    said[METHOD] = shares_of(mpcl, args.cache_dir)
    cases = [
        series.Case(name, compared.table_of(table_data, predicted, others))
        for name, predicted in averaged(said, table_data).items()
    ]
    verdicts = []
    for case in cases:
        verdicts += series.verdicts_of(case)
    found = {case.name: worth(case, cases[0]) for case in cases[1:]}
    verdicts += [beside(case) for case in cases]
    verdicts += [
        compared.difference_line(f"{METHOD}, {case}", of_case[METHOD], cases[0].table.over, to=ONE)
        for case, of_case in found.items()
    ]
    title = f"{table_data.recordings.name}, {table_data.split.protocol}: predictions averaged"
    series.write(args, cases, "averaged over", title, verdicts, picture(found))


def averaged(
    said: dict[str, list[np.ndarray]], table_data: TableData
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Case -> method -> [N, C] of each seed, from what every method said [N, C] with each seed."""
    seeds = {name: [np.mean(of_seeds, axis=0)] for name, of_seeds in said.items()}
    cases = {ONE: said, SEEDS: seeds}
    if not has_trials(table_data.recordings):
        print("note   the files have no trials: nothing is averaged over windows")
        return cases
    test = np.concatenate([fold.test for fold in table_data.split.folds])
    trial, start = table_data.recordings.trial[test], table_data.recordings.start[test]
    fold = np.repeat(
        np.arange(len(table_data.split.folds)), [len(one.test) for one in table_data.split.folds]
    )
    groups = list(in_time(fold, trial, start))
    for case, of, average in ((SO_FAR, said, so_far), (TRIAL, said, whole), (BOTH, seeds, whole)):
        cases[case] = {name: [over(x, groups, average) for x in of_seeds] for name, of_seeds in of.items()}
    return cases


def has_trials(recordings: Recordings) -> bool:
    """Whether `trial` and `start` say which windows follow each other."""
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


def looks_at_signals(method: str) -> bool:
    """Whether a row's method is more than a constant or what the ids say."""
    return method not in (*CONSTANTS, *OF_IDS)


def beside(case: series.Case) -> str:
    """The best of the baselines that look at signals, averaged as MPCL is, against it."""
    rows = [row for row in case.table.rows if looks_at_signals(row.method) and row.method != METHOD]
    best = min(rows, key=lambda row: row.mean["kl"]).method
    found = compared.against_mpcl(case.table)[best]
    return compared.difference_line(f"{case.name}: best of signals, {spoken(best)}", found, case.table.over)


def worth(case: series.Case, one: series.Case) -> dict[str, compared.Found]:
    """What a case is worth to each method that looks at signals: its KL minus that of one window and one seed.

    Corrected for the methods of the case.
    """
    alone = {row.method: row.per_unit for row in one.table.rows}
    weight = case.table.unit_weight
    return compared.decided(
        {
            row.method: paired_comparison(row.per_unit, alone[row.method], weight=weight)
            for row in case.table.rows
            if looks_at_signals(row.method)
        }
    )


def picture(found: dict[str, dict[str, compared.Found]]):
    """What averaging is worth: a line per case and method."""
    lines = {
        f"{case}: {spoken(method)}": one for case, methods in found.items() for method, one in methods.items()
    }
    return compared.picture_of(lines, f"KL minus KL of {ONE}, 95 %; left of 0: averaging helps")


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make)
