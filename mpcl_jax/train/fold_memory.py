"""The personal memory of a method in one fold of `sequential` or `few_shot`: learned, chosen, applied and saved.

The method is MPCL or a baseline. Models of inner folds predict the training subjects. On these predictions alone the
memories of `memories_of` are learned, and the best one is chosen. The file of a fold and method holds the zero-shot
predictions, the views, the reports and every kernel, so that all predictions can be computed again for any written
trials.
"""

import json
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.splits.manifest import Fold
from mpcl_jax.metrics import from_log_probs
from mpcl_jax.model.other_subjects import arrays_of_others, kernel_of, numbers_of
from mpcl_jax.model.personal_memory import adapt, write_trials
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, QUERY, RecallKernel
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.train.fit import Learned
from mpcl_jax.train.memory_fit import FEWEST_SUBJECTS, OTHERS, WANTED, WITH_OTHERS, learned_and_kl
from mpcl_jax.train.sequences import HeldOut, count_several, trials_of
from mpcl_jax.types import DataError, Recordings

SUM = 1e-3  # distance of a sum of shares from 1 that is rounding
NONE, MEAN, ALL = "none", "mean residual", "all views"
OF_A_VIEW = {FEATURES: "features", LOG_PROBS: "own log p", QUERY: "query"}


class FoldMemory(NamedTuple):
    """Q windows of the tested subjects, all of their trials, in the order of the recordings."""

    rows: np.ndarray  # [Q] int, rows of the recordings
    zero_shot: np.ndarray  # [Q, C] predicted shares without any written trial
    tested: HeldOut  # [Q] the same windows: views, log-probabilities, reports, subjects and trials
    learned: dict[str, Learned]  # memory -> what was learned on training subjects
    chosen: str  # the memory of this fold, or NONE
    subjects: tuple[str, ...]  # training subjects on whose reports all of this was learned

    @property
    def kernel(self) -> RecallKernel | None:
        """The kernel of the chosen memory; None where the memory is off."""
        return None if self.chosen == NONE else self.learned[self.chosen].kernel

    @property
    def reason(self) -> str:
        """Why the memory is on or off."""
        best = self.chosen if self.chosen != NONE else _lowest(self.learned, self.learned)
        return self.learned[best].reason


def memories_of(views: Iterable[str], others: bool) -> dict[str, tuple[str, ...]]:
    """Name -> views of each memory that is compared, for a method that has `views`.

    `others`: also the memory that learns from other subjects.
    """
    own = tuple(view for view in OF_A_VIEW if view in views)
    names = {MEAN: (), **{OF_A_VIEW[view]: (view,) for view in own}, ALL: own}
    return names | {OTHERS: WITH_OTHERS} if others else names


def tested_rows(recordings: Recordings, fold: Fold) -> np.ndarray:
    """All rows [Q] of the subjects that `fold` tests, also those of trials that are only written."""
    return np.flatnonzero(np.isin(recordings.subject, np.unique(recordings.subject[fold.test])))


def can_be_learned(recordings: Recordings, fold: Fold) -> bool:
    """Whether enough training subjects have several trials."""
    return _of_several_trials(recordings, fold.train) >= FEWEST_SUBJECTS


def too_few(recordings: Recordings, fold: Fold) -> str:
    """The reason why no memory can be learned, and what to do, where `can_be_learned` is False."""
    left, validation = (_of_several_trials(recordings, rows) for rows in (fold.train, fold.validation))
    if left + validation < FEWEST_SUBJECTS or not validation:
        return f"off: {left} training subjects have several trials; {WANTED}"
    return (
        f"off: {left} training subjects with several trials are left ({validation} more are validation), "
        f"{FEWEST_SUBJECTS} are needed; use more folds, or --config.protocol.validation=0 with "
        "--config.train.select=last"
    )


def _of_several_trials(recordings: Recordings, rows: np.ndarray) -> int:
    return count_several(recordings.subject[rows], recordings.trial[rows])


def learn_memory(
    training: HeldOut | None,
    tested: HeldOut,
    rows: np.ndarray,
    zero_shot: np.ndarray,
    reason: str,
    others: bool,
) -> FoldMemory:
    """Learns every memory on the `training` subjects and chooses the `simplest` good one.

    `training`: their predictions by models of inner folds; None where there are too few of them, for the `reason` of
    `too_few`. `tested` [Q]: the predictions of the tested subjects; their labels are stored and play no other part.
    `zero_shot` [Q, C]: the same as shares. `others`: as in `memories_of`.
    """
    names = memories_of(tested.views, others)
    if training is None:
        found = dict.fromkeys(names, (Learned(None, reason), np.zeros(0)))
    else:
        found = {name: learned_and_kl(training, views) for name, views in names.items()}
    learned = {name: of_memory for name, (of_memory, _) in found.items()}
    on = {name: kl for name, (of_memory, kl) in found.items() if of_memory.kernel is not None}
    chosen = simplest(on, names) if on else NONE
    subjects = () if training is None else tuple(np.unique(training.subject).tolist())
    return FoldMemory(rows, zero_shot, tested, learned, chosen, subjects)


def simplest(kl: dict[str, np.ndarray], views: dict[str, tuple[str, ...]]) -> str:
    """The memory with the fewest views whose KL is within one standard error of the lowest one.

    `kl`: memory -> [S] of each training subject. The standard error is that of the difference, over subjects. Of
    several memories with as many views it is the one with the lowest KL.
    """
    lowest = min(kl.values(), key=np.mean)
    more = {name: of_subjects - lowest for name, of_subjects in kl.items()}
    near = [name for name, x in more.items() if x.mean() <= x.std(ddof=1) / np.sqrt(len(x))]
    return min(near, key=lambda name: (len(views[name]), kl[name].mean()))


def adapted_shares(
    memory: FoldMemory, rows: np.ndarray, n: int | None, name: str | None = None
) -> np.ndarray:
    """Predicted shares [P, C] of `rows` [P] after the first `n` trials of each subject (None: all earlier ones).

    `name`: a memory; None = the chosen one. Without a correction they are the zero-shot shares, bit for bit.
    """
    place = np.searchsorted(memory.rows, rows)
    name = memory.chosen if name is None else name
    kernel = None if name == NONE else memory.learned[name].kernel
    if kernel is None or n == 0:
        return memory.zero_shot[place]
    after = predict_after(kernel, memory.tested, n)
    moved = (after != memory.tested.log_probs).any(axis=1, keepdims=True)
    shares = from_log_probs(after).astype(memory.zero_shot.dtype)
    return np.where(moved, shares, memory.zero_shot)[place]


def predict_after(kernel: RecallKernel, tested: HeldOut, n: int | None) -> np.ndarray:
    """Log-probabilities [Q, C] of each window after the first `n` trials of its subject were written.

    With n = None these are all earlier trials. No report of its own or a later trial takes part.
    """
    found = np.array(tested.log_probs, np.float64)
    for trials in trials_of(tested.subject, tested.trial):
        memory = None
        for position, rows in enumerate(trials):
            views, log_probs = {v: x[rows] for v, x in tested.views.items()}, tested.log_probs[rows]
            if memory is not None:
                means = {v: np.broadcast_to(x.mean(axis=0), x.shape) for v, x in views.items()}
                found[rows], _ = adapt(memory, kernel, means, log_probs)
            if n is None or position < n:
                ids, labels = tested.trial[rows], tested.labels[rows]
                memory = write_trials(memory, kernel, ids, views, log_probs, labels)
    return found


def recalled_trials(memory: FoldMemory, subject: str, trial: str, n: int | None) -> dict[str, float]:
    """Written trial -> weight of its residual in the correction of a tested `trial` of `subject`.

    `n` as in `adapted_shares`. In the order of the trials; {} where the memory is off or no trial was written.
    """
    tested, kernel = memory.tested, memory.kernel
    own = np.flatnonzero(tested.subject == subject)
    trials = list(dict.fromkeys(tested.trial[own].tolist()))
    names = trials[: trials.index(trial) if n is None else n]
    if kernel is None or not names:
        return {}
    rows = own[np.isin(tested.trial[own], names)]
    views = {view: x[rows] for view, x in tested.views.items()}
    written = write_trials(
        None, kernel, tested.trial[rows], views, tested.log_probs[rows], tested.labels[rows]
    )
    present = own[tested.trial[own] == trial]
    means = {view: x[present].mean(axis=0, keepdims=True) for view, x in tested.views.items()}
    _, weight = adapt(written, kernel, means, tested.log_probs[present[:1]])
    return dict(zip(written.trials, weight[0].tolist(), strict=True))


def choice_of(memory: FoldMemory) -> dict:
    """What was chosen and learned, for `selection.json` and the file of the fold."""
    learned = {
        name: found._asdict() | {"kernel": found.kernel and numbers_of(found.kernel)}
        for name, found in memory.learned.items()
    }
    return {"memory": memory.chosen, "reason": memory.reason, "learned": learned}


def memory_file(folder: pathlib.Path, method: str) -> pathlib.Path:
    """The file of `method` in the folder of a fold."""
    return folder / f"personal_memory_{method}.npz"


def save_memory(file: pathlib.Path, memory: FoldMemory) -> None:
    """Writes the memory. Raises StorageError where the disk does not take it."""
    tested = memory.tested._asdict()
    arrays = {"rows": memory.rows, "zero_shot": memory.zero_shot}
    arrays |= {f"views/{view}": x for view, x in tested.pop("views").items()} | tested
    for name, found in memory.learned.items():
        if found.kernel and found.kernel.others:
            arrays |= {f"{name}/{x}": values for x, values in arrays_of_others(found.kernel.others).items()}
    text = json.dumps(choice_of(memory), default=lambda x: x.tolist())
    write_arrays(file, arrays | {"choice": np.array(text), "subjects": np.array(memory.subjects, str)})


def load_memory(file: pathlib.Path) -> FoldMemory:
    """Reads what `save_memory` wrote. Raises DataError naming the file where it is missing or damaged."""
    try:
        saved = parse_npz(file)
    except DataError as error:  # its advice is for files of data
        raise DataError(file, f"{error.reason.partition(';')[0]}; {remedy_of(file)}") from error
    try:
        choice = json.loads(str(saved["choice"]))
        views = {name.removeprefix("views/"): x for name, x in saved.items() if name.startswith("views/")}
        widths = {view: x.shape[-1] for view, x in views.items()}
        learned = {}
        for name, found in choice["learned"].items():
            kernel = found["kernel"] and kernel_of(found["kernel"], saved, widths, f"{name}/")
            learned[name] = Learned(**found | {"kernel": kernel})
        tested = HeldOut(views, *(saved[name] for name in HeldOut._fields[1:]))
        subjects = tuple(saved["subjects"].tolist())
        memory = FoldMemory(saved["rows"], saved["zero_shot"], tested, learned, choice["memory"], subjects)
        _check_arrays(memory)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"holds no personal memory ({error!r}); {remedy_of(file)}"
        raise DataError(file, reason) from error
    return memory


def remedy_of(file: pathlib.Path) -> str:
    """What to do where the memory of a fold is missing or damaged."""
    return f"delete the folder {'/'.join(file.parts[-3:-1])} and start the run again"


def _check_arrays(memory: FoldMemory) -> None:
    """Raises ValueError for a wrong shape, a value that is not finite, and shares that do not sum to 1."""
    tested = memory.tested
    shares = {"zero_shot": memory.zero_shot, "labels": tested.labels}
    arrays = shares | {"log_probs": tested.log_probs} | {f"views/{v}": x for v, x in tested.views.items()}
    for name, x in arrays.items():
        if x.ndim != 2 or len(x) != len(memory.rows):
            raise ValueError(f"{name} has shape {x.shape}, rows has {len(memory.rows)}")
        if not np.isfinite(x).all():
            raise ValueError(f"{name} holds values that are not finite")
    for name in ("subject", "trial"):
        if getattr(tested, name).shape != memory.rows.shape:
            raise ValueError(f"{name} does not name a {name} of each row")
    for name, x in shares.items():
        away = np.abs(x.sum(axis=1) - 1)
        if x.shape != tested.log_probs.shape or (x < 0).any() or (away > SUM).any():
            raise ValueError(f"rows of {name} are not shares that sum to 1")


def _lowest(learned: dict[str, Learned], names: Iterable[str]) -> str:
    """The memory of `names` with the lowest KL on training subjects; the first one of equals."""
    return min(names, key=lambda name: np.inf if learned[name].kl is None else learned[name].kl)
