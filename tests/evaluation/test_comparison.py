"""The input of the baselines of a run: rows, ids and columns."""

import numpy as np
import pytest

from mpcl_jax.config.data import ProtocolConfig, SimulateConfig
from mpcl_jax.config.schema import BenchmarkConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation import comparison

SETTINGS = BenchmarkConfig(tries=2)


@pytest.fixture(scope="module")
def recordings():
    """Six subjects, six clips, two windows each; gsr is missing in some rows."""
    made, _ = simulate(SimulateConfig(subjects=6, clips=6, windows=2, missing=0.2))
    assert not made.present["gsr"].all()
    return made


def first_fold(recordings, kind, **settings):
    return make_split(recordings, ProtocolConfig(kind=kind, folds=3, **settings)).folds[0]


def predicted(recordings, kind, fold, names):
    return comparison.predict_fold(recordings, kind, fold, names, SETTINGS, 0)[0]


def test_a_task_holds_the_rows_ids_and_columns_of_its_fold(recordings):
    fold = first_fold(recordings, "subject_kfold", validation=0.3)
    task = comparison.task_of(recordings, "subject_kfold", fold)
    rows = np.sort(np.concatenate([fold.train, fold.validation]))
    assert (task.train_info.subject == recordings.subject[rows]).all()
    assert (task.test_info.stimulus == recordings.stimulus[fold.test]).all()
    assert (task.test_info.windows == 2).all()
    assert [block.modality for block in task.blocks] == list(recordings.signals)
    for block in task.blocks:
        here = recordings.present[block.modality][rows]
        own = task.train.x[:, block.columns]
        assert own.shape[1] == np.prod(recordings.signals[block.modality].shape[1:])
        assert not own[~here].any()
        assert np.allclose(own[here].mean(0), 0, atol=1e-4)  # z-scored over the rows that have it
        assert (block.present is None) == recordings.present[block.modality].all()
        if block.present is not None:
            assert (task.train.x[:, block.present] == here).all()


def test_subjects_without_training_rows_get_the_train_mean(recordings):
    held_out = predicted(recordings, "loso", first_fold(recordings, "loso"), ("train_mean", "subject_mean"))
    assert np.allclose(held_out["subject_mean"], held_out["train_mean"])
    # It differs with labelled trials of the tested subject among the training rows.
    fold = first_fold(recordings, "calibrated", calibration=2)
    known = predicted(recordings, "calibrated(2)", fold, ("train_mean", "subject_mean"))
    subject = recordings.subject[fold.test[0]]
    own = recordings.labels[fold.train][recordings.subject[fold.train] == subject]
    assert len(own) == 4 and np.allclose(known["subject_mean"], own.mean(0), atol=1e-6)


def test_ids_that_derive_from_labels_are_left_unknown(recordings):
    few = recordings._replace(trial=np.array(["a"] * 5 + ["b"] * 67))
    assert (comparison.row_info(few).windows == [5.0] * 5 + [67.0] * 67).all()
    assert (comparison.row_info(few).stimulus == recordings.stimulus).all()
    groups = recordings._replace(trial_name="label groups")
    assert np.isnan(comparison.row_info(groups).windows).all()
    assert (comparison.row_info(groups).stimulus == "").all()
    fold = first_fold(recordings, "window80")
    names = ("train_mean", "stimulus_mean", "duration_only")
    mean, *others = predicted(groups, "window80", fold, names).values()
    assert all(np.allclose(other, mean) for other in others)
