"""An epoch takes every training row of its fold once, normalised; streamed rows agree but for rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from run_fixture import SMALL, PowerCut, bits, last_training, quickly_prepared, sharding_config, tiny_config
from tiny_model import SPEC, tiny

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.normalise import Normalisation, apply_normalisation, fit_normalisation
from mpcl_jax.data.splits.protocols import Fold
from mpcl_jax.train import epoch as epoch_module
from mpcl_jax.train import folds
from mpcl_jax.train.devices import make_mesh
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import arrays_of, member_of
from mpcl_jax.train.state import Guard, Training, TrainState
from mpcl_jax.train.writer import RunWriter
from mpcl_jax.types import Recordings

ROWS = 20
TRAIN = np.array([3, 4, 6, 8, 9, 11, 13])  # 7 rows; the longest fold has 12, so 3 batches of 4
LONGEST = folds.Longest(12, 0, 4)
NORM = Normalisation(
    {m: np.full(shape, 2.0) for m, shape in SPEC.shapes.items()},
    {m: np.full(shape, 4.0) for m, shape in SPEC.shapes.items()},
    {m: np.full(shape, 2.0) for m, shape in SPEC.shapes.items()},
)
FOLD = folds.fold_arrays(Fold("fold 1 of 2", "", TRAIN, np.array([], int), np.array([0, 1])), NORM, LONGEST)
KEY = jax.random.key(0, impl="rbg")


@pytest.fixture(scope="module")
def epoch():
    """The compiled epoch around a step that writes down what it is given: rows of its batch, a draw of its key."""

    def step(state, batch, key, most):
        seen = {
            "row": state.params["row"].at[state.step].set(batch.signals["eda"][:, 0, 0]),
            "draw": state.params["draw"].at[state.step].set(jax.random.uniform(key)),
            "weight": state.params["weight"].at[state.step].set(batch.weight),
        }
        report = {"loss": jnp.float32(0), "skipped": jnp.float32(0)}
        return TrainState(state.step + 1, seen, None, None), report

    config = tiny_config(train__batch_size=4, train__select="last")
    program = folds.make_program(config, tiny()[0], SPEC, None, step, 3, make_mesh(config))
    # Feature 0 of row i is i, in the unit of the recordings.
    signals = {m: np.tile(np.arange(ROWS)[:, None, None], (1, *s)) for m, s in SPEC.shapes.items()}
    labels = np.full((ROWS, len(SPEC.emotions)), 0.25, np.float32)
    rows = folds.Rows(signals, {m: np.ones(ROWS, bool) for m in signals}, labels, np.zeros(ROWS, np.int32))

    def seen(key):
        empty = {"row": jnp.zeros((3, 4)), "draw": jnp.zeros(3), "weight": jnp.zeros((3, 4))}
        guard = Guard(jnp.zeros(3, jnp.int32), jnp.float32(jnp.inf))
        training = Training(TrainState(jnp.int32(0), empty, None, None), None, guard)
        return jax.tree.map(np.asarray, program.epoch(training, rows, FOLD, key)[0].state.params)

    return program, seen


def test_an_epoch_takes_every_training_row_and_no_other(epoch):
    program, seen = epoch
    assert program.steps_per_epoch == 3
    order = (4.0 * seen(KEY)["row"] + 2.0).ravel()  # the z-score undone
    assert sorted(order[:7]) == TRAIN.tolist()
    assert order[7:].tolist() == order[:5].tolist()  # full batches only: it wraps around
    assert (seen(KEY)["weight"] == 1).all()
    assert np.array_equal(program.batches(FOLD, KEY).ravel(), order)


def test_every_step_and_every_epoch_has_chances_of_its_own(epoch):
    one, two = epoch[1](KEY), epoch[1](jax.random.fold_in(KEY, 1))
    draws = [*one["draw"], *two["draw"]]
    assert len(set(draws)) == 6
    assert not np.array_equal(one["row"], two["row"])
    again = epoch[1](KEY)
    assert np.array_equal(again["draw"], one["draw"]) and np.array_equal(again["row"], one["row"])


def test_the_device_normalises_as_the_host_does():
    # Feature 0 is constant in training rows, feature 1 misses a value of a training and of a test row.
    x = np.random.default_rng(0).normal(50, 9, (ROWS, 1, 3)).astype(np.float32)
    x[TRAIN, 0, 0], x[[TRAIN[0], 0], 0, 1] = 4.0, np.nan
    here = np.ones(ROWS, bool)
    part = {"signals": {"a": x[TRAIN]}, "present": {"a": here[TRAIN]}, "labels": np.zeros((len(TRAIN), 2))}
    empty = dict.fromkeys(Recordings._fields)
    norm = fit_normalisation(Recordings(**empty | part | {"groups": {"a": "physiological"}}))
    fold = folds.fold_arrays(Fold("", "", TRAIN, np.array([], int), np.array([0])), norm, LONGEST)
    rows = folds.Rows({"a": jnp.asarray(x)}, {"a": here}, jnp.zeros((ROWS, 2)), jnp.zeros(ROWS, jnp.int32))
    batch = epoch_module.gather(rows, fold, np.arange(ROWS), jnp.ones(ROWS))
    expected = apply_normalisation({"a": x}, {"a": here}, norm)["a"]
    np.testing.assert_allclose(batch.signals["a"], expected, atol=1e-5)
    assert not np.asarray(batch.signals["a"])[:, 0, 0].any()
    median = pytest.approx(float(np.median(expected[TRAIN[1:], 0, 1])), abs=1e-5)
    assert expected[TRAIN[0], 0, 1] == expected[0, 0, 1] == median


# 72 training rows in 6 batches of 12: streamed two batches at a time.
RESIDENT = {**SMALL, "train__batch_size": 12}
STREAMED = {**RESIDENT, "train__stream_rows": 24}


@pytest.fixture(scope="module")
def resident(tmp_path_factory):
    run = quickly_prepared(sharding_config(**RESIDENT), tmp_path_factory.mktemp("resident"))
    return run, train_folds(run)


def test_an_epoch_moves_nothing_between_host_and_device(resident):
    run, member = resident[0], member_of(resident[0], 0)
    of_host = arrays_of(run, member)
    arrays = folds.stack(run.program, [of_host])
    training = run.program.create(member.key, member.label_mean)
    with jax.transfer_guard("disallow"):
        training, _ = run.program.epoch(training, run.rows, arrays, member.key)
        with pytest.raises(jax.errors.JaxRuntimeError, match="host-to-device"):
            run.program.epoch(training, run.rows, of_host, member.key)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """Stopped after the first epoch and started again; the rows of every transfer of the first epoch."""
    run, moved = quickly_prepared(sharding_config(**STREAMED), tmp_path_factory.mktemp("streamed")), []

    def watched(rows, chosen, sharding, to_device=folds._to_device):
        moved.append(len(chosen))
        return to_device(rows, chosen, sharding)

    def cut(writer, epoch, training, save=RunWriter.checkpoint):
        save(writer, epoch, training)
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(folds, "_to_device", watched)
        patch.setattr(RunWriter, "checkpoint", cut)
        train_folds(run)
    return run, train_folds(run), moved


def test_the_rows_stay_on_the_host_and_arrive_part_by_part(streamed):
    run, _, moved = streamed
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(run.rows))
    assert moved == [24, 24, 24, 64]  # three times two batches, then a block of validation rows


def test_streamed_stopped_and_resumed_the_bits_are_those_of_a_run_without_a_stop(streamed, tmp_path):
    stopped, of_stopped, _ = streamed
    whole = quickly_prepared(sharding_config(**STREAMED), tmp_path)
    predictions = train_folds(whole)
    assert last_training(whole)[0] == last_training(stopped)[0] == 2
    assert bits(last_training(whole)) == bits(last_training(stopped))
    for a, b in zip(predictions[0], of_stopped[0], strict=True):
        np.testing.assert_array_equal(a, b)
    logs = [(run.workdir / "metrics.jsonl").read_text() for run in (whole, stopped)]
    assert logs[0] == logs[1] and "validation_kl" in logs[0]


def test_streamed_rows_train_as_resident_ones_but_for_rounding(resident, streamed):
    """The batches are the same; the compiler fuses a shorter epoch differently."""
    (one, predictions), (other, of_streamed, _) = resident, streamed
    for a, b in zip(
        *(jax.tree.leaves(last_training(run)[1].state.params) for run in (one, other)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(predictions[0], of_streamed[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_folds_side_by_side_cannot_be_streamed():
    with pytest.raises(ConfigError, match="stream_rows = 24: needs config.train.folds_at_once = 1"):
        sharding_config(**STREAMED, train__folds_at_once=2, train__generator="threefry2x32")
