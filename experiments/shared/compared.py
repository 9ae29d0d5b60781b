"""What the experiments share that compare variants of MPCL: from rows of jobs to tables and differences."""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from experiments.shared import table_command as command
from experiments.shared.collect import choices_of, collect_run
from experiments.shared.comparison_plots import differences
from mpcl_jax.config.data import WRITTEN
from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.descriptions import kind_of
from mpcl_jax.data.splits.manifest import Fold, sign_split, write_manifest
from mpcl_jax.evaluation.comparison import make_run_table
from mpcl_jax.evaluation.jobs.keys import TableData
from mpcl_jax.evaluation.jobs.table_run import Fitted, Trained, complete, memories_of, predictions_of
from mpcl_jax.evaluation.leaderboard import METHOD, REFERENCE, Table
from mpcl_jax.evaluation.number_text import shown_name
from mpcl_jax.evaluation.statistics import NOT_SIGNIFICANT, Comparison
from mpcl_jax.evaluation.table_text import comparison_text
from mpcl_jax.evaluation.written_trials import Memories, curve_frame, memory_frame, shares_after
from mpcl_jax.report.plots.style import Figure
from mpcl_jax.system.storage import make_folder, replacing
from mpcl_jax.train.interrupt import StopRequest

NO_MEMORY = {"model.memory.enabled": False, "model.cooccurrence.enabled": False}


def changed(config: Config, settings: dict[str, Any]) -> Config:
    """`config` with other settings, {"model.memory.slots": 8}. Raises ConfigError for what is not allowed."""
    values = ConfigDict(dataclasses.asdict(config))
    values.update_from_flattened_dict(settings)
    return resolve(values)


def with_folds(
    config: Config, table_data: TableData, folds: Sequence[Fold], cache_dir: pathlib.Path
) -> Config:
    """The config with `folds` in place of those of its protocol, as a manifest in `cache_dir`.

    `folds` are as many as the protocol has. Those that the table does not run count too: the longest training part of
    all folds determines the number of batches of an epoch.
    """
    split = sign_split(table_data.recordings, table_data.whole.protocol, folds, table_data.recordings.name)
    file = cache_dir / "manifests" / f"{split.sha256[:20]}.json"
    make_folder(file.parent)
    with replacing(file) as temporary:
        write_manifest(split, table_data.recordings, temporary)
    protocol = dataclasses.replace(config.protocol, manifest=str(file), only=table_data.numbers)
    return dataclasses.replace(config, protocol=protocol)


def start(args: command.Options, table_data: TableData) -> Trained:
    """The row of MPCL itself."""
    command.describe(table_data)
    return Trained(METHOD, args.config, table_data, range(args.seeds))


def variants_of(args: command.Options, mpcl: Trained, changes: dict[str, dict[str, Any]]) -> list[Trained]:
    """A row for each named change; changes that the config already has are left out with a note.

    Raises ConfigError for unknown names in `args.rows`.
    """
    if unknown := [name for name in args.rows if name not in changes]:
        raise ConfigError(f"--rows {unknown[0]!r}: there is no such row; there are {', '.join(changes)}")
    rows = []
    for name in args.rows or changes:
        config = changed(mpcl.config, changes[name])
        if config == mpcl.config:
            print(f"note   {name}: equals the config; no row")
        else:
            rows.append(mpcl._replace(name=name, config=config))
    return rows


def compare(
    args: command.Options, mpcl: Trained, variants: Sequence[Trained], others: Fitted, stop: StopRequest
) -> Table:
    """Completes all rows, keeps each seed as a run folder and makes the table of MPCL, variants and baselines."""
    complete([mpcl, *variants, others], args.cache_dir, args.workers, stop)
    predicted = predictions_of_all((others, mpcl, *variants), args.cache_dir)
    memories = memories_of_all((others, mpcl), args.cache_dir)
    for place, seed in enumerate(mpcl.seeds):
        beside = {name: x[min(place, len(x) - 1)] for name, x in predicted.items() if name != METHOD}
        choices = choices_of(mpcl, seed, args.cache_dir)
        if seed in others.seeds:
            choices |= choices_of(others, seed, args.cache_dir)
        folder, of_seed = args.runs / args.name / f"seed_{seed}", {}
        for name, of_seeds in memories.items():
            of_seed[name] = of_seeds[min(place, len(of_seeds) - 1)]
        if note := collect_run(mpcl, seed, beside, choices, folder, args.cache_dir, of_seed):
            print(f"note   seed {seed}: {note}")
    return table_of(mpcl.table_data, predicted, others)


def predictions_of_all(
    rows: Iterable[Trained | Fitted], cache_dir: pathlib.Path
) -> dict[str, list[np.ndarray]]:
    """Predictions of finished rows: method -> [N, C] of all folds, one array a seed."""
    return {name: of for row in rows for name, of in predictions_of(row, cache_dir).items()}


def memories_of_all(rows: Sequence[Trained | Fitted], cache_dir: pathlib.Path) -> Memories:
    """Memories of finished rows: method -> for each seed that of each fold; {} where no trials are written."""
    if kind_of(rows[0].table_data.split.protocol) not in WRITTEN:
        return {}
    return {name: of for row in rows for name, of in memories_of(row, cache_dir).items()}


def memory_frames(table: Table, memories: Memories, table_data: TableData) -> dict[str, pd.DataFrame]:
    """What written trials are worth, by the end of the file's name; {} where no trials are written."""
    if not memories:
        return {}
    recordings, split = table_data.recordings, table_data.split
    tested = [fold.test for fold in split.folds]
    zero_shot = make_run_table(recordings, split, shares_after(memories, tested, 0), 1)
    curve = curve_frame(memories, tested, split.protocol)
    return {"_memory": memory_frame(table, zero_shot, memories), "_memory_curve": curve}


def table_of(table_data: TableData, predicted: dict[str, list[np.ndarray]], others: Fitted) -> Table:
    """The table of `predicted`, method -> [N, C] of each seed; it shows the budget of the baselines `others`."""
    tries = others.config.benchmark.tries
    return make_run_table(table_data.recordings, table_data.split, predicted, tries)


def reference_of(mpcl: Trained) -> Fitted:
    """The train mean alone, which the skill of a table needs."""
    return Fitted((REFERENCE,), mpcl.config, mpcl.table_data, mpcl.seeds)


class Difference(NamedTuple):
    """KL of `method` minus KL of `against`, on the same units."""

    method: str
    found: Comparison
    over: str  # units: "10 subjects"
    against: str = METHOD
    case: str = ""  # of a series: "8 subjects"

    def line(self) -> str:
        """ "- no memory against MPCL: worse (KL +0.0030 [0.0010, 0.0050], n = 24 subjects, p = 0.012 after …)"."""
        case = f"{self.case}: " if self.case else ""
        names = f"{shown_name(self.method)} against {shown_name(self.against)}"
        return f"- {case}{names}: {self.found.verdict} ({comparison_text(self.found, self.over)})"


def frame_of(rows: Iterable[Difference], **columns: Sequence[str]) -> pd.DataFrame:
    """A row per difference with all digits, and further `columns`."""
    cells = [
        {"case": x.case, "method": x.method, "against": x.against}
        | {name: getattr(x.found, name) for name in ("difference", "low", "high")}
        | {"p": x.found.p_value, "p_skewed": x.found.p_skewed}
        | {"p_holm": x.found.corrected, "verdict": x.found.verdict, "units": x.over}
        for x in rows
    ]
    return pd.DataFrame(cells, dtype=object).assign(**columns)


def picture_of(found: dict[str, Comparison], label: str) -> Figure:
    """A line per comparison with its interval, the largest difference first; `label` names the axis."""
    found = dict(sorted(found.items(), key=lambda item: -item[1].difference))
    ends = [[getattr(x, field) for x in found.values()] for field in ("difference", "low", "high")]
    significant = [x.verdict != NOT_SIGNIFICANT for x in found.values()]
    return differences(list(found), *ends, significant, label=label)
