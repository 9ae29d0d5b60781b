"""When a training stops, chosen on inner folds of its training part alone (`config.train.select = "inner"`).

How many epochs a small study needs depends on the data. Each inner fold holds out whole groups of the training part
(`inner_rows`) and is trained for all epochs by the program of the run. The training of the whole part then stops
at the epoch with the lowest held-out KL. An untrained model predicts the mean label. Where the lowest KL is not
below that of the mean label by one standard error over the inner folds, corrected for their small number by Student's
t, nothing is trained: the model predicts the mean label.
"""

import jax
import numpy as np
import scipy  # its parts are loaded on first use

from mpcl_jax import metrics
from mpcl_jax.data.splits.inner import inner_rows
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train.folds import on_devices, stack
from mpcl_jax.train.held_out import InnerModel, inner_model, stored_epochs
from mpcl_jax.train.run import Member, Run, Stop, arrays_of, as_member, begin_training, folded_key

ONE_ERROR = 0.8413  # share of a normal distribution below its mean plus one standard error


def choose_stop(run: Run, member: Member, kept: list[list[InnerModel]] | None = None) -> Stop:
    """The epoch at which the training of `member` stops; the last one where its training part is one group.

    `kept` gets the models of each inner fold after the epochs of `held_out.stored_epochs`. Raises TrainingError where
    no epoch has a finite KL, and Stopped on a request to stop.
    """
    held_out = inner_rows(run.recordings, run.split.protocol, member.fold.train)
    if not held_out:
        return Stop(run.config.train.epochs, float("nan"), float("nan"))
    with run.stop.deferred():
        found = [_curve(run, member, rows, kept) for rows in held_out]
    curves = np.array(found)  # after a request to stop their lengths differ, and Stopped is raised before
    weight = [len(rows) for rows in held_out]
    curve = np.average(curves, axis=0, weights=weight)
    if not np.isfinite(curve).any():
        raise TrainingError(f"{member.fold.name}: no epoch had a finite KL on the inner folds")
    best = int(np.nanargmin(np.where(np.isfinite(curve), curve, np.nan)))
    gain = curves[:, 0] - curves[:, best]  # over the mean label, of each inner fold
    least = scipy.special.stdtrit(len(gain) - 1, ONE_ERROR) / np.sqrt(len(gain))  # 0.60 for four folds
    clear = gain.mean() > least * gain.std(ddof=1)
    epoch = best if clear else 0
    return Stop(epoch, float(curve[epoch]), float(curve[0]))


def _curve(run: Run, member: Member, rows: np.ndarray, kept: list[list[InnerModel]] | None) -> np.ndarray:
    """The KL of the held-out `rows`, [1 + epochs], of a training on the rest of the training part.

    The first value is that of the mean label, the others are after each epoch.
    """
    program, fold = run.program, member.fold
    inner = fold._replace(train=np.setdiff1d(fold.train, rows), validation=rows)
    inner_member = as_member(run, member.number, inner)
    labels = run.recordings.labels[rows]
    of_mean = metrics.kl(
        labels, np.tile(metrics.as_distributions(inner_member.label_mean[None]), (len(rows), 1))
    )
    arrays = on_devices(arrays_of(run, inner_member), program.by_fold)
    training = begin_training(run, member.key, stack(program, [inner_member.label_mean]), arrays)
    curve, models = [np.float32(of_mean.mean())], []
    stored = stored_epochs(run.config.train.epochs)
    for epoch in range(1, run.config.train.epochs + 1):
        if run.stop.requested:
            break
        key = folded_key(member.key, np.uint32(epoch))
        training, (report, _) = program.epoch(training, run.rows, arrays, key)
        curve.append(report["validation_kl"])
        if kept is not None and epoch in stored:
            models.append(inner_model(inner_member, rows, epoch, training))
    if kept is not None:
        kept.append(models)
    return np.array(jax.device_get(curve))
