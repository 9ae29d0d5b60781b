"""Null calibration: how often the rule of the tables reports a difference where there is none.

    python -m experiments.tables.null_calibration
    python -m experiments.tables.null_calibration --worlds 20 --mpcl 2 --draws 50 --name null_smoke

A null data set takes the labels of one simulated data set and the signals of another: the signals identify subjects
and trials and are independent of the labels. Split, baselines with their searches, table and verdict are those of
every run; MPCL is the smallest model with all parts, on the first few data sets. Methods that learn noise are worse
than the train mean. The level of the test is therefore measured on equal methods: the same method with the signals of
two other data sets. Further measurements: the signals of the labels' own data set (power), differences with mean 0
from symmetric and skewed populations, and the coverage of BCa intervals over few subjects.

Writes NAME.csv (`signals`: equal, noise, planted) and NAME_differences.csv into experiments/results. A quarter of an
hour on two cores.
"""

import argparse
import collections
import dataclasses
import math
import pathlib
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import pandas as pd

from experiments.shared.render import RESULTS, markdown_of, read
from experiments.shared.table_command import shown_command
from mpcl_jax.config.data import ProtocolConfig, SimulateConfig
from mpcl_jax.config.resolve import default, resolve
from mpcl_jax.config.schema import BenchmarkConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation.comparison import make_run_table, predict_fold
from mpcl_jax.evaluation.leaderboard import METHOD, REFERENCE, Table
from mpcl_jax.evaluation.ranking import compare_with_focus
from mpcl_jax.evaluation.statistics import BETTER, WORSE, decide, paired_comparison, subject_interval
from mpcl_jax.evaluation.table_text import csv_text
from mpcl_jax.system.output import any_output
from mpcl_jax.system.storage import make_folder, write_text
from mpcl_jax.train.environment import code_version, machine
from mpcl_jax.train.folds import device_rows
from mpcl_jax.train.jax_settings import fix_jax_settings
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, prepare
from mpcl_jax.types import Recordings

WORLD = SimulateConfig(subjects=10, clips=6, windows=2, emotions=6)
PROTOCOL = ProtocolConfig(kind="subject_kfold", folds=5)
CHEAP = BenchmarkConfig(baselines=("train_mean", "knn", "ridge"))
TINY = {
    "model.width": 8,
    "model.tokens": 1,
    "model.fusion.heads": 2,
    "model.memory.slots": 2,
    "train.batch_size": 32,
    "train.epochs": 10,
    "train.checkpoint_every": 10,
    "train.learning_rate": 5e-3,
}
ALLOWED = 0.025  # one-sided
SUBJECTS = (6, 10, 15, 30)  # of the draws


def world(seed: int, *, null: bool, other: int = 1) -> Recordings:
    """Recordings whose signals come from another data set if `null`: the `other`-th one."""
    of_labels, _ = simulate(dataclasses.replace(WORLD, seed=seed))
    if not null:
        return of_labels
    of_signals, _ = simulate(dataclasses.replace(WORLD, seed=1_000_000 * other + seed))
    return of_labels._replace(signals=of_signals.signals)


def tiny_run(folder: pathlib.Path) -> Run:
    """A prepared run of the smallest model, whose compiled programs are used for all data sets."""
    settings = default()
    changes = {f"data.simulate.{name}": value for name, value in dataclasses.asdict(WORLD).items()}
    changes |= {f"protocol.{name}": value for name, value in dataclasses.asdict(PROTOCOL).items()}
    settings.update_from_flattened_dict(changes | TINY)
    return prepare(resolve(settings), folder)


def predict_mpcl(run: Run, recordings: Recordings, folder: pathlib.Path) -> np.ndarray:
    """Test predictions of all folds, in the order of the manifest, [P, C]."""
    folder.mkdir()
    rows = device_rows(recordings, run.program.replicated)
    own = run._replace(recordings=recordings, rows=rows, workdir=folder)
    return np.concatenate([fold.predicted for fold in train_folds(own)])


def table_on(recordings: Recordings, seed: int, mpcl: np.ndarray | None = None) -> Table:
    """The table of a run with cheap baselines; of the train mean and MPCL if its predictions are given."""
    split = make_split(recordings, PROTOCOL)
    names = CHEAP.baselines if mpcl is None else (REFERENCE,)
    folds = [predict_fold(recordings, split.protocol, fold, names, CHEAP, seed)[0] for fold in split.folds]
    predicted = {name: [np.concatenate([fold[name] for fold in folds])] for name in names}
    if mpcl is not None:
        predicted[METHOD] = [mpcl]
    return make_run_table(recordings, split, predicted, CHEAP.tries)


def count(worlds: int, verdicts: Callable[[int], dict[str, str]]) -> dict[str, collections.Counter]:
    """Method -> how often which verdict; `verdicts(seed)` are those of one data set."""
    found = collections.defaultdict(collections.Counter)
    for seed in range(worlds):
        for method, verdict in verdicts(seed).items():
            found[method][verdict] += 1
    return dict(found)


def count_verdicts(worlds: int, *, null: bool) -> dict[str, collections.Counter]:
    """Verdicts on baselines against the train mean."""

    def verdicts(seed):
        found = compare_with_focus(table_on(world(seed, null=null), seed))
        return {name: one.verdict for name, one in found.items()}

    return count(worlds, verdicts)


def count_mpcl(worlds: int, *, null: bool) -> dict[str, collections.Counter]:
    """The same for MPCL, with one compilation for all data sets."""
    with tempfile.TemporaryDirectory() as folder:
        run = tiny_run(pathlib.Path(folder) / "run")

        def verdicts(seed):
            recordings = world(seed, null=null)
            mpcl = predict_mpcl(run, recordings, pathlib.Path(folder) / f"{seed}")
            found = compare_with_focus(table_on(recordings, seed, mpcl))[REFERENCE]
            return {"MPCL (tiny)": found.turned().verdict}

        return count(worlds, verdicts)


def count_equal(worlds: int) -> dict[str, collections.Counter]:
    """Verdicts on a method against itself with the signals of another data set: exchangeable, therefore equal."""

    def verdicts(seed):
        tables = [table_on(world(seed, null=True, other=other), seed) for other in (1, 2)]
        first, second = ({row.method: row.per_unit for row in table.rows} for table in tables)
        pairs = {name: paired_comparison(first[name], second[name]) for name in ("knn", "ridge")}
        return {name: decide([pair])[0].verdict for name, pair in pairs.items()}

    return count(worlds, verdicts)


def populations() -> dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]]:
    """Name -> draws of differences with mean 0."""
    rows = read("wesad_loso_subjects")
    mpcl, ridge = (rows["kl"][rows["method"] == name].to_numpy() for name in (METHOD, "ridge"))
    real = mpcl - ridge - (mpcl - ridge).mean()
    return {
        "normal": lambda rng, shape: rng.standard_normal(shape),
        "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1,
        "MPCL − ridge": lambda rng, shape: rng.choice(real, shape),
    }


def few_subjects(subjects: int, draws: int) -> dict[str, tuple[float, float, float]]:
    """Population -> rates of better and worse, and of BCa intervals that contain the true mean, over `draws`."""
    found = {}
    for name, draw in populations().items():
        samples = draw(np.random.default_rng(subjects), (draws, subjects))
        verdicts = [decide([paired_comparison(x, np.zeros(subjects))])[0].verdict for x in samples]
        intervals = [subject_interval(x, seed=i) for i, x in enumerate(samples)]
        held = float(np.mean([low <= 0 <= high for low, high in intervals]))
        found[name] = (verdicts.count(BETTER) / draws, verdicts.count(WORSE) / draws, held)
    return found


def most_allowed(count: int) -> float:
    """2.5 % and two standard deviations of a share of `count` data sets."""
    return ALLOWED + 2 * math.sqrt(ALLOWED * (1 - ALLOWED) / count)


def rows_of(found: dict[str, collections.Counter], signals: str) -> list[list]:
    """A row per method: signals, method, data sets, rates of better and worse, the allowed rate."""
    lines = []
    for method, counts in found.items():
        count = counts.total()
        allowed = float("nan") if signals == "planted" else most_allowed(count)
        lines.append([signals, method, count, counts[BETTER] / count, counts[WORSE] / count, allowed])
    return lines


def write_results(name: str, lines: list[list], few: dict[int, dict[str, tuple]], made_by: dict) -> None:
    """Writes NAME.csv and NAME_differences.csv after every part, in case of an interruption."""
    make_folder(RESULTS)
    heads = ["signals", "method", "data_sets", "better", "worse", "allowed"]
    text = csv_text(pd.DataFrame(lines, columns=heads, dtype=object), **made_by)
    write_text(RESULTS / f"{name}.csv", text)
    if few:
        rows = [[n, population, *shares] for n, found in few.items() for population, shares in found.items()]
        heads = ["subjects", "differences", "better", "worse", "interval_contains_0"]
        text = csv_text(pd.DataFrame(rows, columns=heads, dtype=object), **made_by)
        write_text(RESULTS / f"{name}_differences.csv", text)


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--mpcl", type=int, default=20, help="data sets on which MPCL is trained too")
    parser.add_argument("--planted", type=int, default=20, help="data sets with informative signals")
    parser.add_argument("--draws", type=int, default=2000, help="samples of each population of differences")
    parser.add_argument("--name", default="null_calibration")
    args = parser.parse_args(words)
    fix_jax_settings()
    made_by = {"command": shown_command(__spec__.name, words), "commit": f"{code_version()} @ {machine()}"}
    few = {n: few_subjects(n, args.draws) for n in SUBJECTS} if args.draws else {}
    lines = rows_of(count_equal(args.worlds), "equal") if args.worlds else []
    write_results(args.name, lines, few, made_by)
    for signals, worlds in (("noise", args.worlds), ("planted", args.planted)):
        lines += rows_of(count_verdicts(worlds, null=signals == "noise"), signals) if worlds else []
    write_results(args.name, lines, few, made_by)
    for signals, worlds in (("noise", args.mpcl), ("planted", min(args.mpcl, args.planted))):
        lines += rows_of(count_mpcl(worlds, null=signals == "noise"), signals) if worlds else []
    write_results(args.name, lines, few, made_by)
    print(markdown_of(read(args.name)))


if __name__ == "__main__":
    main(sys.argv[1:])
