"""Missing modalities: KL of all methods on every non-empty subset of the modalities.

    python -m experiments.tables.missing_modality missing_simulated --config configs/dataset.py
    python -m experiments.tables.missing_modality missing_wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.missing_modality missing_dmer --config configs/dmer_groups.py --data SAMPLE.mat

Each model is trained once with all modalities (3 seeds) and tested on the same windows from each subset. MPCL
uses only the present group. "MPCL with recall" estimates the query of an absent group from its prototypes, "MPCL
without memory" has no banks. Baselines get the training mean in place of missing features. All three use modality
dropout: that of the config, or 0.1 where the config has none. Every fold. Writes NAME.csv, NAME_differences.csv and
NAME.png into experiments/results.
"""

import numpy as np

from experiments.shared import compared, series
from experiments.shared import table_command as command
from experiments.shared.comparison_plots import Curve, curves
from experiments.shared.subsets import SUBSETS, subsets_of
from mpcl_jax.baselines.registry import wanted
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.jobs.table_run import Fitted, complete
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.types import GROUPS, Recordings

VARIANTS = {
    "MPCL with recall": {"model.memory.recall": True},
    "MPCL without memory": compared.NO_MEMORY,
}


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole experiment."""
    if args.config.train.modality_dropout == 0 == args.config.train.group_dropout:
        print("note   modality dropout is off in this config; this experiment sets both to 0.1")
        args.config = compared.changed(
            args.config, {"train.modality_dropout": 0.1, "train.group_dropout": 0.1}
        )
    table_data = load_table_data(args.config)
    mpcl = compared.start(args, table_data)._replace(work=SUBSETS)
    rows = [mpcl, *compared.variants_of(args, mpcl, VARIANTS)]
    others = Fitted(
        wanted(args.config.benchmark), args.config, table_data, range(args.baseline_seeds), SUBSETS
    )
    complete([*rows, others], args.cache_dir, args.workers, stop)
    predictions = compared.predictions_of_all((*rows, others), args.cache_dir)
    subset = subsets_of(tuple(table_data.recordings.signals))
    cases = []
    for q, kept in enumerate(subset):
        of_subset = {name: [x[q] for x in of_seeds] for name, of_seeds in predictions.items()}
        table = compared.table_of(table_data, of_subset, others)
        cases.append(series.Case(name_of(kept, table_data.recordings), table))
    found = [x for case in cases if case.name.endswith(")") for x in series.differences_of(case, VARIANTS)]
    title = f"{table_data.recordings.name}, {table_data.split.protocol}: subsets of the modalities"
    series.write(args, cases, "left", title, found, picture(cases, subset))


def name_of(kept: np.ndarray, recordings: Recordings) -> str:
    """ "eda + bvp", with the name of the group where the subset is a whole group."""
    names = [m for m, keep in zip(recordings.signals, kept, strict=True) if keep]
    groups = [g for g in GROUPS if names == [m for m, of in recordings.groups.items() if of == g]]
    everything = len(names) == len(recordings.signals)
    note = " (all)" if everything else f" ({groups[0]})" if groups else ""
    return " + ".join(names) + note


def picture(cases: list[series.Case], subset: np.ndarray):
    """Mean KL over the subsets of each size; bars from the best to the worst subset."""
    left = subset.sum(1)
    counts = np.unique(left)[::-1]
    lines = []
    for name, rows in series.methods_of(cases).items():
        kl = np.array([row.mean["kl"] for row in rows])
        of_size = [kl[left == count] for count in counts]
        if name in (METHOD, *VARIANTS, "train_mean", "ridge", "extra_trees", "mlp"):
            ends = ([x.min() for x in of_size], [x.max() for x in of_size])
            lines.append(Curve(name, counts.tolist(), [x.mean() for x in of_size], *ends))
    return curves(lines, across="modalities left (bars: best to worst subset)", up="KL, mean over subsets")


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make, seeds=3)
