"""What a training writes: one `RunWriter` for all files and terminal lines of the folds that are trained together.

metrics.jsonl    a line per fold and epoch          skipped.jsonl  a line per training step that was skipped
selection.json   what was chosen, before the test   folds/00/      memory.jsonl, checkpoints, inspection.npz and
                 rows are predicted                                predictions.npz, which marks a fold as finished
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
from mpcl_jax.train.evaluate import Predictions, save_predictions
from mpcl_jax.train.fold_inspection import Inspection, save_inspection
from mpcl_jax.train.folds import fold_arrays, unstack
from mpcl_jax.train.progress import Ticker
from mpcl_jax.train.run import Member, Run
from mpcl_jax.train.run_folder import fold_folder
from mpcl_jax.train.selection import write_choices
from mpcl_jax.train.state import Guard, Training

INSPECTION, PREDICTIONS = "inspection.npz", "predictions.npz"


class Skip(NamedTuple):
    """One skipped step; a line of `skipped.jsonl`, after fold and epoch."""

    step: int  # of its epoch, counted from 1
    in_a_row: int  # skipped steps up to this one
    samples: list[str]  # ids of the windows in its batch (`manifest.row_ids`)


class RunWriter:
    """Writes for one group of folds; a context, inside which checkpoints can be read and written.

    Every process calls every method; all take part in checkpoints, and only the first process writes the other files.
    Every method raises StorageError where the disk does not take a file.
    """

    def __init__(self, run: Run, members: Sequence[Member]):
        """`members`: the folds of the group. Makes their folders."""
        self._run, self._members = run, members
        self._folders = [fold_folder(run.workdir, member.number) for member in members]
        self._first = processes.is_first()
        self._opened, self._saved, self._ticker = contextlib.ExitStack(), [], None

    def __enter__(self):
        """Opens the checkpoints of all folds."""
        for member, folder in zip(self._members, self._folders, strict=True):
            origin = self._run.origin | {"fold": member.fold.name}
            saved = checkpoint.open_checkpoints(folder / "checkpoints", origin)
            self._saved.append(self._opened.enter_context(saved))
        return self

    def __exit__(self, *_):
        """Closes them and the progress bar."""
        if self._ticker is not None:
            self._ticker.close()
        self._opened.close()
        self._saved = []

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
        for member, folder in zip(self._members, self._folders, strict=True):
            self._forget("skipped.jsonl", member, done)
            again = self._forget("metrics.jsonl", member, done)
            if self._first:
                forget_after(folder / "memory.jsonl", member.number, done)
            self._print_constant(member)
            _announce(member.fold.name, member.fold.sentence, done, again)
        settings, program = self._run.config.train, self._run.program
        names = dict.fromkeys((self._members[0].fold.name, self._members[-1].fold.name))
        samples = len(self._members) * program.steps_per_epoch * settings.batch_size
        self._ticker = Ticker(" … ".join(names), settings.epochs, done, samples)

    def epoch(self, epoch: int, report: dict, slots: SlotReport | None, guard: Guard) -> list[list[Skip]]:
        """Writes a finished epoch: the mean of every loss term, drift and usage of slots, and skipped steps.

        Returns the skipped steps of each fold.
        """
        reports = _report_of_each(report, [len(member.fold.validation) > 0 for member in self._members])
        skips = self._write_skips(epoch, guard) if any(r["skipped"] for r in reports) else [[]] * len(reports)
        self._ticker.update(epoch, _mean_report(reports))
        for member, of_fold in zip(self._members, reports, strict=True):
            self._write_report(member, epoch, of_fold)
        if slots is not None and self._first:
            self._write_slots(epoch, slots)
        return skips

    def checkpoint(self, epoch: int, training: Training) -> None:
        """Saves the training of each fold after `epoch`. Raises TrainingError for a state that is not finite."""
        of_folds, config = unstack(self._run.program, training, len(self._members)), self._run.config
        for member, saved, of_fold in zip(self._members, self._saved, of_folds, strict=True):
            checkpoint.save(saved, epoch, of_fold, member.norm, dataclasses.asdict(config))

    def choose(self, choices: dict[str, dict]) -> None:
        """Records the choice of each fold (`selection.json`); call it before any test row is predicted."""
        if self._first:
            write_choices(self._run.workdir, "MPCL", choices)

    def finish(self, predictions: Sequence[Predictions], inspections: Sequence[Inspection]) -> None:
        """Writes the results of each fold; its predictions come last, since they mark it as finished."""
        if self._first:
            for folder, of_fold, inspection in zip(self._folders, predictions, inspections, strict=True):
                save_inspection(folder / INSPECTION, inspection)
                save_predictions(folder / PREDICTIONS, of_fold)

    def _forget(self, name: str, member: Member, done: int) -> int:
        return forget_after(self._run.workdir / name, member.number, done) if self._first else 0

    def _append(self, file: pathlib.Path, entry: dict) -> None:
        if self._first:
            append(file, entry)

    def _print_constant(self, member: Member) -> None:
        """Notes on features that are constant in the training part, where the data set has no such note."""
        for note in notes_on_fold(member.norm):
            if note not in self._run.recordings.notes:
                print(f"note   {member.fold.name}, training part: {note}", flush=True)

    def _write_skips(self, epoch: int, guard: Guard) -> list[list[Skip]]:
        run, ids, skips = self._run, row_ids(self._run.recordings), []
        guards = unstack(run.program, guard, len(self._members))
        for member, of_fold in zip(self._members, guards, strict=True):
            arrays = fold_arrays(member.fold, member.norm, run.longest)
            key = jax.random.fold_in(member.key, epoch)
            skips.append(_skipped_steps(run.program.batches, arrays, key, of_fold, ids))
            for skip in skips[-1]:
                entry = {"fold": member.number, "epoch": epoch, **skip._asdict()}
                self._append(run.workdir / "skipped.jsonl", entry)
            if skips[-1]:
                count = f"{len(skips[-1])} of {run.program.steps_per_epoch} steps were skipped"
                warn(f"{member.fold.name}, epoch {epoch}: {count}, see skipped.jsonl")
        return skips

    def _write_report(self, member: Member, epoch: int, report: dict[str, float]) -> None:
        finite = {name: x if math.isfinite(x) else None for name, x in report.items()}  # JSON has no NaN
        if "validation_kl" in report and finite["validation_kl"] is None:
            warn(
                f"{member.fold.name}, epoch {epoch}: the validation KL is not finite; this epoch is not the best"
            )
        self._append(self._run.workdir / "metrics.jsonl", {"fold": member.number, "epoch": epoch, **finite})
        if self._run.board is not None:
            for name, value in report.items():
                self._run.board.add_scalar(f"fold_{member.number:02d}/{name}", value, epoch)

    def _write_slots(self, epoch: int, slots: SlotReport) -> None:
        drift, usage = (np.asarray(x, np.float64).reshape(-1, *x.shape[-2:]) for x in jax.device_get(slots))
        for i, (member, folder) in enumerate(zip(self._members, self._folders, strict=True)):
            # Four digits: these are curves for a plot.
            curves = {"drift": drift[i].round(4).tolist(), "usage": usage[i].round(4).tolist()}
            append(folder / "memory.jsonl", {"fold": member.number, "epoch": epoch, **curves})


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


def _skipped_steps(batches, arrays, key, guard: Guard, ids: list[str]) -> list[Skip]:
    """The skipped steps of the epoch of `key`, after which the guard of the fold was `guard`; `ids` of all rows."""
    in_a_row = np.asarray(guard.skipped)
    if not in_a_row.any():
        return []
    rows = np.asarray(batches(arrays, key))
    return [
        Skip(int(step) + 1, int(in_a_row[step]), sorted({ids[row] for row in rows[step]}))
        for step in np.flatnonzero(in_a_row)
    ]


def _report_of_each(report: dict, has_validation: Sequence[bool]) -> list[dict[str, float]]:
    """The report of each fold of a group, on the host; without a validation KL where it has no validation rows."""
    host = {name: np.ravel(np.asarray(value)) for name, value in report.items()}
    return [
        {n: float(x[i]) for n, x in host.items() if n != "validation_kl" or has}
        for i, has in enumerate(has_validation)
    ]


def _mean_report(reports: list[dict[str, float]]) -> dict[str, float]:
    """The mean over the folds of every term that all of them report."""
    return {name: fmean(r[name] for r in reports) for name in reports[0] if all(name in r for r in reports)}
