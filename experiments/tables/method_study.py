"""Every open choice of the method as a hypothesis, written down before it was tried, on people no table tests.

    python -m experiments.tables.method_study study_simulated --config configs/dataset.py
    python -m experiments.tables.method_study study_wesad --config configs/wesad.py --data WESAD

In every fold the people whom the tables test stay out altogether; tested are those of the next fold, whom the model
has not seen either. So a choice that is made here has not looked at the test rows of the fold it is used in. Same
folds and seeds (default 5) for all rows, differences person by person. `--rows` tries some of them.
docs/method_study.md says what followed. Writes experiments/results/NAME.csv, .md, .tex and NAME.png.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from experiments.shared import compared
from experiments.shared import table_command as command
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.manifest import Fold
from mpcl_jax.evaluate.jobs.keys import TableData, load_table_data, with_split
from mpcl_jax.evaluate.statistics import BETTER, NOT_SIGNIFICANT, WORSE
from mpcl_jax.evaluate.statistics_text import grid
from mpcl_jax.evaluate.table_text import interval, short
from mpcl_jax.train.interrupt import StopRequest

SAME = "no difference"


class Hypothesis(NamedTuple):
    """One change of the default and what it should do, said before it was measured."""

    because: str  # why
    predicts: str  # of the changed model: BETTER, WORSE or SAME
    settings: dict[str, Any]


HYPOTHESES = {
    "no mixup": Hypothesis(
        "mixtures of two reports are reports that a third could have given", WORSE, {"train.mixup": 0.0}
    ),
    "no feature dropout": Hypothesis(
        "many noisy features say the same together", WORSE, {"model.input_dropout": 0.0}
    ),
    "no modality dropout": Hypothesis(
        "hiding sensors costs where none is missing",
        BETTER,
        {"train.modality_dropout": 0.0, "train.group_dropout": 0.0},
    ),
    "weight decay 10": Hypothesis("few people", SAME, {"train.weight_decay": 10.0}),
    "one token a modality": Hypothesis("fusion needs something to choose from", WORSE, {"model.tokens": 1}),
    "width 128": Hypothesis("what limits is the number of people", SAME, {"model.width": 128}),
    "no memory": Hypothesis("prototypes are a summary that survives few people", WORSE, compared.NO_MEMORY),
    "one prototype": Hypothesis("an emotion has several faces", WORSE, {"model.memory.slots": 1}),
    "sixteen prototypes": Hypothesis("they share the same evidence", SAME, {"model.memory.slots": 16}),
    "all slots as loud": Hypothesis(
        "a slot that holds nothing is noise, which no query is far from",
        WORSE,
        {"model.memory.mixture_weights": False},
    ),
    "start from noise": Hypothesis(
        "the first hundred steps read random rows", WORSE, {"model.memory.start": "noise"}
    ),
    "no re-seeding": Hypothesis("dead slots explain nothing", SAME, {"model.memory.reseed_below": 0.0}),
    "usage that forgets at once": Hypothesis(
        "a slot that gets nothing from the start is found dead too late",
        BETTER,
        {"model.memory.usage_momentum": 0.9},
    ),
    "short momentum": Hypothesis("banks of the last ten batches jump", WORSE, {"model.memory.momentum": 0.9}),
    "long momentum": Hypothesis(
        "banks of the last thousand batches are out of date", WORSE, {"model.memory.momentum": 0.999}
    ),
    "plain evidence": Hypothesis(
        "slots part by the other emotions, which tokens do not read",
        SAME,
        {"model.memory.evidence_power": 1.0},
    ),
    "strong distillation": Hypothesis(
        "the sides forget what only one of them knows", WORSE, {"loss.relation_distillation": 0.5}
    ),
    "losses whole at once": Hypothesis(
        "before features say anything, the memory's losses shape what it remembers of nothing",
        WORSE,
        {"loss.aux_warmup_steps": 0},
    ),
    "strong prototype loss": Hypothesis(
        "queries learn whose prototypes are near", BETTER, {"loss.prototype": 1.0}
    ),
}


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole experiment."""
    tested_data = load_table_data(args.config)
    config = without_tested(args.config, tested_data, args.cache_dir)
    args = args._replace(config=config)
    table_data = with_split(tested_data, config)
    mpcl = compared.start(args, table_data)
    variants = compared.variants_of(args, mpcl, {name: h.settings for name, h in HYPOTHESES.items()})
    table = compared.compare(args, mpcl, variants, compared.reference_of(mpcl), stop)
    against = compared.against_mpcl(table)
    found = {row.name: against[row.name] for row in variants}
    label = "KL with this change minus KL of the default, 95 %; left of 0: the change helps"
    picture = compared.picture_of(compared.by_cost(found), label)
    lines = [
        *grid(["change", "because", "predicted", "KL, 95 %", "found"], [line(n, found[n]) for n in found])
    ]
    note = f"Changed, against the config; subjects of the development rows; p {compared.CORRECTED}:"
    more = "\n".join([note, "", *lines])
    latex = compared.to_latex(found, f"{table_data.recordings.name}: hypotheses of the study", table.over)
    command.write_table(args, table, table_data, ": study", {"": picture}, more=more, latex=latex)


def line(name: str, found: compared.Found) -> list[str]:
    """The cells of one hypothesis."""
    hypothesis = HYPOTHESES[name]
    x = found.comparison
    numbers = f"{short(x.difference, sign=True)}{interval(x.low, x.high)}"
    return [
        name,
        hypothesis.because,
        hypothesis.predicts,
        numbers,
        judged(hypothesis.predicts, found.decision.verdict),
    ]


def judged(predicted: str, verdict: str) -> str:
    """What a measured verdict says of a prediction."""
    if predicted == SAME:
        return "as predicted" if verdict not in (BETTER, WORSE) else f"refuted: {verdict}"
    if verdict not in (BETTER, WORSE):
        return NOT_SIGNIFICANT
    return "as predicted" if verdict == predicted else f"refuted: {verdict}"


def without_tested(config: Config, table_data: TableData, cache_dir: pathlib.Path) -> Config:
    """The config with a manifest whose folds test what the next fold tests, and do without their own test rows.

    Raises ConfigError for a protocol of a single fold.
    """
    folds = table_data.whole.folds
    if len(folds) < 2:
        raise ConfigError(
            f"config.protocol.kind = {config.protocol.kind!r} has one fold: the study tests what the next fold tests"
        )
    moved = []
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        train, validation = (rows[~np.isin(rows, following.test)] for rows in (fold.train, fold.validation))
        moved.append(Fold(fold.name, "", train, validation, following.test))
    return compared.with_folds(config, table_data, moved, cache_dir)


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make)
