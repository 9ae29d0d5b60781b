"""How often the harness says "better than the train mean" where there is nothing to find.

    python experiments/null_calibration.py
    python experiments/null_calibration.py --worlds 20 --mpcl 2 --draws 50 --name null_smoke

A null data set takes the labels of one simulated world and the signals of another, so signals know people and trials
but nothing of the labels. Split, baselines with their searches, table and verdict are those of every run; MPCL is the
smallest model that has every part, on the first few worlds. Beside it: the same with the signals of the labels' own
world (what the harness does find), and how often a BCa interval over few people holds the truth.

Writes experiments/results/NAME.csv and .md. A quarter of an hour on two cores.
"""

import argparse
import collections
import dataclasses
import math
import pathlib
import platform
import tempfile

import numpy as np

from mpcl_jax.batch import Recordings
from mpcl_jax.benchmark.comparison import predict_fold
from mpcl_jax.benchmark.leaderboard import Result, make_table
from mpcl_jax.benchmark.statistics import BETTER, WORSE, subject_interval
from mpcl_jax.config import default, resolve
from mpcl_jax.data.protocols import make_split
from mpcl_jax.data.settings import ProtocolConfig, SimulateConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.environment import code_version
from mpcl_jax.settings import BenchmarkConfig
from mpcl_jax.train.folds import device_rows
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.progress import MetricsLog
from mpcl_jax.train.run import Run, prepare

RESULTS = pathlib.Path(__file__).parent / "results"
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
ALLOWED = 0.05
PEOPLE = (4, 6, 10, 15, 30)  # of the intervals


def world(seed: int, *, null: bool) -> Recordings:
    """Recordings whose signals come from another world if `null`."""
    of_labels, _ = simulate(dataclasses.replace(WORLD, seed=seed))
    if not null:
        return of_labels
    of_signals, _ = simulate(dataclasses.replace(WORLD, seed=1_000_000 + seed))
    return of_labels._replace(signals=of_signals.signals)


def tiny_run(folder: pathlib.Path) -> Run:
    """A prepared run of the smallest model, whose compiled programs serve every world."""
    settings = default()
    changes = {f"data.simulate.{name}": value for name, value in dataclasses.asdict(WORLD).items()}
    changes |= {f"protocol.{name}": value for name, value in dataclasses.asdict(PROTOCOL).items()}
    settings.update_from_flattened_dict(changes | TINY)
    return prepare(resolve(settings), folder)


def predict_mpcl(run: Run, recordings: Recordings, folder: pathlib.Path) -> np.ndarray:
    """Test predictions of all folds, in the order of the manifest, [P, C]."""
    folder.mkdir()
    rows = device_rows(recordings, run.program.replicated)
    logs = {name: MetricsLog(folder / f"{name}.jsonl") for name in ("log", "skips")}
    own = run._replace(recordings=recordings, rows=rows, workdir=folder, **logs)
    return np.concatenate([fold.predicted for fold in train_folds(own)])


def verdicts(recordings: Recordings, seed: int, mpcl: np.ndarray | None = None) -> dict[str, str]:
    """Method -> its verdict against the train mean, from the table that a run makes; of MPCL alone if it is given."""
    split = make_split(recordings, PROTOCOL)
    names = CHEAP.baselines if mpcl is None else ("train_mean",)
    folds = [predict_fold(recordings, split.protocol, fold, names, CHEAP, seed)[0] for fold in split.folds]
    predicted = {name: np.concatenate([fold[name] for fold in folds]) for name in names}
    if mpcl is not None:
        predicted["MPCL"] = mpcl
    test = np.concatenate([fold.test for fold in split.folds])
    table = make_table(
        [Result(name, values, split.sha256) for name, values in predicted.items()],
        recordings.labels[test],
        recordings.subject[test],
        recordings.trial[test],
        split.sha256,
        leaky=split.leaky,
    )
    return {answer.method: answer.comparison.verdict for answer in table.verdicts}


def count_verdicts(worlds: int, *, null: bool) -> dict[str, collections.Counter]:
    """Baseline -> how often which verdict, over `worlds` data sets."""
    found = collections.defaultdict(collections.Counter)
    for seed in range(worlds):
        for method, verdict in verdicts(world(seed, null=null), seed).items():
            found[method][verdict] += 1
    return dict(found)


def count_mpcl(worlds: int, *, null: bool) -> dict[str, collections.Counter]:
    """The same for MPCL, with one compilation for all data sets."""
    found = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        run = tiny_run(pathlib.Path(folder) / "run")
        for seed in range(worlds):
            recordings = world(seed, null=null)
            mpcl = predict_mpcl(run, recordings, pathlib.Path(folder) / f"{seed}")
            found[verdicts(recordings, seed, mpcl)["MPCL"]] += 1
    return {"MPCL (tiny)": found}


def coverage(people: int, draws: int) -> dict[str, float]:
    """How often the 95 % interval over `people` holds the true mean, of a symmetric and a skewed population."""
    rng = np.random.default_rng(people)
    held = {}
    for name, draw, mean in (("normal", rng.standard_normal, 0.0), ("skewed", rng.standard_exponential, 1.0)):
        intervals = [subject_interval(draw(people), seed=i) for i in range(draws)]
        held[name] = float(np.mean([low <= mean <= high for low, high in intervals]))
    return held


def most_allowed(count: int) -> float:
    """5 % and two standard deviations of a share of `count` data sets."""
    return ALLOWED + 2 * math.sqrt(ALLOWED * (1 - ALLOWED) / count)


def rows_of(found: dict[str, collections.Counter], signals: str) -> list[list]:
    """A line per method: signals, method, data sets, shares called better and worse, what is allowed."""
    lines = []
    for method, counts in found.items():
        count = counts.total()
        allowed = most_allowed(count) if signals == "noise" else float("nan")
        lines.append([signals, method, count, counts[BETTER] / count, counts[WORSE] / count, allowed])
    return lines


def to_text(lines: list[list], covered: dict[int, dict[str, float]], made_by: str) -> str:
    """The two tables in Markdown."""
    text = ["# Null calibration", "", made_by, "", '"Better than the train mean", by signals:', ""]
    text += ["| signals | method | data sets | better | worse | allowed |", "|---|---|--:|--:|--:|--:|"]
    for signals, method, count, better, worse, allowed in lines:
        limit = "" if math.isnan(allowed) else f"{100 * allowed:.1f} %"
        cells = [
            signals,
            method.replace("_", " "),
            str(count),
            f"{100 * better:.1f} %",
            f"{100 * worse:.1f} %",
        ]
        text.append("| " + " | ".join([*cells, limit]) + " |")
    if covered:
        text += [
            "",
            "How often the 95 % interval (BCa, 9,999 resamples) of a mean over few people holds the truth:",
            "",
        ]
        text += ["| people | normal | skewed |", "|--:|--:|--:|"]
        for people, held in covered.items():
            text.append(f"| {people} | {100 * held['normal']:.0f} % | {100 * held['skewed']:.0f} % |")
    return "\n".join(text) + "\n"


def write_results(name: str, lines: list[list], covered: dict[int, dict[str, float]], made_by: str) -> str:
    """Writes both files, again after every part, and returns the text."""
    RESULTS.mkdir(exist_ok=True)
    text = to_text(lines, covered, made_by)
    (RESULTS / f"{name}.md").write_text(text)
    rows = ["signals,method,data_sets,better,worse,allowed", *(",".join(map(str, line)) for line in lines)]
    (RESULTS / f"{name}.csv").write_text("\n".join([f"# {made_by}", *rows]) + "\n")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--mpcl", type=int, default=20, help="worlds on which MPCL is trained as well")
    parser.add_argument("--planted", type=int, default=20, help="worlds whose signals do tell")
    parser.add_argument("--draws", type=int, default=400, help="samples for the coverage of intervals")
    parser.add_argument("--name", default="null_calibration")
    args = parser.parse_args()
    command = (
        f"python experiments/null_calibration.py --worlds {args.worlds} --mpcl {args.mpcl} --planted {args.planted} "
        f"--draws {args.draws}"
    )
    made_by = f"{command} @ {code_version()}, {platform.machine()}, Python {platform.python_version()}"
    lines, covered = [], {}
    for signals, worlds in (("noise", args.worlds), ("planted", args.planted)):
        lines += rows_of(count_verdicts(worlds, null=signals == "noise"), signals) if worlds else []
    write_results(args.name, lines, covered, made_by)
    covered = {people: coverage(people, args.draws) for people in PEOPLE} if args.draws else {}
    write_results(args.name, lines, covered, made_by)
    for signals, worlds in (("noise", args.mpcl), ("planted", min(args.mpcl, args.planted))):
        lines += rows_of(count_mpcl(worlds, null=signals == "noise"), signals) if worlds else []
    print(write_results(args.name, lines, covered, made_by))


if __name__ == "__main__":
    main()
