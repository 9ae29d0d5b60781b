"""What a training writes epoch by epoch: one `RunWriter` for the folds that are trained together.

metrics.jsonl    a line per fold and epoch          skipped.jsonl  a line per training step that was skipped
folds/00/        memory.jsonl and checkpoints of each fold
"""

import contextlib
import dataclasses
import json
import math
import pathlib
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import jax
import numpy as np

from mpcl_jax.data.normalise import notes_on_fold
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.system.output import warn
from mpcl_jax.system.storage import write_text, writing
from mpcl_jax.train import checkpoint, processes
from mpcl_jax.train.epoch import SlotReport
from mpcl_jax.train.folds import unstack
from mpcl_jax.train.progress import FoldProgress
from mpcl_jax.train.run import Member, Run, arrays_of
from mpcl_jax.train.run_folder import fold_folder
from mpcl_jax.train.selection import write_choices
from mpcl_jax.train.state import Guard, Training


class Skip(NamedTuple):
    """One skipped step; a line of `skipped.jsonl`, after fold and epoch."""

    step: int  # of its epoch, counted from 1
    in_a_row: int  # skipped steps up to this one
    samples: list[str]  # ids of the windows in its batch (`manifest.row_ids`)


class RunWriter(contextlib.ExitStack):
    """Writes for one group of folds, as a context.

    Every process calls every method; all take part in checkpoints, and only the first process writes the other files.
    Every method raises StorageError where the disk does not take a file.
    """

    def __init__(self, run: Run, members: Sequence[Member]):
        """`members`: the folds of the group. Makes their folders and opens their checkpoints."""
        super().__init__()
        self._run, self._members = run, members
        self._folders = [fold_folder(run.workdir, member.number) for member in members]
        self._first = processes.is_first()
        self._saved = [
            self.enter_context(
                checkpoint.open_checkpoints(folder / "checkpoints", run.origin | {"fold": member.fold.name})
            )
            for member, folder in zip(members, self._folders, strict=True)
        ]

    def restore(self, like: Training) -> tuple[int, list[Training]]:
        """The newest epoch of which all folds have a checkpoint, and their trainings; (0, []) where there is none.

        `like`: shapes and dtypes of the training of one fold.
        """
        sharding, until, restored = self._run.program.replicated, None, []
        while len({epoch for epoch, _ in restored}) != 1:
            restored = [
                checkpoint.restore(saved, like, sharding, until) or (0, None) for saved in self._saved
            ]
            until = min(epoch for epoch, _ in restored)
        return until, [training for _, training in restored] if until else []

    def start(self, done: int) -> None:
        """Begins after epoch `done`: removes the lines of later epochs, which come again, and prints each fold."""
        run = self._run
        for member, folder in zip(self._members, self._folders, strict=True) if self._first else ():
            logs = run.workdir / "metrics.jsonl", run.workdir / "skipped.jsonl", folder / "memory.jsonl"
            again, *_ = (forget_after(file, member.number, done) for file in logs)
            for file in (logs[0], logs[2]):  # readers expect them also where no epoch is trained
                with writing(file, 0):
                    file.touch()
            for note in notes_on_fold(member.norm):  # where the data set has no such note
                if note not in run.recordings.notes:
                    print(f"note   {member.fold.name}, training part: {note}", flush=True)
            _announce(member.fold.name, member.fold.sentence, done, again)
        names = dict.fromkeys((self._members[0].fold.name, self._members[-1].fold.name))
        samples = len(self._members) * run.program.steps_per_epoch * run.config.train.batch_size
        self._progress = FoldProgress(" … ".join(names), run.config.train.epochs, done, samples)
        self.callback(self._progress.close)

    def epoch(self, epoch: int, report: dict, slots: SlotReport | None, guard: Guard) -> list[list[Skip]]:
        """Writes a finished epoch: the mean of every loss term, drift and usage of slots, and skipped steps.

        Returns the skipped steps of each fold.
        """
        reports = report_of_each(report, [len(member.fold.validation) > 0 for member in self._members])
        skips = self._skips(epoch, guard) if any(r["skipped"] for r in reports) else [[]] * len(reports)
        common = [name for name in reports[0] if all(name in of_fold for of_fold in reports)]
        self._progress.update(epoch, {name: fmean(of_fold[name] for of_fold in reports) for name in common})
        for i, (member, of_fold) in enumerate(zip(self._members, reports, strict=True)):
            self._write_report(member, epoch, of_fold)
            if slots is not None:
                by_fold = {
                    n: np.asarray(x, np.float64).reshape(-1, *x.shape[-2:])
                    for n, x in slots._asdict().items()
                }
                curves = {n: x[i].round(4).tolist() for n, x in by_fold.items()}  # four digits: for a plot
                self._append(self._folders[i] / "memory.jsonl", member, epoch, curves)
        return skips

    def checkpoint(self, epoch: int, training: Training) -> None:
        """Saves the training of each fold after `epoch`. Raises TrainingError for a state that is not finite."""
        of_folds, config = unstack(self._run.program, training, len(self._members)), self._run.config
        for member, saved, of_fold in zip(self._members, self._saved, of_folds, strict=True):
            checkpoint.save(saved, epoch, of_fold, member.norm, dataclasses.asdict(config))

    def choices(self, choices: dict[str, dict]) -> None:
        """Records the chosen epochs, by the name of the fold (`selection.json`)."""
        if self._first:
            write_choices(self._run.workdir, "MPCL", choices)

    def _append(self, file: pathlib.Path, member: Member, epoch: int, entry: dict) -> None:
        if self._first:
            append(file, {"fold": member.number, "epoch": epoch, **entry})

    def _skips(self, epoch: int, guard: Guard) -> list[list[Skip]]:
        """The skipped steps of each fold, which are written; `guard` is that after the epoch."""
        run, skips = self._run, skipped_steps(self._run, self._members, epoch, guard)
        for member, of_fold in zip(self._members, skips, strict=True):
            for skip in of_fold:
                self._append(run.workdir / "skipped.jsonl", member, epoch, skip._asdict())
            if of_fold:
                count = f"{len(of_fold)} of {run.program.steps_per_epoch} steps were skipped"
                warn(f"{member.fold.name}, epoch {epoch}: {count}, see skipped.jsonl")
        return skips

    def _write_report(self, member: Member, epoch: int, report: dict[str, float]) -> None:
        finite = {name: x if math.isfinite(x) else None for name, x in report.items()}  # JSON has no NaN
        if "validation_kl" in report and finite["validation_kl"] is None:
            where = f"{member.fold.name}, epoch {epoch}"
            warn(f"{where}: the validation KL is not finite; this epoch is not the best")
        self._append(self._run.workdir / "metrics.jsonl", member, epoch, finite)
        if self._run.board is not None:
            for name, value in report.items():
                self._run.board.add_scalar(f"fold_{member.number:02d}/{name}", value, epoch)


def skipped_steps(run: Run, members: Sequence[Member], epoch: int, guard: Guard) -> list[list[Skip]]:
    """The skipped steps of each fold in `epoch`; `guard` is that after the epoch."""
    ids, skips = row_ids(run.recordings), []
    for member, of_fold in zip(members, unstack(run.program, guard, len(members)), strict=True):
        in_a_row = np.asarray(of_fold.skipped)
        arrays = arrays_of(run, member)
        rows = np.asarray(run.program.batches(arrays, jax.random.fold_in(member.key, epoch)))
        skips.append(
            [
                Skip(int(step) + 1, int(in_a_row[step]), sorted({ids[row] for row in rows[step]}))
                for step in np.flatnonzero(in_a_row)
            ]
        )
    return skips


def append(file: pathlib.Path, entry: dict) -> None:
    """Appends one line of JSON to a log. Raises StorageError where the disk does not take it."""
    line = json.dumps(entry) + "\n"
    with writing(file, len(line)), file.open("a", encoding="utf-8") as opened:
        opened.write(line)


def forget_after(file: pathlib.Path, fold: int, epoch: int) -> int:
    """Removes the lines of `fold` after `epoch` from a log, and a last line that a kill cut short.

    Returns the number of removed whole lines.
    """
    if not file.exists():
        return 0
    whole = (line for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}"))
    entries = [json.loads(line) for line in whole]
    kept = [x for x in entries if x["fold"] != fold or x["epoch"] <= epoch]
    write_text(file, "".join(json.dumps(x) + "\n" for x in kept))
    return len(entries) - len(kept)


def _announce(name: str, sentence: str, done: int, again: int) -> None:
    """Prints which fold begins, after which epoch it resumes, and how many epochs are trained again."""
    resumed = f"  resumed after epoch {done}" if done else "  begins again" if again else ""
    epochs = "1 epoch was" if again == 1 else f"{again} epochs were"
    repeated = f" ({epochs} not saved)" if again else ""
    print(f"{name}  {sentence}{resumed}{repeated}", flush=True)


def report_of_each(report: dict, has_validation: Sequence[bool]) -> list[dict[str, float]]:
    """The report of each fold of a group, on the host; without a validation KL where it has no validation rows."""
    host = {name: np.ravel(np.asarray(value)) for name, value in report.items()}
    return [
        {n: float(x[i]) for n, x in host.items() if n != "validation_kl" or has}
        for i, has in enumerate(has_validation)
    ]
