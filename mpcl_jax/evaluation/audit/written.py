"""Leaks through the personal memory: reports of a tested trial in its own or an earlier prediction."""

import pathlib

import numpy as np

from mpcl_jax.config.data import WRITTEN
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.splits.descriptions import counted, kind_of, n_of
from mpcl_jax.data.splits.manifest import Fold, trial_positions
from mpcl_jax.evaluation.audit.evidence import Evidence, Finding, amber, green, red
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.train.fold_memory import FoldMemory, adapted_shares, load_memory, memory_file
from mpcl_jax.train.selection import WITH_MEMORY
from mpcl_jax.train.sequences import HeldOut

CHECK = "written trials"
CUTS = 4  # positions at which the reports of a trial and of all later ones are changed
TOLERANCE = 1e-5  # of a share, for another machine


def check_written_trials(evidence: Evidence) -> list[Finding]:
    """No report takes part in the prediction of its own or an earlier trial, nor in what is learned.

    Every prediction is computed again from the stored zero-shot predictions and kernel after the reports of its own
    and of later trials were changed; it must be the stored one. Empty for protocols that write no trials.
    """
    if kind_of(evidence.split.protocol) not in WRITTEN:
        return []
    found = []
    for number, fold in enumerate(evidence.split.folds):
        folder = evidence.folder / "folds" / f"{number:02d}"
        for method, stored in _stored(folder).items():
            file = memory_file(folder, method)
            if not file.exists():
                found.append(
                    amber(CHECK, f"{fold.name}: {file.name} is missing, so {method} was not checked")
                )
                continue
            found += _of_method(evidence, fold, method, load_memory(file), stored)
    says = "predictions depend on earlier reports alone, memories on reports of training subjects alone"
    return found or [green(CHECK, says)]


def _stored(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Method -> the predictions [P, C] of a fold."""
    files = folder / "predictions.npz", folder / "baselines.npz"
    found = {METHOD: parse_npz(files[0])["predicted"]} if files[0].exists() else {}
    return found | (parse_npz(files[1]) if files[1].exists() else {})


def _of_method(
    evidence: Evidence, fold: Fold, method: str, memory: FoldMemory, stored: np.ndarray
) -> list[Finding]:
    recordings, found, name = evidence.recordings, [], f"{fold.name}, {method}"
    if seen := set(memory.subjects) & set(recordings.subject[fold.test].tolist()):
        found.append(red(CHECK, f"{name}: the memory was learned on reports of tested subjects", seen))
    entry = evidence.choices.get(fold.name, {}).get(WITH_MEMORY if method == METHOD else method, {})
    if entry and entry["choice"].get("memory") != memory.chosen:
        says = f"{name}: its file holds the memory {memory.chosen!r}, selection.json names another one"
        found.append(red(CHECK, says))
    position, n = trial_positions(recordings.subject, recordings.trial), n_of(evidence.split.protocol)
    tested, wrong = position[fold.test], np.zeros(len(fold.test), bool)
    cuts = np.unique(np.linspace(1, tested.max(), CUTS).astype(int)) if n is None else [n]
    for cut in cuts:
        labels = recordings.labels.copy()
        later = memory.rows[position[memory.rows] >= cut]
        labels[later] = np.roll(labels[later], 1, axis=1)
        ids = (x[memory.rows] for x in (labels, recordings.subject, recordings.trial))
        changed = HeldOut(memory.tested.views, memory.tested.log_probs, *ids)
        again = adapted_shares(memory._replace(tested=changed), fold.test, n)
        checked = tested <= cut if n is None else np.ones(len(tested), bool)
        wrong |= checked & (np.abs(again - stored).max(axis=1) > TOLERANCE)
    if wrong.any():
        count = counted(int(wrong.sum()), "prediction differs", "predictions differ")
        says = f"{name}: {count} from what the stored memory and earlier reports give"
        found.append(red(CHECK, says, evidence.ids[fold.test[wrong]]))
    return found
