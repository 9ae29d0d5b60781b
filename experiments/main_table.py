"""The tables of the README: a config over several seeds, every baseline on the same manifest.

    python experiments/main_table.py simulated --config configs/dataset.py
    python experiments/main_table.py wesad --config configs/wesad.py --data WESAD
    python experiments/main_table.py dmer_window80 --config configs/dmer.py --data dmer_feature_sample.mat
    python experiments/main_table.py dmer_label_groups --config configs/dmer_groups.py --data dmer_feature_sample.mat

MPCL gets --seeds seeds, the baselines the first --baseline-seeds of them; the table shows means over seeds and
their spread. Each seed is a run of its own under runs/table/NAME, so a killed table continues where it stopped.
Writes to experiments/results NAME.csv, .md, NAME_subjects.csv, NAME_statistics.md, .csv, .tex, NAME_pairs.csv and
NAME_ranks.png.
"""

import argparse
import dataclasses
import pathlib
import runpy
import sys

from mpcl_jax.batch import DataFileError
from mpcl_jax.benchmark import statistics_text, table_text
from mpcl_jax.benchmark.comparison import make_run_table
from mpcl_jax.benchmark.ranking import rank_methods
from mpcl_jax.config import ConfigError, resolve
from mpcl_jax.experiment import code_version, run_baselines
from mpcl_jax.plots.ranking import critical_difference
from mpcl_jax.plots.style import styled
from mpcl_jax.settings import Config
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import prepare
from mpcl_jax.train.selection_file import look

RESULTS = pathlib.Path(__file__).parent / "results"


def read_config(file: pathlib.Path, data: str) -> Config:
    """The resolved settings of a config file, with its data at `data` and every baseline."""
    sys.path.insert(
        0, str(file.resolve().parents[1])
    )  # so that `from configs import dataset` works from anywhere
    settings = runpy.run_path(str(file))["get_config"]()
    settings.benchmark.baselines = ("all",)
    if data:
        settings.data.path = data
    return resolve(settings)


def seed_runs(name: str, config: Config, seeds: int):
    """Trains every seed; yields (run, predictions per fold)."""
    for seed in range(seeds):
        run = prepare(
            dataclasses.replace(config, seed=seed), pathlib.Path("runs/table") / name / f"seed_{seed}"
        )
        print(f"seed {seed}  {run.workdir}", flush=True)
        yield run, [p.predicted for p in train_folds(run)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="name of the result files")
    parser.add_argument("--config", type=pathlib.Path, required=True)
    parser.add_argument("--data", default="", help="config.data.path")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--baseline-seeds", type=int, default=1)
    args = parser.parse_args()
    try:
        config = read_config(args.config, args.data)
        keep_compiled_programs()
        runs = list(seed_runs(args.name, config, args.seeds))
    except (ConfigError, DataFileError) as mistake:
        sys.exit(f"error: {mistake}")
    run = runs[0][0]
    of_seeds = [predicted for _, predicted in runs]
    baselines = [run_baselines(each) for each, _ in runs[: args.baseline_seeds]]
    for note in filter(None, [look(each.workdir) for each, _ in runs]):
        print(f"note   {note}")
    table = make_run_table(run.recordings, run.split, baselines, of_seeds, config.benchmark.mlp_trials)
    command = (
        f"python experiments/main_table.py {args.name} --config {args.config} --seeds {args.seeds} "
        f"--baseline-seeds {args.baseline_seeds}"
    )
    made_by = {"command": command, "commit": code_version()}
    title = f"{run.recordings.name}, {run.split.protocol}"
    markdown = table_text.to_markdown(table, title=title)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{args.name}.md").write_text(f"{markdown}\n`{command}` at {made_by['commit']}\n")
    (RESULTS / f"{args.name}.csv").write_text(table_text.to_csv(table, **made_by))
    (RESULTS / f"{args.name}_subjects.csv").write_text(table_text.to_subject_csv(table, **made_by))
    statistics = statistics_text.files_of(table, run.recordings.emotions, title=title, **made_by)
    for file, text in statistics.items():
        (RESULTS / f"{args.name}_{file}").write_text(text)
    ranking = rank_methods(table)
    with styled():
        figure = critical_difference(ranking.methods, ranking.rank, ranking.groups)
        figure.savefig(RESULTS / f"{args.name}_ranks.png", dpi=110)
    print(f"\n{markdown}\n{statistics_text.summary(statistics['statistics.md'])}")


if __name__ == "__main__":
    main()
