"""Every fold of a run: trained, or continued, or read, and predicted.

Started again with the same command it continues: finished folds are read, the running one goes on from its
last checkpoint and ends with the same bits as if nothing had happened.
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from mpcl_jax.data.normalise import notes_on_fold
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train import checkpoint, processes, run_folder
from mpcl_jax.train.devices import compiled_meanwhile
from mpcl_jax.train.evaluate import Predictions, load_predictions, predict_rows, save_predictions
from mpcl_jax.train.examine import Trained, examine_group
from mpcl_jax.train.fold_inspection import save_inspection
from mpcl_jax.train.folds import (
    FoldArrays,
    Program,
    fold_arrays,
    stack,
    stack_keys,
    unstack,
)
from mpcl_jax.train.progress import Ticker, announce, mean_report, report_of_each, warn
from mpcl_jax.train.run import Member, Run, member_of
from mpcl_jax.train.selection import write_choices
from mpcl_jax.train.skips import require_fewer, skipped_steps
from mpcl_jax.train.slots import slot_log, write_slots
from mpcl_jax.train.state import Training, chosen_model


def train_folds(run: Run) -> list[Predictions]:
    """Trains and predicts every fold of the split, or reads what an earlier start finished."""
    numbers = range(len(run.split.folds))
    finished = processes.by_first(lambda: [n for n in numbers if _predictions_file(run, n).exists()])
    return [
        predictions
        for first in range(0, len(numbers), run.program.group)
        for predictions in _finished_group(run, numbers[first : first + run.program.group], set(finished))
    ]


def _finished_group(run: Run, numbers: Sequence[int], finished: set[int]) -> list[Predictions]:
    files = [_predictions_file(run, number) for number in numbers]
    if finished.issuperset(numbers):
        for number in numbers:
            print(f"{run.split.folds[number].name}  finished before", flush=True)
        return [load_predictions(file) for file in files]
    members = [member_of(run, number) for number in numbers]
    _tell_constant(run, members)
    arrays = stack(run.program, [fold_arrays(m.fold, m.norm, run.longest) for m in members])
    training = train_group(run, members, arrays)
    choices = _choices(run, members, training)
    if processes.is_first():
        write_choices(run.workdir, "MPCL", choices)
    chosen = [member.fold.test for member in members]
    predictions = predict_rows(run.program, training, run.rows, arrays, chosen, run.longest.test)
    for member, of_fold in zip(members, predictions, strict=True):
        _require_finite(run, member, of_fold)
    trained = Trained(run.program, *chosen_model(training), run.rows, arrays, run.longest.test)
    inspections = examine_group(trained, [member.fold for member in members], run.recordings, run.config)
    if processes.is_first():
        for file, of_fold, inspection in zip(files, predictions, inspections, strict=True):
            save_inspection(file.with_name("inspection.npz"), inspection)
            save_predictions(file, of_fold)
    return predictions


def _tell_constant(run: Run, members: Sequence[Member]) -> None:
    """Says which features are constant in a training part, where the notes of the whole data set do not."""
    for member in members:
        for note in notes_on_fold(member.norm):
            if note not in run.recordings.notes:
                print(f"note   {member.fold.name}, training part: {note}", flush=True)


def _choices(run: Run, members: Sequence[Member], training: Training) -> dict[str, dict]:
    """What is written down before the test rows of a group are predicted: the epoch, by the name of the fold."""
    names = [member.fold.name for member in members]
    if training.best is None:
        return {name: {"epoch": run.config.train.epochs, "by": "the last one"} for name in names}
    return {
        name: {"epoch": int(epoch), "by": "validation KL", "validation_kl": float(kl)}
        for name, (epoch, kl) in zip(names, _best_of_each(run, training, len(members)), strict=True)
    }


def _best_of_each(run: Run, training: Training, count: int) -> list[tuple]:
    """Epoch and validation KL of each fold's best model."""
    return unstack(run.program, (training.best.epoch, training.best.validation_kl), count)


def _require_finite(run: Run, member: Member, predictions: Predictions) -> None:
    bad = predictions.rows[~np.isfinite(predictions.predicted).all(axis=1)]
    if len(bad):
        ids = row_ids(run.recordings)
        raise TrainingError(
            f"{member.fold.name}: predictions for {len(bad)} windows are not finite, the first of {ids[bad[0]]}"
        )


def _predictions_file(run: Run, number: int) -> pathlib.Path:
    return run_folder.fold_folder(run.workdir, number) / "predictions.npz"


def train_group(run: Run, members: Sequence[Member], arrays: FoldArrays) -> Training:
    """Trains folds side by side, or one, from their last common checkpoint, or from the start, to the last epoch.

    Raises Stopped behind the running epoch, which is saved, when somebody asks the run to stop.
    """
    settings, program = run.config.train, run.program
    with contextlib.ExitStack() as opened, run.stop.deferred():
        saved = [opened.enter_context(_open_checkpoints(run, member)) for member in members]
        done, training = _begin(run, members, saved, arrays)
        for member in members:
            run.skips.drop_after(member.number, done)
            announce(member.fold.name, member.fold.sentence, done, run.log.drop_after(member.number, done))
            slot_log(_folder(run, member)).drop_after(member.number, done)
        ticker = Ticker(
            _label(members),
            settings.epochs,
            done,
            len(members) * program.steps_per_epoch * settings.batch_size,
        )
        try:
            for epoch in range(done + 1, settings.epochs + 1):
                keys = stack_keys(program, [jax.random.fold_in(member.key, epoch) for member in members])
                training, (report, slots) = program.epoch(training, run.rows, arrays, keys)
                reports = report_of_each(report, [len(member.fold.validation) > 0 for member in members])
                if any(of_fold["skipped"] for of_fold in reports):
                    _tell_skips(run, members, epoch, training)
                stopping = processes.anyone(run.stop.requested)
                ticker.update(epoch, mean_report(reports))
                for member, of_fold in zip(members, reports, strict=True):
                    _write_report(run, member, epoch, of_fold)
                write_slots([_folder(run, m) for m in members], [m.number for m in members], epoch, slots)
                if epoch % settings.checkpoint_every == 0 or epoch == settings.epochs or stopping:
                    _save(run, members, saved, epoch, training)
                if stopping:
                    run.stop.requested = True
                    break
        finally:
            ticker.close()
        _require_best(run, members, training)
    return training


def _open_checkpoints(run: Run, member: Member):
    folder = run_folder.fold_folder(run.workdir, member.number) / "checkpoints"
    return checkpoint.open_checkpoints(folder, run.origin | {"fold": member.fold.name})


def _begin(run: Run, members: Sequence[Member], saved: Sequence, arrays: FoldArrays) -> tuple[int, Training]:
    """Finished epochs and training of the newest checkpoint that all have, or a fresh start."""
    program = run.program
    keys = stack_keys(program, [member.key for member in members])
    label_means = stack(program, [member.label_mean for member in members])
    like = jax.eval_shape(program.create, keys, label_means)
    until, restored = _restored(program, saved, like)
    if until == 0:
        if run.config.train.stream_rows:  # an epoch of several programs
            return 0, program.create(keys, label_means)
        with compiled_meanwhile(program.epoch, like, run.rows, arrays, keys):
            return 0, program.create(keys, label_means)
    trainings = [training for _, training in restored]
    return until, trainings[0] if program.group == 1 else stack(program, jax.device_get(trainings))


def _restored(program: Program, saved: Sequence, like: Training) -> tuple[int, list]:
    """The newest epoch of which all have a checkpoint, or 0, and what each of them holds."""
    if program.group > 1:
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), like)
    until, restored = None, []
    while len({epoch for epoch, _ in restored}) != 1:
        restored = [
            checkpoint.restore(manager, like, program.replicated, until) or (0, None) for manager in saved
        ]
        until = min(epoch for epoch, _ in restored)
    return until, restored


def _save(run: Run, members: Sequence[Member], saved: Sequence, epoch: int, training: Training) -> None:
    of_folds = unstack(run.program, training, len(members))
    for member, manager, of_fold in zip(members, saved, of_folds, strict=True):
        checkpoint.save(manager, epoch, of_fold, member.norm, dataclasses.asdict(run.config))


def _tell_skips(run: Run, members: Sequence[Member], epoch: int, training: Training) -> None:
    """Writes down which steps of an epoch changed nothing. Raises TrainingError where they are too many in a row."""
    ids = row_ids(run.recordings)
    for member, guard in zip(members, unstack(run.program, training.guard, len(members)), strict=True):
        arrays, where = (
            fold_arrays(member.fold, member.norm, run.longest),
            f"{member.fold.name}, epoch {epoch}",
        )
        skips = skipped_steps(run.program, arrays, jax.random.fold_in(member.key, epoch), guard, ids)
        for skip in skips:
            run.skips.write({"fold": member.number, "epoch": epoch, **skip._asdict()})
        if skips:
            warn(
                f"{where}: {len(skips)} of {run.program.steps_per_epoch} steps were skipped, see skipped.jsonl"
            )
        require_fewer(skips, run.config.train.max_consecutive_skips, where)


def _require_best(run: Run, members: Sequence[Member], training: Training) -> None:
    if training.best is None:
        return
    for member, (epoch, _) in zip(members, _best_of_each(run, training, len(members)), strict=True):
        if epoch == 0:
            raise TrainingError(
                f"{member.fold.name}: no epoch had a finite validation KL, so config.train.select = 'best' has "
                "nothing to choose from"
            )


def _folder(run: Run, member: Member) -> pathlib.Path:
    return run_folder.fold_folder(run.workdir, member.number)


def _label(members: Sequence[Member]) -> str:
    """ "fold 1 of 10", or of a group "fold 1 of 10 … fold 8 of 10"."""
    return " … ".join(dict.fromkeys((members[0].fold.name, members[-1].fold.name)))


def _write_report(run: Run, member: Member, epoch: int, report: dict[str, float]) -> None:
    finite = {
        name: value if math.isfinite(value) else None for name, value in report.items()
    }  # JSON has no NaN
    if report.get("validation_kl", 0.0) != finite.get("validation_kl", 0.0):
        warn(
            f"{member.fold.name}, epoch {epoch}: the validation KL is not finite; this epoch is not the best"
        )
    run.log.write({"fold": member.number, "epoch": epoch, **finite})
    if run.board is not None:
        for name, value in report.items():
            run.board.add_scalar(f"fold_{member.number:02d}/{name}", value, epoch)
