"""A run protects itself: bad steps are named and end it, and bad epochs are never the best."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from run_fixture import last_training, moved

from mpcl_jax.data.normalise import fit_normalisation
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.system.checksums import steps_in
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train import epoch as epoch_module
from mpcl_jax.train import folds
from mpcl_jax.train.evaluate import Trained, predict, predictions_of
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.state import Guard, chosen_model
from mpcl_jax.types import take


def with_bad_rows(run, rows, value=np.inf):
    """The run, whose device holds a number that is not finite in one feature of `rows`."""
    signals = dict(run.recordings.signals)
    name = next(iter(signals))
    signals[name] = signals[name].copy()
    signals[name][rows, 0, 0] = value
    present = run.recordings.present | {name: np.ones_like(run.recordings.present[name])}
    spoilt = run.recordings._replace(signals=signals, present=present)
    return run._replace(rows=folds.device_rows(spoilt, run.program.replicated))


def lines_of(run, name):
    return [json.loads(line) for line in (run.workdir / name).read_text().splitlines()]


# ---- bad steps ----


def test_a_bad_sample_costs_its_steps_and_is_named(trained, tmp_path, capsys):
    run = moved(trained[0], tmp_path, slice(1), max_consecutive_skips=1000)
    row = int(run.split.folds[0].train[5])
    train_folds(with_bad_rows(run, [row]))
    skips, sample = lines_of(run, "skipped.jsonl"), row_ids(run.recordings)[row]
    assert skips and all(x["fold"] == 0 and sample in x["samples"] for x in skips)
    log = lines_of(run, "metrics.jsonl")
    for entry in log:
        of_epoch = [x for x in skips if x["epoch"] == entry["epoch"]]
        assert entry["skipped"] == len(of_epoch) > 0
        # Every batch that holds the sample, and no other, was skipped.
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0, impl="rbg"), 1), entry["epoch"])
        batches = np.asarray(run.program.batches(arrays_of(run), key))
        assert [x["step"] for x in of_epoch] == (np.flatnonzero((batches == row).any(1)) + 1).tolist()
        made = run.program.steps_per_epoch - len(of_epoch)
        assert (entry["loss"] is None) == (made == 0)
    assert np.isfinite(np.asarray(last_training(run)[1].state.params["reading"]["emotion"])).all()
    assert "see skipped.jsonl" in capsys.readouterr().err


def arrays_of(run):
    fold = run.split.folds[0]
    return folds.fold_arrays(fold, fit_normalisation(take(run.recordings, fold.train)), run.longest)


@pytest.mark.parametrize("value", [-np.inf, np.inf])
def test_too_many_bad_steps_in_a_row_end_the_training(trained, tmp_path, value):
    run = moved(trained[0], tmp_path, slice(1), max_consecutive_skips=5)
    rows = run.split.folds[0].train
    with pytest.raises(TrainingError) as caught:
        train_folds(with_bad_rows(run, rows, value))
    # Two or three steps an epoch, none of which is made: the fifth in a row lies in the second or third epoch.
    steps = run.program.steps_per_epoch
    where = f"fold 1 of 3, epoch {1 + 4 // steps}, step {1 + 4 % steps}:"
    assert str(caught.value).startswith(where) and "5 steps in a row" in str(caught.value)
    assert all(name in str(caught.value) for name in lines_of(run, "skipped.jsonl")[4]["samples"][:6])
    assert steps_in(run.workdir / "folds" / "00" / "checkpoints") == list(range(4 // steps, 0, -1))[:2]


def test_what_counts_as_a_spike():
    guard = Guard(jnp.int32([0]), jnp.float32(0.5))
    assert epoch_module._most(guard, 4.0) == 2.0
    assert epoch_module._most(guard, 0.0) == jnp.inf
    assert epoch_module._most(guard._replace(usual_loss=jnp.float32(jnp.inf)), 4.0) == jnp.inf


# ---- bad epochs ----


def test_without_a_finite_validation_nothing_is_the_best(trained, tmp_path, capsys):
    run = moved(trained[0], tmp_path, slice(1))
    with pytest.raises(TrainingError, match="fold 1 of 3: no epoch had a finite validation KL"):
        train_folds(with_bad_rows(run, run.split.folds[0].validation))
    assert [x["validation_kl"] for x in lines_of(run, "metrics.jsonl")] == [None] * 3
    warnings = capsys.readouterr().err
    assert warnings.count("the validation KL is not finite; this epoch is not the best") == 3
    assert "fold 1 of 3, epoch 2: the validation KL" in warnings
    assert not (run.workdir / "folds" / "00" / "predictions.npz").exists()


def test_predictions_that_are_not_finite_are_refused_by_name(trained, tmp_path):
    run = moved(trained[0], tmp_path, slice(1), checkpoint_every=3)
    row = run.split.folds[0].test[2]
    with pytest.raises(TrainingError, match="predictions for 1 windows are not finite") as caught:
        train_folds(with_bad_rows(run, [row]))
    assert row_ids(run.recordings)[row] in str(caught.value)


def test_the_validation_kl_is_the_mean_over_real_validation_rows(trained):
    run, fold = trained[0], trained[0].split.folds[0]
    assert len(fold.validation) < len(arrays_of(run).validation)  # the rest is padding
    last = last_training(run)[1]._replace(best=None)
    model = Trained(run.program, *chosen_model(last), run.rows, arrays_of(run), run.longest.validation)
    predicted = predictions_of(fold.validation, predict(model, [fold.validation])[0][0])
    labels = run.recordings.labels[fold.validation]
    expected = np.sum(np.where(labels > 0, labels * np.log(labels / predicted.predicted), 0.0), axis=1).mean()
    assert lines_of(run, "metrics.jsonl")[-1]["validation_kl"] == pytest.approx(expected, rel=1e-4)


def test_a_fold_without_validation_rows_reports_no_validation(trained, tmp_path):
    run = moved(trained[0], tmp_path, slice(1), checkpoint_every=3)
    fold = run.split.folds[0]._replace(validation=np.array([], int))
    train_folds(run._replace(split=run.split._replace(folds=(fold,))))
    assert all("validation_kl" not in x for x in lines_of(run, "metrics.jsonl"))
    log = lines_of(trained[0], "metrics.jsonl")
    assert all("validation_kl" in x and x["skipped"] == 0 for x in log)
    assert float(last_training(trained[0])[1].guard.usual_loss) == log[-1]["loss"]
