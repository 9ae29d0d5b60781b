"""The training of a run: resume, train epoch by epoch, choose, predict the test rows, write.

Started again with the same command, a run continues: finished folds are read, the running fold goes on from its last
checkpoint, and the result has the same bits as without the interruption.
"""

from collections.abc import Sequence

import jax
import numpy as np

from mpcl_jax.config.data import WRITTEN
from mpcl_jax.data.splits.descriptions import kind_of, n_of
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.train import processes
from mpcl_jax.train.evaluate import Predictions, Trained, load_predictions, predict, predictions_of
from mpcl_jax.train.fold_memory import (
    adapted_shares,
    choice_of,
    memory_file,
    save_memory,
    tested_rows,
)
from mpcl_jax.train.folds import FoldArrays, stack, stack_keys, unstack
from mpcl_jax.train.held_out import alone, fold_memory
from mpcl_jax.train.inner_selection import choose_stop
from mpcl_jax.train.make_inspection import inspect_group
from mpcl_jax.train.run import Member, Run, arrays_of, begin_training, folded_key, member_of
from mpcl_jax.train.run_folder import fold_folder
from mpcl_jax.train.selection import WITH_MEMORY, write_choices
from mpcl_jax.train.state import Training, chosen_model
from mpcl_jax.train.writer import RunWriter, Skip

INSPECTION, PREDICTIONS, METHOD = "inspection.npz", "predictions.npz", "MPCL"


def train_folds(run: Run) -> list[Predictions]:
    """Trains and predicts every fold of the split, or reads what an earlier start finished."""
    numbers, size, predictions = range(len(run.split.folds)), run.program.group, []
    files = [fold_folder(run.workdir, number) / PREDICTIONS for number in numbers]
    finished = set(processes.by_first(lambda: [n for n in numbers if files[n].exists()]))
    single = alone(run) if kind_of(run.split.protocol) in WRITTEN else None
    for group in (numbers[first : first + size] for first in range(0, len(numbers), size)):
        if finished.issuperset(group):
            for number in group:
                print(f"{run.split.folds[number].name}  finished before", flush=True)
            predictions += [load_predictions(files[number]) for number in group]
        else:
            predictions += _run_group(run, [member_of(run, number) for number in group], single)
    return predictions


def _run_group(run: Run, members: Sequence[Member], single: Run | None) -> list[Predictions]:
    """`single`: the run that trains one fold at a time, where the protocol writes trials into a memory."""
    folds, kept = [member.fold for member in members], None if single is None else []
    if run.config.train.select == "inner":
        members = [member._replace(stop=choose_stop(run, member, kept)) for member in members]
        print(f"{members[0].fold.name}  {members[0].stop.sentence}", flush=True)
    arrays = stack(run.program, [arrays_of(run, m) for m in members])
    with RunWriter(run, members) as writer:
        training = train_group(run, members, arrays, writer)
    trained = Trained(run.program, *chosen_model(training), run.rows, arrays, run.longest.test)
    outputs = predict(trained, [fold.test for fold in folds])
    predictions = [predictions_of(f.test, output) for f, (output, _) in zip(folds, outputs, strict=True)]
    if single is not None:
        choices = _choices(run, members, training)
        memories = _learn_memories(single, members, choices, kept, trained)
        predictions = [
            of_fold._replace(predicted=shares) for of_fold, shares in zip(predictions, memories, strict=True)
        ]
    for fold, of_fold in zip(folds, predictions, strict=True):
        _require_finite(run, fold.name, of_fold)
    inspections = inspect_group(trained, [recall for _, recall in outputs], folds, run.recordings, run.config)
    if processes.is_first():
        for member, of_fold, inspection in zip(members, predictions, inspections, strict=True):
            folder = fold_folder(run.workdir, member.number)
            write_arrays(folder / INSPECTION, inspection._asdict())
            write_arrays(
                folder / PREDICTIONS, of_fold._asdict()
            )  # the last file: it marks a fold as finished
    return predictions


def _learn_memories(
    run: Run, members: Sequence[Member], choices: dict, kept: list, trained: Trained
) -> list[np.ndarray]:
    """Learns and saves the memory of each fold; returns the shares [P, C] of its test rows with this memory."""
    outputs = predict(trained, [tested_rows(run.recordings, member.fold) for member in members])
    found, n = [], n_of(run.split.protocol)
    for member, (output, _) in zip(members, outputs, strict=True):
        fold = member.fold
        memory = fold_memory(run, member, choices[fold.name]["epoch"], kept, output)
        print(f"{fold.name}  personal memory: {memory.chosen}; {memory.reason}", flush=True)
        if processes.is_first():
            write_choices(run.workdir, WITH_MEMORY, {fold.name: choice_of(memory)})
            save_memory(memory_file(fold_folder(run.workdir, member.number), METHOD), memory)
        found.append(adapted_shares(memory, fold.test, n))
    return found


def train_group(run: Run, members: Sequence[Member], arrays: FoldArrays, writer: RunWriter) -> Training:
    """Trains one fold, or several at once, from their last common checkpoint, or from the start, to the last epoch.

    The chosen epochs are recorded (`selection.json`), before any test row is predicted. On a request to stop, Stopped
    is raised after the running epoch, which is saved; TrainingError where training cannot go on with finite numbers.
    """
    settings, program = run.config.train, run.program
    last = members[0].stop.epoch if members[0].stop else settings.epochs
    with run.stop.deferred():
        done, training = _begin(run, members, arrays, writer)
        writer.start(done)
        for epoch in range(done + 1, last + 1):
            keys = stack_keys(program, [folded_key(member.key, np.uint32(epoch)) for member in members])
            training, (report, slots) = program.epoch(training, run.rows, arrays, keys)
            skips = writer.epoch(epoch, report, slots, training.guard)
            for member, of_fold in zip(members, skips, strict=True):
                _require_fewer(of_fold, settings.max_consecutive_skips, f"{member.fold.name}, epoch {epoch}")
            stopping = processes.any_process(run.stop.requested)
            if epoch % settings.checkpoint_every == 0 or epoch == last or stopping:
                writer.checkpoint(epoch, training)
            if stopping:
                run.stop.requested = True  # on every process
                break
        if last == 0:
            writer.checkpoint(0, training)
    writer.choices(_choices(run, members, training))
    return training


def _begin(
    run: Run, members: Sequence[Member], arrays: FoldArrays, writer: RunWriter
) -> tuple[int, Training]:
    """Finished epochs and training of the newest checkpoint that all folds have, or a fresh start."""
    program = run.program
    keys = stack_keys(program, [member.key for member in members])
    label_means = stack(program, [member.label_mean for member in members])
    like = of_one = jax.eval_shape(program.create, keys, label_means)
    if program.group > 1:
        of_one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), like)
    done, trainings = writer.restore(of_one)
    if trainings:
        return done, trainings[0] if program.group == 1 else stack(program, jax.device_get(trainings))
    return 0, begin_training(run, keys, label_means, arrays)


def _choices(run: Run, members: Sequence[Member], training: Training) -> dict[str, dict]:
    """The chosen epoch, by the name of the fold. Raises TrainingError where a fold has none."""
    names = [member.fold.name for member in members]
    if run.config.train.select == "inner":
        return {
            m.fold.name: {"epoch": m.stop.epoch, "by": "KL on inner folds", "inner_kl": m.stop.kl}
            for m in members
        }
    if training.best is None:
        return {name: {"epoch": run.config.train.epochs, "by": "the last one"} for name in names}
    best = unstack(run.program, (training.best.epoch, training.best.validation_kl), len(members))
    for name, (epoch, _) in zip(names, best, strict=True):
        if epoch == 0:
            raise TrainingError(
                f"{name}: no epoch had a finite validation KL, so config.train.select = 'best' has nothing to choose "
                "from"
            )
    return {
        name: {"epoch": int(epoch), "by": "validation KL", "validation_kl": float(kl)}
        for name, (epoch, kl) in zip(names, best, strict=True)
    }


def _require_fewer(skips: list[Skip], most: int, where: str) -> None:
    """Raises TrainingError with step and samples if `most` or more steps were skipped in a row."""
    for skip in skips:
        if skip.in_a_row >= most:
            shown = ", ".join(skip.samples[:6]) + (", …" if len(skip.samples) > 6 else "")
            raise TrainingError(
                f"{where}, step {skip.step}: loss, gradient or memory were not finite, or the loss was a spike, "
                f"{skip.in_a_row} steps in a row; the samples of this one: {shown} (all are in skipped.jsonl). "
                "Check these samples, or lower config.train.learning_rate; the last checkpoint is from before"
            )


def _require_finite(run: Run, name: str, predictions: Predictions) -> None:
    bad = predictions.rows[~np.isfinite(predictions.predicted).all(axis=1)]
    if len(bad):
        first = row_ids(run.recordings)[bad[0]]
        raise TrainingError(
            f"{name}: predictions for {len(bad)} windows are not finite, the first of {first}"
        )
