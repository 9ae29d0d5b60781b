"""Hyper-parameter sensitivity: one setting changed at a time, the others as in the config.

    python -m experiments.tables.sensitivity sensitivity_simulated --config configs/dataset.py
    python -m experiments.tables.sensitivity sensitivity_wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.sensitivity sensitivity_dmer --config configs/dmer_groups.py --data SAMPLE.mat

Three values of each and 3 seeds by default, five values with --large; every fold. The values are fixed in advance
and nothing is chosen on the test subjects. Writes NAME.csv, NAME_differences.csv and NAME.png (a panel a setting)
into experiments/results.
"""

import dataclasses

from experiments.shared import compared
from experiments.shared import table_command as command
from experiments.shared.comparison_plots import Curve, sweeps
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.leaderboard import METHOD, Table
from mpcl_jax.evaluation.ranking import compare_with_focus
from mpcl_jax.train.interrupt import StopRequest

# Title of the panel, setting, values; the middle three without --large.
SWEEPS = (
    ("prototypes K", "model.memory.slots", (1, 2, 4, 8, 16)),
    ("temperature τ", "model.memory.temperature", (0.02, 0.05, 0.1, 0.2, 0.5)),
    ("momentum μ", "model.memory.momentum", (0.5, 0.9, 0.99, 0.999, 1.0)),
    ("retrieval β", "model.cooccurrence.beta", (1.0, 4.0, 8.0, 16.0, 64.0)),
    ("distillation λ", "loss.relation_distillation", (0.0, 0.03, 0.1, 0.5, 2.0)),
    ("prototype loss λ", "loss.prototype", (0.0, 0.1, 0.3, 1.0, 3.0)),
    ("co-occurrence loss λ", "loss.cooccurrence", (0.0, 0.3, 1.0, 3.0, 10.0)),
    ("width D", "model.width", (16, 32, 64, 96, 128)),
)


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole experiment."""
    table_data = load_table_data(args.config)
    mpcl = compared.start(args, table_data)
    changes = {
        row_name(key, value): {key: value}
        for _, key, values in SWEEPS
        for value in tried(values, args.large)
        if value != in_use(args.config, key)
    }
    variants = compared.variants_of(args, mpcl, changes)
    table = compared.compare(args, mpcl, variants, compared.reference_of(mpcl), stop)
    outcomes = compare_with_focus(table)
    found = [compared.Difference(row.name, outcomes[row.name], table.over) for row in variants]
    panels = [panel(table, args.config, *sweep) for sweep in SWEEPS]
    panels = [one for one in panels if len(one[0].x) > 1]
    picture = sweeps(panels, up=f"KL, 95 % over {table.over}")
    command.write_table(args, table, table_data, ": sensitivity", {"": picture}, compared.frame_of(found))
    print("\n".join(x.line() for x in found))


def tried(values: tuple, large: bool) -> tuple:
    """All values, or the middle three."""
    return values if large else values[1:-1]


def in_use(config: Config, key: str) -> float:
    """The value of a setting such as "model.memory.slots"."""
    value = dataclasses.asdict(config)
    for part in key.split("."):
        value = value[part]
    return value


def row_name(key: str, value: float) -> str:
    """ "model.memory.slots = 8"."""
    return f"{key} = {value:g}"


def panel(table: Table, config: Config, title: str, key: str, values: tuple) -> tuple[Curve, float]:
    """The curve of one setting over the values that the table has, and the value in use."""
    used, named = in_use(config, key), {row.method: row for row in table.rows}
    rows = {value: named[row_name(key, value)] for value in values if row_name(key, value) in named}
    rows = dict(sorted((rows | {used: named[METHOD]}).items()))
    means, ends = [row.mean["kl"] for row in rows.values()], [(row.low, row.high) for row in rows.values()]
    return Curve(title, list(rows), means, *zip(*ends, strict=True)), used


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make, seeds=3)
