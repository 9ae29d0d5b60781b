"""Method study: a hypothesis per open choice of the method, recorded before it was tried, on development subjects.

    python -m experiments.tables.method_study study_simulated --config configs/dataset.py
    python -m experiments.tables.method_study study_wesad --config configs/wesad.py --data WESAD

In every fold the test subjects of the tables are left out; the model is tested on the test subjects of the next
fold, which are unseen too. A choice made here is therefore not made on the test rows of the fold it is used in. All
rows use the same folds and seeds (default 5); differences are paired by subject. `--rows` selects some of them.
Results: docs/method_study.md. Writes NAME.csv, NAME_differences.csv and NAME.png into experiments/results.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from experiments.shared import compared, render
from experiments.shared import table_command as command
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.manifest import Fold
from mpcl_jax.evaluation.jobs.keys import TableData, load_table_data, with_split
from mpcl_jax.evaluation.ranking import compare_with_focus
from mpcl_jax.evaluation.statistics import BETTER, NOT_SIGNIFICANT, WORSE
from mpcl_jax.train.interrupt import StopRequest

SAME = "no difference"


class Hypothesis(NamedTuple):
    """One change of the default and its expected effect, recorded before it was measured."""

    because: str  # why
    predicts: str  # of the changed model: BETTER, WORSE or SAME
    settings: dict[str, Any]


HYPOTHESES = {
    "no mixup": Hypothesis(
        "mixtures of two reports are reports that a third could have given", WORSE, {"train.mixup": 0.0}
    ),
    "no feature dropout": Hypothesis(
        "many noisy features are redundant", WORSE, {"model.input_dropout": 0.0}
    ),
    "no modality dropout": Hypothesis(
        "modality dropout costs accuracy where no modality is missing",
        BETTER,
        {"train.modality_dropout": 0.0, "train.group_dropout": 0.0},
    ),
    "weight decay 10": Hypothesis("few subjects", SAME, {"train.weight_decay": 10.0}),
    "one token a modality": Hypothesis("fusion needs several tokens", WORSE, {"model.tokens": 1}),
    "width 128": Hypothesis("the number of subjects is the limit", SAME, {"model.width": 128}),
    "no memory": Hypothesis(
        "prototypes are a summary that generalises from few subjects", WORSE, compared.NO_MEMORY
    ),
    "one prototype": Hypothesis("an emotion needs several prototypes", WORSE, {"model.memory.slots": 1}),
    "sixteen prototypes": Hypothesis("they share the same evidence", SAME, {"model.memory.slots": 16}),
    "equal mixture weights": Hypothesis(
        "an unused prototype is noise and is close to every query",
        WORSE,
        {"model.memory.mixture_weights": False},
    ),
    "start from noise": Hypothesis(
        "the first hundred steps read random rows", WORSE, {"model.memory.start": "noise"}
    ),
    "no re-seeding": Hypothesis("dead slots explain nothing", SAME, {"model.memory.reseed_below": 0.0}),
    "short usage momentum": Hypothesis(
        "a slot without evidence is detected as dead too late",
        BETTER,
        {"model.memory.usage_momentum": 0.9},
    ),
    "short momentum": Hypothesis("banks of the last ten batches jump", WORSE, {"model.memory.momentum": 0.9}),
    "long momentum": Hypothesis(
        "banks of the last thousand batches are out of date", WORSE, {"model.memory.momentum": 0.999}
    ),
    "plain evidence": Hypothesis(
        "slots differ by other emotions, which the tokens do not use",
        SAME,
        {"model.memory.evidence_power": 1.0},
    ),
    "strong distillation": Hypothesis(
        "each group loses information that only it has", WORSE, {"loss.relation_distillation": 0.5}
    ),
    "no loss warm-up": Hypothesis(
        "before features are useful, the memory losses fit prototypes to noise",
        WORSE,
        {"loss.aux_warmup_steps": 0},
    ),
    "strong prototype loss": Hypothesis(
        "queries move to the prototypes of their emotions", BETTER, {"loss.prototype": 1.0}
    ),
}


def make(args: command.Options, stop: StopRequest) -> None:
    """The whole experiment."""
    tested_data = load_table_data(args.config)
    args.config = without_tested(args.config, tested_data, args.cache_dir)
    table_data = with_split(tested_data, args.config)
    mpcl = compared.start(args, table_data)
    variants = compared.variants_of(args, mpcl, {name: h.settings for name, h in HYPOTHESES.items()})
    table = compared.compare(args, mpcl, variants, compared.reference_of(mpcl), stop)
    outcomes = compare_with_focus(table)
    found = [compared.Difference(row.name, outcomes[row.name], table.over) for row in variants]
    label = "KL with this change minus KL of the default, 95 %; left of 0: the change helps"
    picture = compared.picture_of({x.method: x.found for x in found}, label)
    predicted = [HYPOTHESES[x.method].predicts for x in found]
    judgements = [judged(p, x.found.verdict) for p, x in zip(predicted, found, strict=True)]
    differences = compared.frame_of(found, predicted=predicted, found=judgements)
    command.write_table(args, table, table_data, ": study", {"": picture}, differences)
    print(render.markdown_of(differences))


def judged(predicted: str, verdict: str) -> str:
    """Whether a measured verdict agrees with the predicted effect."""
    if predicted == SAME:
        return "as predicted" if verdict not in (BETTER, WORSE) else f"refuted: {verdict}"
    if verdict not in (BETTER, WORSE):
        return NOT_SIGNIFICANT
    return "as predicted" if verdict == predicted else f"refuted: {verdict}"


def without_tested(config: Config, table_data: TableData, cache_dir: pathlib.Path) -> Config:
    """The config with a manifest in which each fold tests the rows of the next fold and leaves out its own test rows.

    Raises ConfigError for a protocol of a single fold.
    """
    folds = table_data.whole.folds
    if len(folds) < 2:
        raise ConfigError(
            f"config.protocol.kind = {config.protocol.kind!r} has one fold: the study tests the rows of the next fold"
        )
    moved = []
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        train, validation = (rows[~np.isin(rows, following.test)] for rows in (fold.train, fold.validation))
        moved.append(Fold(fold.name, "", train, validation, following.test))
    return compared.with_folds(config, table_data, moved, cache_dir)


if __name__ == "__main__":
    command.run_command(__spec__.name, __doc__, make)
