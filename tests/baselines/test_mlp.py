"""The search that all networks share, and its first network: learns, chooses on held-out groups, compiles once."""

import jax
import numpy as np
import pytest

from mpcl_jax import metrics
from mpcl_jax.baselines import mlp, network
from mpcl_jax.baselines.means import train_mean
from mpcl_jax.baselines.selection import InnerFold, Part, Task, inner_folds

# Small and short, but the same shape everywhere in this file, so that it is compiled once.
SMALL = network.Candidate(64, 1, dropout=0.25, input_dropout=0.0, decay=0.01, learning_rate=5e-3, epochs=40)


@pytest.fixture(autouse=True)
def strict_shapes():
    """Implicit broadcasting is an error here."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def one_candidate(monkeypatch):
    """A search with nothing to choose: fast."""
    monkeypatch.setattr(mlp, "FIRST", (SMALL,))


def planted(rows=200, subjects=8, signal=1.0, seed=0):
    """Labels follow a curve of the features, as strongly as `signal` says."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 6)).astype(np.float32)
    weights = np.random.default_rng(99).normal(size=(6, 4))
    logits = signal * np.abs(x) @ weights + (1 - signal) * draw.normal(size=(rows, 4))
    labels = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Part(x, labels, np.array([f"S{i % subjects}" for i in range(rows)]))


def drawn(*, seed, tries):
    return network.draw_candidates(mlp.FIRST, mlp.WIDTHS, mlp.DEPTHS, seed=seed, tries=tries)


def trained(problem, fold, candidate, epochs, seed):
    return network.train_network(mlp.NETWORK, problem, fold, candidate, epochs, seed)


def searched(problem, folds, candidates, seed):
    return network.search(mlp.NETWORK, problem, folds, candidates, seed)


def fitted(train, x, *, seed=0, tries=1):
    """Predictions of the MLP, which uses features alone."""
    return mlp.predict(Task(train, x, None, None, ()), seed, tries).shares


def everything(train):
    return InnerFold(fit=np.arange(len(train.x)), held=np.arange(0))


def test_the_search_begins_with_the_documented_setting():
    first = drawn(seed=0, tries=1)
    assert first == [network.Candidate(128, 2, 0.5, 0.0, 0.1, 1e-3, 60)]
    eight = drawn(seed=0, tries=8)
    assert eight[0] == first[0]
    assert eight[:5] == drawn(seed=0, tries=5)
    assert len(set(eight)) == 8
    assert eight[4:] != drawn(seed=1, tries=8)[4:]


def test_it_learns_what_is_not_linear(one_candidate):
    train, test = planted(rows=250), planted(rows=100, seed=1)
    predicted = fitted(train, test.x, seed=0, tries=1)
    constant = metrics.kl(test.labels, train_mean(train, len(test.x))).mean()
    assert metrics.kl(test.labels, predicted).mean() < 0.5 * constant  # ridge: 1.00


def test_a_seed_repeats_and_another_differs(one_candidate):
    train, test = planted(), planted(rows=20, seed=1)
    first, again, other = (fitted(train, test.x, seed=s, tries=1) for s in (0, 0, 1))
    assert (first == again).all()
    assert np.abs(first - other).max() > 1e-4


def test_padding_and_held_out_rows_do_not_touch_the_parameters():
    train = planted()
    problem, fold = network.make_problem(train), InnerFold(np.arange(150), np.arange(150, 200))
    spoiled = problem._replace(
        x=problem.x.at[150:].set(1e3), labels=problem.labels.at[150:].set(np.float32([[1, 0, 0, 0]]))
    )
    clean, _ = trained(problem, fold, SMALL, 5, 0)
    same, _ = trained(spoiled, fold, SMALL, 5, 0)
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(same), strict=True))
    touched, _ = trained(spoiled, everything(train), SMALL, 5, 0)
    assert (touched[0][0] != clean[0][0]).any()


def test_noise_stops_early_and_signal_does_not():
    slow = SMALL._replace(learning_rate=1e-3, dropout=0.1)
    noise, signal = planted(signal=0.0), planted()
    epochs = {}
    for name, train in (("noise", noise), ("signal", signal)):
        _, epochs[name] = searched(network.make_problem(train), inner_folds(train.group), [slow], 0)
    assert epochs["noise"] < 15
    assert epochs["signal"] > 30


def test_the_candidate_with_the_lowest_held_out_kl_is_chosen_and_a_broken_one_is_not():
    train = planted()
    broken = SMALL._replace(learning_rate=float("nan"))
    idle = SMALL._replace(learning_rate=1e-7)
    with jax.debug_nans(False):
        found, _ = searched(network.make_problem(train), inner_folds(train.group), [broken, idle, SMALL], 0)
    assert found == SMALL
