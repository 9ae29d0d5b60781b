"""From rows to tables: what the experiments that compare variants of MPCL share."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.shared import table_command as command
from mpcl_jax.baselines.registry import tried
from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import ORACLES, Config
from mpcl_jax.data.splits.manifest import Fold, sign_split, write_manifest
from mpcl_jax.evaluate.comparison import make_table_of
from mpcl_jax.evaluate.jobs.collect import collect_run
from mpcl_jax.evaluate.jobs.keys import TableData
from mpcl_jax.evaluate.jobs.table_run import Fitted, Trained, baselines_of, choices_of, complete, shares_of
from mpcl_jax.evaluate.leaderboard import METHOD, REFERENCE, Result, Table
from mpcl_jax.evaluate.statistics import (
    BETTER,
    NOT_SIGNIFICANT,
    WORSE,
    Comparison,
    Decision,
    decide,
    paired_comparison,
)
from mpcl_jax.evaluate.statistics_text import booktabs, tex
from mpcl_jax.evaluate.table_text import decision_words, interval, short
from mpcl_jax.report.plots.comparisons import differences
from mpcl_jax.report.plots.style import Figure
from mpcl_jax.system.storage import make_folder, replacing
from mpcl_jax.train.interrupt import StopRequest

CORRECTED = "Holm-corrected for all rows but oracles"
NO_MEMORY = {"model.memory.enabled": False, "model.cooccurrence.enabled": False}


def changed(config: Config, settings: dict[str, Any]) -> Config:
    """`config` with other settings, {"model.memory.slots": 8}. Raises ConfigError for what is not allowed."""
    values = ConfigDict(dataclasses.asdict(config))
    values.update_from_flattened_dict(settings)
    return resolve(values)


def with_folds(
    config: Config, table_data: TableData, folds: Sequence[Fold], cache_dir: pathlib.Path
) -> Config:
    """The config with `folds` in place of those of its protocol, as a manifest that is written into `store`.

    `folds` are as many as the protocol has. Those that the table does not run count too: the longest of all training
    parts says how many batches an epoch has.
    """
    split = sign_split(table_data.recordings, table_data.whole.protocol, folds, table_data.recordings.name)
    file = cache_dir / "manifests" / f"{split.sha256[:20]}.json"
    make_folder(file.parent)
    with replacing(file) as temporary:
        write_manifest(split, table_data.recordings, temporary)
    protocol = dataclasses.replace(config.protocol, manifest=str(file), only=table_data.numbers)
    return dataclasses.replace(config, protocol=protocol)


def variants_of(args: command.Options, mpcl: Trained, changes: dict[str, dict[str, Any]]) -> list[Trained]:
    """A row for each named change; those that the config has already are left out, and said so.

    Raises ConfigError for `asked.rows` that there are not.
    """
    if unknown := [name for name in args.rows if name not in changes]:
        raise ConfigError(f"--rows {unknown[0]!r}: there is no such row; there are {', '.join(changes)}")
    rows = []
    for name in args.rows or changes:
        config = changed(mpcl.config, changes[name])
        if config == mpcl.config:
            print(f"note   {name}: is what the config says already; no row")
        else:
            rows.append(mpcl._replace(name=name, config=config))
    return rows


def compare(
    args: command.Options, mpcl: Trained, variants: Sequence[Trained], others: Fitted, stop: StopRequest
) -> Table:
    """Completes all rows, keeps each seed as a run folder and makes the table of MPCL, variants and baselines."""
    complete([mpcl, *variants, others], args.cache_dir, args.workers, stop)
    table_data = mpcl.table_data
    predicted = said_by(others, args.cache_dir)
    predicted |= {row.name: shares_of(row, args.cache_dir) for row in (mpcl, *variants)}
    ends = np.cumsum([len(fold.test) for fold in table_data.split.folds])[:-1]
    for place, seed in enumerate(mpcl.seeds):
        beside = {n: x[min(place, len(x) - 1)] for n, x in predicted.items() if n != METHOD}
        parts = {name: np.split(x, ends) for name, x in beside.items()}
        folds = [{name: x[number] for name, x in parts.items()} for number in range(len(table_data.numbers))]
        choices = choices_of(mpcl, seed, args.cache_dir)
        if seed in others.seeds:
            choices |= choices_of(others, seed, args.cache_dir)
        note = collect_run(mpcl, seed, folds, choices, args.runs / args.name / f"seed_{seed}", args.cache_dir)
        if note:
            print(f"note   seed {seed}: {note}")
    return table_of(table_data, predicted, others)


def said_by(others: Fitted, cache_dir: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """What finished baselines say: name -> [N, C] of all folds, one array a seed."""
    fitted = [baselines_of(others, seed, cache_dir) for seed in others.seeds]
    return {
        name: [np.concatenate([fold[name] for fold in of_seed]) for of_seed in fitted]
        for name in others.names
    }


def table_of(table_data: TableData, predicted: dict[str, list[np.ndarray]], others: Fitted) -> Table:
    """The table of `predicted`, method -> [N, C] of each seed; it shows the budget of the baselines `others`."""
    trials = others.config.benchmark.tries
    results = [
        Result(name, of_seeds, table_data.split.sha256, tried(name, trials) if name in others.names else None)
        for name, of_seeds in predicted.items()
    ]
    return make_table_of(table_data.recordings, table_data.split, results)


def reference_of(mpcl: Trained) -> Fitted:
    """The train mean alone, without which a table has no skill."""
    return Fitted((REFERENCE,), mpcl.config, mpcl.table_data, mpcl.seeds)


class Found(NamedTuple):
    """One comparison of several, and what it shows when all of them are corrected for."""

    comparison: Comparison
    decision: Decision


def decided(comparisons: dict[str, Comparison]) -> dict[str, Found]:
    """The same comparisons with what they show, corrected for all of them."""
    decisions = decide(list(comparisons.values()))
    return {
        name: Found(*found) for name, *found in zip(comparisons, comparisons.values(), decisions, strict=True)
    }


def against_mpcl(table: Table) -> dict[str, Found]:
    """Every other row minus MPCL, on the same subjects; below 0 = better than MPCL.

    Corrected for all rows but oracles, as the statistics of the same table are.
    """
    named = {row.method: row for row in table.rows if row.method not in ORACLES}
    mpcl = named.pop(METHOD)
    weight = table.unit_weight
    return decided(
        {name: paired_comparison(row.per_unit, mpcl.per_unit, weight=weight) for name, row in named.items()}
    )


def by_cost(found: dict[str, Found]) -> dict[str, Found]:
    """The same, from what costs the most KL to what saves the most."""
    return dict(sorted(found.items(), key=lambda item: -item[1].comparison.difference))


def picture_of(found: dict[str, Found], label: str) -> Figure:
    """A line per comparison, with its interval; `label` says what the axis is."""
    compared = [x.comparison for x in found.values()]
    ends = ([x._asdict()[field] for x in compared] for field in ("difference", "low", "high"))
    significant = [x.decision.verdict != NOT_SIGNIFICANT for x in found.values()]
    return differences(list(found), *ends, significant, label=label)


def to_latex(found: dict[str, Found], title: str, over: str) -> str:
    """What each change does to the KL, for a paper (needs booktabs); a star marks a significant difference."""
    body = []
    for name, (x, decision) in found.items():
        star = "" if decision.verdict == NOT_SIGNIFICANT else "$^{*}$"
        number = f"{tex(short(x.difference, sign=True))}{star}"
        body.append([tex(name), number, tex(interval(x.low, x.high).strip() or "-")])
    caption = f"{tex(title)}. KL minus KL of {METHOD}, mean over {tex(over)}. $^{{*}}$ significant, $p$ {CORRECTED}."
    return booktabs("lrr", ["changed", "KL", r"95\,\%"], body, caption)


def difference_line(name: str, found: Found, over: str, *, to: str = METHOD) -> str:
    """ "- no memory: worse than MPCL (KL +.0030 [.0010, .0050], corrected p = .012, n = 24 subjects)"."""
    comparison, decision = found
    words = {BETTER: f"better than {to}", WORSE: f"worse than {to}"}.get(
        decision.verdict, f"not significantly different from {to}"
    )
    numbers = f"KL {short(comparison.difference, sign=True)}{interval(comparison.low, comparison.high)}"
    return f"- {name}: {words} ({numbers}, {decision_words(comparison, decision, over)})"


def start(args: command.Options, table_data: TableData) -> Trained:
    """The row of MPCL itself."""
    command.describe(table_data)
    return Trained(METHOD, args.config, table_data, range(args.seeds))
