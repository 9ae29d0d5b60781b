"""Finished jobs of a table as run folders, one per seed, for `verify` and other readers of runs."""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluation.jobs.table_run import Fitted, Trained, fits_of
from mpcl_jax.evaluation.jobs.work import FOLD, copy_fold
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.evaluation.run_files import write_predictions
from mpcl_jax.system.storage import write_arrays, write_text, writing
from mpcl_jax.train import run_folder
from mpcl_jax.train.evaluate import load_predictions
from mpcl_jax.train.fold_memory import FoldMemory, adapted_shares, memory_file, save_memory
from mpcl_jax.train.run import with_sizes
from mpcl_jax.train.selection import NAME as SELECTION
from mpcl_jax.train.selection import read_record, record_test_access, write_choices

MARK = "collected.txt"  # in folders that this module made and may replace


def collect_run(
    row: Trained,
    seed: int,
    others: dict[str, np.ndarray],
    choices: dict[str, dict[str, dict]],
    folder: pathlib.Path,
    cache_dir: pathlib.Path,
    memories: dict[str, Sequence[FoldMemory]] | None = None,
) -> str:
    """Makes `folder` the run of one seed of a finished row, with the predictions of `others` as its baselines.

    `others`: method -> [N, C] of all test rows · `choices`: method -> fold -> selected settings · `memories`: method
    -> the memory of each fold, where trials are written. A folder of an earlier table is replaced; its test
    evaluations still count. Returns a note about them, or "". Raises ConfigError where `folder` is any other folder.
    """
    if folder.exists() and not (folder / MARK).exists():
        raise ConfigError(f"{folder}: holds a run that was not made by a table; move it away")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    config = with_sizes(dataclasses.replace(row.config, seed=seed), row.table_data.whole)
    run_folder.register_run(partial, config, row.table_data.recordings, row.table_data.split)
    lines, predictions, begin = [], [], 0
    for place, fit in enumerate(fits_of(row._replace(seeds=range(seed, seed + 1)), cache_dir)):
        target = run_folder.fold_folder(partial, place)
        copy_fold(fit.folder / FOLD, target)
        predictions.append(load_predictions(fit.result))
        end = begin + len(predictions[-1].rows)
        write_arrays(target / "baselines.npz", {name: x[begin:end] for name, x in others.items()})
        lines += _metrics_of(fit.folder / "metrics.jsonl", place)
        for name, of_folds in (memories or {}).items():
            save_memory(memory_file(target, name), of_folds[place])
        begin = end
    if (folder / SELECTION).exists():
        with writing(partial / SELECTION, 0):
            shutil.copyfile(folder / SELECTION, partial / SELECTION)
    for method, of_folds in choices.items():
        write_choices(partial, method, of_folds)
    write_text(partial / "metrics.jsonl", "".join(lines))
    zero_shot = None
    if memories:
        folds = zip(memories[METHOD], predictions, strict=True)
        zero_shot = np.concatenate([adapted_shares(memory, of_fold.rows, 0) for memory, of_fold in folds])
    write_predictions(partial, row.table_data.recordings, predictions, zero_shot)
    write_text(partial / MARK, f"made from the finished jobs of a table in {cache_dir}\n")
    shutil.rmtree(folder, ignore_errors=True)
    with writing(folder, 0):
        os.replace(partial, folder)
    return record_test_access(folder)


def _metrics_of(file: pathlib.Path, place: int) -> list[str]:
    """The log of a job, whose only fold has the number 0, as that of fold `place`."""
    if not file.exists():
        return []
    entries = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    return [json.dumps(entry | {"fold": place}) + "\n" for entry in entries]


def choices_of(row: Trained | Fitted, seed: int, cache_dir: pathlib.Path) -> dict[str, dict[str, dict]]:
    """What the finished jobs of a seed selected before they predicted: method -> fold -> choice."""
    chosen: dict[str, dict[str, dict]] = {}
    for fit in fits_of(row._replace(seeds=range(seed, seed + 1)), cache_dir):
        fold = row.table_data.whole.folds[fit.number].name
        for method, entry in read_record(fit.folder).get(fold, {}).items():
            chosen.setdefault(method, {})[fold] = entry["choice"]
    return chosen
