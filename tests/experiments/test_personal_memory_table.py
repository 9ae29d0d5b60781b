"""The table of the hand-set memory: golden values, shrinkage, and trials as units."""

import runpy
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import log_softmax
from table_fixture import config_file

from experiments.tables import personal_memory
from experiments.tables.personal_memory import adapt, write_trials
from mpcl_jax.config.resolve import resolve
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.evaluation.comparison import task_of
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.types import DataError

RNG = np.random.default_rng(0)


def windows(count, emotions=3):
    labels = RNG.dirichlet(np.ones(emotions), count)
    query = RNG.normal(size=(count, 2, 4))
    return (
        query / np.linalg.norm(query, axis=-1, keepdims=True),
        log_softmax(RNG.normal(size=(count, emotions)), 1),
        labels,
    )


# One trial, two emotions: y = (.8, .2), p = (.5, .5): log y − log p = (.4700, −.9163), centred (±.6931) = ±ln 2.
# One trial at κ = 1 counts ½, so log p' = log(½, ½) ± ½ ln 2, p' ∝ (√2, 1/√2) = (⅔, ⅓).
def test_golden_adaptation():
    query, log_half = np.ones((1, 2, 2)) / np.sqrt(2), np.log([[0.5, 0.5]])
    memory = write_trials(["a"], query, log_half, np.array([[0.8, 0.2]]))
    np.testing.assert_allclose(memory.residual, [[np.log(2), -np.log(2)]])
    np.testing.assert_allclose(np.exp(adapt(log_half, query, memory, beta=10.0)), [[2 / 3, 1 / 3]])


def test_a_trial_is_one_entry_however_many_windows_it_has():
    query, log_probs, labels = windows(6)
    memory = write_trials(["b", "b", "a", "b", "a", "c"], query, log_probs, labels)
    assert memory.query.shape == (3, 8) and memory.residual.shape == (3, 3)
    np.testing.assert_allclose(np.linalg.norm(memory.query, axis=1), 1.0)
    np.testing.assert_allclose(memory.residual.sum(1), 0.0, atol=1e-12)
    residual = np.log(labels) - log_probs
    residual -= residual.mean(1, keepdims=True)
    np.testing.assert_allclose(memory.residual[0], residual[[0, 1, 3]].mean(0))  # "b" came first


def test_a_sharp_retrieval_adds_the_residual_of_the_nearest_trial_and_beta_0_the_mean():
    query, log_probs, labels = windows(3)
    memory = write_trials(["a", "b", "c"], query, log_probs, labels)
    args = log_softmax(RNG.normal(size=(3, 3)), 1)
    near = adapt(args, query, memory, beta=1e4)
    np.testing.assert_allclose(near, log_softmax(args + 0.75 * memory.residual, axis=1), atol=1e-9)
    flat = adapt(args, query, memory, beta=0.0)
    np.testing.assert_allclose(flat, log_softmax(args + 0.75 * memory.residual.mean(0), axis=1))


def test_rows_are_compared_with_recall_at_as_many_trials():
    """The baseline is .01, .02, .03 above recall with nothing written (mean .02), and .02 above it with one trial."""
    recalled, mean = personal_memory.RECALLED, personal_memory.MEAN
    found = {
        ("mlp", 0): np.array([0.06, 0.07, 0.08]),
        ("mlp", 1): np.array([0.06, 0.06, 0.06]),
        (mean, 0): np.array([0.05, 0.05, 0.05]),
        (mean, 1): np.array([0.04, 0.04, 0.04]),
        (recalled, 0): np.array([0.05, 0.05, 0.05]),
        (recalled, 1): np.array([0.04, 0.04, 0.04]),
    }
    rows = {(row["method"], row["trials"]): row for row in personal_memory.report(found)}
    assert rows["mlp", 0]["minus_recalled"].startswith("+0.0200 [")
    assert rows["mlp", 1]["minus_recalled"].startswith("+0.0200 [")
    assert rows["mlp", 1]["minus_zero_trials"].startswith("-0.0100 [")
    assert not rows["mlp", 0]["minus_zero_trials"]
    assert rows[mean, 1]["minus_recalled"].startswith("+0.0000 [")
    assert rows[recalled, 1]["minus_recalled"] == ""


def test_features_are_what_the_baselines_of_the_fold_saw_of_each_tested_window(tmp_path):
    """Found by the window's name, in any order of windows; a missing window is named."""
    settings = runpy.run_path(str(config_file(tmp_path, protocol__only=())))["get_config"]()
    config = resolve(settings)
    table_data = load_table_data(config)
    names = np.array(row_ids(table_data.recordings))
    rows = np.concatenate([fold.test for fold in table_data.split.folds])[::-1]
    args = SimpleNamespace(id=names[rows], folder=tmp_path)
    seen = np.concatenate(
        [task_of(table_data.recordings, table_data.split.protocol, fold).x for fold in table_data.split.folds]
    )
    found = personal_memory.features_of(args, config)
    assert found.shape == (len(rows), 1, seen.shape[1])
    np.testing.assert_array_equal(found[:, 0], seen[::-1])
    with pytest.raises(DataError, match="P99/clip01@0.000 was tested and is not in the recordings"):
        args.id = np.array(["P99/clip01@0.000"])
        personal_memory.features_of(args, config)
