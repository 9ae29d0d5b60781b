"""Learning curve: KL of all methods by the number of training subjects, or of labelled trials a subject.

    python -m experiments.tables.learning_curve curve_simulated --config configs/dataset.py
    python -m experiments.tables.learning_curve curve_wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.learning_curve labels_wesad --of trials --config configs/wesad.py --data WESAD
    python -m experiments.tables.learning_curve curve_dmer --config configs/dmer_groups.py --data SAMPLE.mat

MPCL with and without its memory, and all baselines. The test rows of every fold stay the same. The training part
keeps n subjects, or n trials of every subject; with fewer than three training subjects, n trials in all. Each of
--seeds (default 3) draws its own; a smaller n is a subset of a larger one. Each draw is a manifest in the cache.
Four sizes by default, eight with --large; every fold. Writes NAME.csv, NAME_differences.csv and NAME.png into
experiments/results.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from experiments.shared import compared, series
from experiments.shared import table_command as command
from experiments.shared.comparison_plots import Curve, curves
from mpcl_jax.baselines.registry import wanted
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.manifest import Fold, in_order
from mpcl_jax.evaluation.jobs.keys import TableData, load_table_data, with_split
from mpcl_jax.evaluation.jobs.table_run import Fitted, Trained, complete
from mpcl_jax.evaluation.leaderboard import METHOD, count_of
from mpcl_jax.train.interrupt import StopRequest

WITHOUT = "MPCL without memory"
FEWEST = 3  # training subjects of a fold; with fewer, trials are counted
SUBJECTS, TRIALS = "subjects", "trials"


class Units(NamedTuple):
    """The units of which n are kept, of each `within`."""

    what: str  # "subjects", "trials a subject", "label groups"
    ids: np.ndarray  # [N] str, of each row
    within: np.ndarray  # [N] str; one value = n in all


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole experiment."""
    table_data = load_table_data(args.config)
    command.describe(table_data)
    units = units_of(table_data, args.of)
    rows = {
        n: [
            rows_of(smaller(args.config, table_data, units, n, seed, args.cache_dir), table_data, seed)
            for seed in range(args.seeds)
        ]
        for n in sizes(table_data, units, 8 if args.large else 4)
    }
    complete(
        [row for of_n in rows.values() for draw in of_n for row in draw], args.cache_dir, args.workers, stop
    )
    cases = [
        series.Case(named(n, units.what), table_of(table_data, of_n, args.cache_dir))
        for n, of_n in rows.items()
    ]
    found = [x for case in cases for x in series.differences_of(case, [WITHOUT])]
    lines = [
        Curve(name, list(rows), [r.mean["kl"] for r in of_n], [r.low for r in of_n], [r.high for r in of_n])
        for name, of_n in series.methods_of(cases).items()
        if name != "uniform"
    ]
    figure = curves(lines, across=f"training {units.what}", up=f"KL, 95 % over {cases[0].table.over}")
    title = f"{table_data.recordings.name}, {table_data.split.protocol}: training {units.what}"
    series.write(args, cases, f"training {units.what}", title, found, figure)


def units_of(table_data: TableData, of: str) -> Units:
    """Subjects or, `of` "trials", the trials of each; trials in all where a training part has few subjects."""
    recordings = table_data.recordings
    together = np.full(len(recordings.subject), "")
    if min(len(set(recordings.subject[fold.train])) for fold in table_data.split.folds) < FEWEST:
        return Units(recordings.trial_name, recordings.trial, together)
    if of == TRIALS:
        return Units(f"{recordings.trial_name} a subject", recordings.trial, recordings.subject)
    return Units(SUBJECTS, recordings.subject, together)


def named(n: int, what: str) -> str:
    """ "1 trial a subject", "3 subjects"."""
    first, *rest = what.split(" a ")
    return " a ".join([count_of(n, first), *rest])


def sizes(table_data: TableData, units: Units, count: int) -> list[int]:
    """Up to `count` numbers of units, from 1 to what the smallest training part has, evenly on a log scale."""
    most = min(
        len(set(ids)) for fold in table_data.split.folds for ids in kept_apart(units, fold.train).values()
    )
    return sorted(set(np.geomspace(1, most, count).round().astype(int).tolist()))


def kept_apart(units: Units, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The units of `rows`, of each `within`."""
    ids, within = units.ids[rows], units.within[rows]
    return {name: ids[within == name] for name in in_order(within)}


def smaller(
    config: Config, table_data: TableData, units: Units, n: int, draw: int, cache_dir: pathlib.Path
) -> Config:
    """The config with a manifest whose training parts keep `n` units.

    The folds that are not run keep `n` too: the longest training part determines the number of batches of an epoch.
    """
    folds = list(table_data.whole.folds)
    for number, fold in enumerate(folds):
        rng = np.random.default_rng([draw, number])
        parts = kept_apart(units, fold.train).values()
        drawn = np.concatenate([rng.permutation(in_order(ids))[:n] for ids in parts])
        train = fold.train[np.isin(units.ids[fold.train], drawn)]
        folds[number] = Fold(fold.name, "", train, fold.validation, fold.test)
    return compared.with_folds(config, table_data, folds, cache_dir)


def rows_of(config: Config, base: TableData, seed: int) -> tuple[Trained, Trained, Fitted]:
    """MPCL, the same without its memory, and all baselines on one draw."""
    table_data, seeds = with_split(base, config), range(seed, seed + 1)
    mpcl = Trained(METHOD, config, table_data, seeds)
    without = mpcl._replace(name=WITHOUT, config=compared.changed(config, compared.NO_MEMORY))
    return mpcl, without, Fitted(wanted(config.benchmark), config, table_data, seeds)


def table_of(table_data: TableData, draws: list[tuple[Trained, Trained, Fitted]], cache_dir: pathlib.Path):
    """The table of one size: every draw counts as a seed."""
    predicted: dict[str, list[np.ndarray]] = {}
    for rows in draws:
        for name, of_draw in compared.predictions_of_all(rows, cache_dir).items():
            predicted.setdefault(name, []).extend(of_draw)
    return compared.table_of(table_data, predicted, draws[0][-1])


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make, seeds=3, of=(SUBJECTS, TRIALS))
