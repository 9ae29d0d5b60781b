"""What each part of MPCL is worth: a row per switch of docs/method.md, paired against the full model.

    python -m experiments.tables.ablation ablation_simulated --config configs/dataset.py
    python -m experiments.tables.ablation ablation_wesad --config configs/wesad.py --data WESAD
    python -m experiments.tables.ablation ablation_dmer --config configs/dmer_groups.py --data dmer_feature_sample.mat

The same seeds (default 5) and every fold of the protocol for all rows; differences are taken subject by subject,
intervals are over subjects. Writes experiments/results/NAME.csv, .md, .tex and so on, and
NAME.png: what switching off adds to the KL.
"""

from experiments.shared import compared
from experiments.shared import table_command as command
from mpcl_jax.evaluate.jobs.keys import load_table_data
from mpcl_jax.train.interrupt import StopRequest

# Name of the row -> settings; the switch table of docs/method.md, which a test holds against this.
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
    "all slots as loud": {"model.memory.mixture_weights": False},
    "one prototype per emotion": {"model.memory.slots": 1},
    "start from noise": {"model.memory.start": "noise"},
    "no recall": {"model.memory.recall": False},
    "no distillation": {"loss.relation_distillation": 0.0},
    "no prototype loss": {"loss.prototype": 0.0},
    "no co-occurrence loss": {"loss.cooccurrence": 0.0},
    "losses whole at once": {"loss.aux_warmup_steps": 0},
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
    against = compared.against_mpcl(table)
    found = compared.by_cost({row.name: against[row.name] for row in variants})
    picture = compared.picture_of(
        found, "KL without this part minus KL of MPCL, 95 %; right of 0: the part helps"
    )
    verdicts = [
        f"Switched off, against the full model (p {compared.CORRECTED}; intervals not corrected):",
        "",
    ]
    verdicts += [
        compared.difference_line(name, x, table.over, to="the full model") for name, x in found.items()
    ]
    command.write_table(args, table, table_data, ": ablation", {"": picture}, more="\n".join(verdicts))


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make)
