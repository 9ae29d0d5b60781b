"""Rows that are streamed to the device: the bits of the resident epoch, also across a stop, part by part."""

import jax
import numpy as np
import pytest
from run_fixture import PowerCut, bits, last_training, quickly_prepared, sharding_config

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.train import loop, stream
from mpcl_jax.train.loop import train_folds

# 72 training rows in 6 batches of 12: streamed two batches at a time.
RESIDENT = {"train__batch_size": 12}
STREAMED = {**RESIDENT, "train__stream_rows": 24}


@pytest.fixture(scope="module")
def resident(tmp_path_factory):
    run = quickly_prepared(sharding_config(**RESIDENT), tmp_path_factory.mktemp("resident"))
    return run, train_folds(run)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """Stopped after the first epoch and started again; the rows of every transfer of the first epoch."""
    run, moved = quickly_prepared(sharding_config(**STREAMED), tmp_path_factory.mktemp("streamed")), []

    def watched(rows, chosen, sharding, to_device=stream._to_device):
        moved.append(len(chosen))
        return to_device(rows, chosen, sharding)

    def cut(_, members, saved, epoch, training, save=loop._save):
        save(run, members, saved, epoch, training)
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(stream, "_to_device", watched)
        patch.setattr(loop, "_save", cut)
        train_folds(run)
    return run, train_folds(run), moved


def test_the_rows_stay_on_the_host_and_arrive_part_by_part(streamed):
    run, _, moved = streamed
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(run.rows))
    assert moved == [24, 24, 24, 64]  # three times two batches, then a block of validation rows


def test_streamed_stopped_and_resumed_the_bits_are_those_of_the_resident_run(resident, streamed):
    (one, predictions), (other, of_streamed, _) = resident, streamed
    assert last_training(one)[0] == last_training(other)[0] == 2
    assert bits(last_training(one)) == bits(last_training(other))
    for a, b in zip(predictions[0], of_streamed[0], strict=True):
        np.testing.assert_array_equal(a, b)
    logs = [(run.workdir / "metrics.jsonl").read_text() for run in (one, other)]
    assert logs[0] == logs[1] and "validation_kl" in logs[0]


@pytest.mark.parametrize(("steps", "limit", "at_once"), [(12, 5, 4), (12, 12, 12), (7, 5, 1), (3, 100, 3)])
def test_parts_are_of_one_size(steps, limit, at_once):
    assert stream._largest_divisor(steps, limit) == at_once


def test_folds_side_by_side_can_not_be_streamed():
    with pytest.raises(ConfigError, match="stream_rows = 24: needs config.train.folds_at_once = 1"):
        sharding_config(**STREAMED, train__folds_at_once=2, train__generator="threefry2x32")
