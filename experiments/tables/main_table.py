"""The main tables: MPCL over several seeds and every baseline on the same manifest.

    python -m experiments.tables.main_table simulated --config configs/dataset.py
    python -m experiments.tables.main_table wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.main_table dmer_window80 --config configs/dmer.py --data SAMPLE.mat
    python -m experiments.tables.main_table dmer_label_groups --config configs/dmer_groups.py --data SAMPLE.mat

MPCL uses --seeds seeds, the baselines the first --baseline-seeds of them; the table shows means over seeds and
their spread. Every fold of every seed is a job; jobs run on all cores, and an interrupted table loses only the
running jobs. Writes NAME.csv, NAME_subjects.csv, the statistics of all pairs and a picture of the ranks into
experiments/results, for the protocols sequential and few_shot also NAME_memory.csv and NAME_memory_curve.csv, and
each seed as a run folder runs/table/NAME/seed_N, which `mpcl verify` checks.
"""

from experiments.shared import compared
from experiments.shared import table_command as command
from mpcl_jax.baselines.registry import wanted
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.jobs.table_run import Fitted
from mpcl_jax.evaluation.ranking import groups_of, rank_methods
from mpcl_jax.evaluation.written_trials import memory_markdown
from mpcl_jax.report.plots.results import critical_difference
from mpcl_jax.train.interrupt import StopRequest


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole table."""
    table_data = load_table_data(args.config)
    mpcl = compared.start(args, table_data)
    others = Fitted(wanted(args.config.benchmark), args.config, table_data, range(args.baseline_seeds))
    table = compared.compare(args, mpcl, [], others, stop)
    methods = rank_methods(table).methods
    picture = critical_difference(
        methods["method"].tolist(), methods["mean_rank"].tolist(), groups_of(methods)
    )
    command.write_table(args, table, table_data, "", {"_ranks": picture})
    memories = compared.memories_of_all((others, mpcl), args.cache_dir)
    if frames := compared.memory_frames(table, memories, table_data):
        command.write_files(args, frames, {})
        print(f"\n{memory_markdown(frames['_memory'])}")


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make, settings=("--config.benchmark.baselines=all",))
