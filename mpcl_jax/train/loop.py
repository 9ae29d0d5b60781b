"""A whole run: recordings → split → every fold trained, predicted and compared → one table.

Started again with the same command it continues: finished folds are read, the running one goes on from its
last checkpoint and ends with the same bits as if nothing had happened.
"""

import contextlib
import dataclasses
import math
import pathlib
import re
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mpcl_jax.batch import Recordings, spec_of, take
from mpcl_jax.config import ConfigError
from mpcl_jax.data import pipeline
from mpcl_jax.data.manifest import row_ids
from mpcl_jax.data.normalise import Normalisation, fit_normalisation
from mpcl_jax.data.protocols import Fold, Split, make_split
from mpcl_jax.inspection.fold_file import save_inspection
from mpcl_jax.model.mpcl import build
from mpcl_jax.settings import Config, ProtocolConfig
from mpcl_jax.train import checkpoint, processes, run_folder
from mpcl_jax.train.devices import make_mesh
from mpcl_jax.train.endings import TrainingError
from mpcl_jax.train.evaluate import Predictions, load_predictions, predict_rows, save_predictions
from mpcl_jax.train.examine import Trained, examine_group
from mpcl_jax.train.folds import (
    FoldArrays,
    Longest,
    Program,
    Rows,
    device_rows,
    fold_arrays,
    longest_of,
    make_program,
    stack,
    stack_keys,
    unstack,
)
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.progress import MetricsLog, Ticker, announce, mean_report, report_of_each, warn
from mpcl_jax.train.skips import require_fewer, skipped_steps
from mpcl_jax.train.slots import slot_log, write_slots
from mpcl_jax.train.state import Training, chosen_model


class Run(NamedTuple):
    """What all folds of a run share."""

    config: Config
    workdir: pathlib.Path
    recordings: Recordings
    split: Split
    program: Program
    longest: Longest  # of all folds of the protocol, also of those that are not run
    rows: Rows  # on the device
    log: MetricsLog
    skips: MetricsLog  # of steps that changed nothing
    origin: dict[str, str]  # sha256 of data and split, kept in every checkpoint
    board: Any = None  # a TensorBoard writer
    stop: StopRequest = StopRequest()  # asked by signals in `main.py`


class Member(NamedTuple):
    """A fold that is trained, alone or in a group."""

    number: int  # in the run; names its folder
    fold: Fold
    key: Any  # everything random in the fold is drawn from it
    norm: Normalisation
    label_mean: np.ndarray  # [C], of the training part


def prepare(config: Config, workdir: pathlib.Path) -> Run:
    """Loads the recordings, makes the split and claims the folder; compiles nothing.

    Raises ConfigError and DataFileError for everything that can be wrong before training begins, ProcessError
    where another process is late or has other settings or data.
    """
    mesh = make_mesh(config)
    recordings = pipeline.load(config.data)
    split = make_split(recordings, config.protocol)
    if config.train.select == "best" and not all(len(fold.validation) for fold in split.folds):
        raise ConfigError("config.train.select = 'best': the manifest has a fold without validation rows")
    at_once = config.train.folds_at_once
    if at_once > len(split.folds):
        raise ConfigError(f"config.train.folds_at_once = {at_once}: this run has {len(split.folds)} fold(s)")
    longest = longest_of(_whole(recordings, split, config.protocol).folds)
    processes.meet("data loaded", config.distributed)
    processes.require_same("settings", _common_settings(config))
    processes.require_same("data or split", pipeline.content_hash(recordings) + split.sha256)
    origin = processes.by_first(lambda: run_folder.claim(workdir, config, recordings, split))
    spec = spec_of(recordings)
    model = build(config.model, spec, config.train.precision)
    program = make_program(config, model, spec, longest.train, mesh)
    rows = device_rows(recordings, program.replicated)
    log = MetricsLog(workdir / "metrics.jsonl" if processes.is_first() else None)
    skips = MetricsLog(workdir / "skipped.jsonl" if processes.is_first() else None)
    return Run(config, workdir, recordings, split, program, longest, rows, log, skips, origin)


def _common_settings(config: Config) -> str:
    """All settings but the one in which processes differ."""
    return str(dataclasses.replace(config, distributed=dataclasses.replace(config.distributed, process_id=0)))


def _whole(recordings: Recordings, split: Split, settings: ProtocolConfig) -> Split:
    """The split with all folds of its protocol, also those that `only` leaves out."""
    return make_split(recordings, dataclasses.replace(settings, only=())) if settings.only else split


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
    members = [_member(run, number) for number in numbers]
    arrays = stack(run.program, [fold_arrays(m.fold, m.norm, run.longest) for m in members])
    training = train_group(run, members, arrays)
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


def _require_finite(run: Run, member: Member, predictions: Predictions) -> None:
    bad = predictions.rows[~np.isfinite(predictions.predicted).all(axis=1)]
    if len(bad):
        ids = row_ids(run.recordings)
        raise TrainingError(
            f"{member.fold.name}: predictions for {len(bad)} windows are not finite, the first of {ids[bad[0]]}"
        )


def _predictions_file(run: Run, number: int) -> pathlib.Path:
    return run_folder.fold_folder(run.workdir, number) / "predictions.npz"


def _member(run: Run, number: int) -> Member:
    fold = run.split.folds[number]
    # The fold's own number in the protocol, so that `protocol.only` does not change its result.
    seed = jax.random.key(run.config.seed, impl=run.config.train.generator)
    key = jax.random.fold_in(seed, _own_number(fold))
    training_part = take(run.recordings, fold.train)
    return Member(number, fold, key, fit_normalisation(training_part), training_part.labels.mean(axis=0))


def train_group(run: Run, members: Sequence[Member], arrays: FoldArrays) -> Training:
    """Trains folds side by side, or one, from their last common checkpoint, or from the start, to the last epoch.

    Raises Stopped behind the running epoch, which is saved, when somebody asks the run to stop.
    """
    settings, program = run.config.train, run.program
    with contextlib.ExitStack() as opened, run.stop.deferred():
        saved = [opened.enter_context(_open_checkpoints(run, member)) for member in members]
        done, training = _begin(run, members, saved)
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
                stopping = processes.anyone(run.stop.asked)
                ticker.update(epoch, mean_report(reports))
                for member, of_fold in zip(members, reports, strict=True):
                    _write_report(run, member.number, epoch, of_fold)
                write_slots([_folder(run, m) for m in members], [m.number for m in members], epoch, slots)
                if epoch % settings.checkpoint_every == 0 or epoch == settings.epochs or stopping:
                    _save(run, members, saved, epoch, training)
                if stopping:
                    run.stop.asked = True
                    break
        finally:
            ticker.close()
        _require_best(run, members, training)
    return training


def _open_checkpoints(run: Run, member: Member):
    folder = run_folder.fold_folder(run.workdir, member.number) / "checkpoints"
    return checkpoint.open_checkpoints(folder, run.origin | {"fold": member.fold.name})


def _begin(run: Run, members: Sequence[Member], saved: Sequence) -> tuple[int, Training]:
    """Finished epochs and training of the newest checkpoint that all have, or a fresh start."""
    program = run.program
    keys = stack_keys(program, [member.key for member in members])
    label_means = stack(program, [member.label_mean for member in members])
    like = jax.eval_shape(program.create, keys, label_means)
    if program.group > 1:
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), like)
    until, restored = None, []
    while len({epoch for epoch, _ in restored}) != 1:
        restored = [
            checkpoint.restore(manager, like, program.replicated, until) or (0, None) for manager in saved
        ]
        until = min(epoch for epoch, _ in restored)
    if until == 0:
        return 0, program.create(keys, label_means)
    trainings = [training for _, training in restored]
    return until, trainings[0] if program.group == 1 else stack(program, jax.device_get(trainings))


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
        require_fewer(skips, run.config.train.skips_in_a_row, where)


def _require_best(run: Run, members: Sequence[Member], training: Training) -> None:
    if training.best is None:
        return
    for member, epoch in zip(members, unstack(run.program, training.best.epoch, len(members)), strict=True):
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


def _own_number(fold: Fold) -> int:
    """3 of "fold 3 of 10"; a number that stands for any other name that a manifest may give."""
    ours = re.fullmatch(r"fold (\d{1,9}) of \d+", fold.name)
    return int(ours[1]) if ours else zlib.crc32(fold.name.encode())


def _write_report(run: Run, number: int, epoch: int, report: dict[str, float]) -> None:
    finite = {
        name: value if math.isfinite(value) else None for name, value in report.items()
    }  # JSON has no NaN
    if report.get("validation_kl", 0.0) != finite.get("validation_kl", 0.0):
        warn(f"fold {number}, epoch {epoch}: the validation KL is not finite; this epoch is not the best")
    run.log.write({"fold": number, "epoch": epoch, **finite})
    if run.board is not None:
        for name, value in report.items():
            run.board.add_scalar(f"fold_{number:02d}/{name}", value, epoch)
