"""Ablation of MPCL: a row per switch of docs/method.md, compared with the default model on the same subjects.

    python -m experiments.tables.ablation ablation_simulated --config configs/dataset.py
    python -m experiments.tables.ablation ablation_wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.ablation ablation_dmer --config configs/dmer_groups.py --data dmer_feature_sample.mat

All rows use the same seeds (default 5) and every fold of the protocol; differences are paired and intervals are
over subjects. Writes NAME.csv, the statistics of all pairs and NAME.png (KL of each row minus KL of MPCL) into
experiments/results.
"""

from experiments.shared import compared
from experiments.shared import table_command as command
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.evaluation.ranking import compare_with_focus
from mpcl_jax.train.interrupt import StopRequest

# Name of the row -> settings. A test compares it with the switch table of docs/method.md.
SWITCHES = {
    "one scale": {"model.fusion.scales": (1.0,)},
    "fusion off": {"model.fusion.within_group": False, "model.fusion.across_groups": False},
    "within groups only": {"model.fusion.across_groups": False},
    "across groups only": {"model.fusion.within_group": False},
    "no memory": compared.NO_MEMORY,
    "banks by gradient": {"model.memory.update": "gradient"},
    "samples count by evidence": {"model.memory.evidence_power": 1.0},
    "raw-label evidence": {"model.memory.evidence": "raw"},
    "unpaired slots": {"model.memory.paired": False},
    "equal mixture weights": {"model.memory.mixture_weights": False},
    "one prototype per emotion": {"model.memory.slots": 1},
    "start from noise": {"model.memory.start": "noise"},
    "with recall": {"model.memory.recall": True},
    "with distillation": {"loss.relation_distillation": 0.1},
    "no prototype loss": {"loss.prototype": 0.0},
    "no co-occurrence loss": {"loss.cooccurrence": 0.0},
    "no loss warm-up": {"loss.aux_warmup_steps": 0},
    "no co-occurrence retrieval": {"model.cooccurrence.enabled": False},
    "no co-occurrence prior": {"model.cooccurrence.prior": False},
    "no valence level": {"model.head.hierarchy": "flat"},
    "no hierarchy": {"model.head.hierarchy": "mean"},
    "no direct path": {"model.head.direct": False},
}


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole experiment."""
    table_data = load_table_data(args.config)
    mpcl = compared.start(args, table_data)
    variants = compared.variants_of(args, mpcl, SWITCHES)
    table = compared.compare(args, mpcl, variants, compared.reference_of(mpcl), stop)
    outcomes = compare_with_focus(table)
    found = {row.name: outcomes[row.name] for row in variants}
    picture = compared.picture_of(
        found, "KL with this change minus KL of MPCL, 95 %; right of 0: the change makes it worse"
    )
    command.write_table(args, table, table_data, ": ablation", {"": picture})
    for name, outcome in found.items():
        print(compared.Difference(name, outcome, table.over).line())


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make)
