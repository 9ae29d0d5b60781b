"""What a fold retrieved and saved for the pages: against the model's own predictions, recomputed by hand."""

import json

import numpy as np
import pytest

from mpcl_jax.data.splits.protocols import row_ids
from mpcl_jax.runs.memory import open_memory
from mpcl_jax.train.fold_inspection import load_inspection
from mpcl_jax.train.make_inspection import subsets_of


@pytest.fixture(scope="module")
def examined(trained):
    """A run of one fold, its predictions, and what it saved of them."""
    run, predictions = trained
    return run, predictions, load_inspection(run.workdir / "folds" / "00" / "inspection.npz")


def test_shares_of_what_was_recalled_sum_to_one(examined):
    run, predictions, found = examined
    assert found.modality.tolist() == list(run.recordings.groups)
    assert (found.rows == predictions.rows).all() and found.present.all()
    np.testing.assert_allclose(found.association.sum((1, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(found.recalled.sum((1, 2, 3)), 1, atol=1e-5)
    # Summed over groups and slots: what all emotions retrieved, weighted by their predicted shares.
    retrieved = np.einsum("pc,pcd->pd", predictions.predicted, predictions.cooccurrence_map)
    np.testing.assert_allclose(found.recalled.sum((1, 3)), retrieved, atol=1e-5)


def test_with_everything_left_the_kl_is_that_of_the_prediction(examined):
    run, predictions, found = examined
    labels = run.recordings.labels[predictions.rows].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(labels > 0, labels * np.log(labels / predictions.predicted), 0)
    assert found.subset[0].all()
    np.testing.assert_allclose(found.subset_kl[:, 0], terms.sum(1), rtol=1e-4)


def test_what_is_left_out_changes_the_prediction(examined):
    _, predictions, found = examined
    for shares in (found.without_modality, found.without_scale):
        assert shares.shape[1] in (3, 4)
        np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-5)
        assert (np.abs(shares - predictions.predicted[:, None]).max((0, 2)) > 1e-7).all()


def test_near_windows_are_training_windows_each_of_another_trial(examined):
    run, _, found = examined
    train = set(np.array(row_ids(run.recordings))[run.split.folds[0].train])
    assert set(found.near_id.ravel()) <= train
    trials = np.char.partition(found.near_id, "@")[..., 0]
    assert all(len(set(trials[slot])) == 3 for slot in np.ndindex(trials.shape[:2]))
    assert (np.diff(found.near_cosine, axis=-1) <= 0).all() and np.abs(found.near_cosine).max() <= 1 + 1e-5
    assert (open_memory(run.workdir).near_id == found.near_id).all()


def test_every_epoch_leaves_drift_and_usage(examined):
    run, _, _ = examined
    lines = [json.loads(x) for x in (run.workdir / "folds" / "00" / "memory.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    np.testing.assert_allclose(np.sum([line["usage"] for line in lines], axis=-1), 1, atol=1e-3)
    drift = np.array([line["drift"] for line in lines])
    assert drift.shape == (3, 10, 2) and drift.min() >= 0 and drift[0].mean() > drift[2].mean()


def test_sets_of_modalities():
    sets = subsets_of(3)
    assert sets.tolist()[0] == [True] * 3 and len(sets) == 7
    many = subsets_of(12)
    assert len({tuple(kept) for kept in many}) == len(many) <= 1 + 2 * 12 + 9 * 6
    assert set(many.sum(1)) == set(range(1, 13))
    assert (many.sum(1) == 1).sum() == (many.sum(1) == 11).sum() == 12
