"""EmotionDict and HeLo: their parts against hand values; they learn, repeat themselves and compile once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import quick_jit, quick_options

from mpcl_jax import metrics
from mpcl_jax.baselines import emotion_dict, helo, helo_sinkhorn, network
from mpcl_jax.baselines.means import train_mean
from mpcl_jax.baselines.selection import Block, Part

BLOCKS = (
    Block("eda", "physiological", (0, 1), None),
    Block("bvp", "physiological", (2, 3), None),
    Block("face", "behavioural", (4, 5), 6),
)
QUICK = network.Candidate(32, 1, dropout=0.1, input_dropout=0.0, decay=0.01, learning_rate=5e-3, epochs=60)
BOTH = pytest.mark.parametrize("method", [emotion_dict, helo], ids=["emotion_dict", "helo"])


@pytest.fixture(scope="module", autouse=True)
def quick_to_compile():
    """conftest.py puts the setting back."""
    jax.config.update("jax_disable_most_optimizations", True)
    training = network._train_program.__wrapped__
    with pytest.MonkeyPatch.context() as patch:
        quick = jax.jit(training, static_argnames="network", compiler_options=quick_options())
        patch.setattr(network, "_train_program", quick)
        yield


def planted(rows=128, seed=0):
    """Labels follow a curve of the features of two modalities; a third of the rows lack the face."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 7)).astype(np.float32)
    x[:, 6] = np.arange(rows) % 3 > 0
    x[:, 4:6] *= x[:, 6:]
    logits = 1.5 * np.tanh(x[:, [0, 2, 4]]) @ np.random.default_rng(99).normal(size=(3, 3))
    labels = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Part(x, labels, np.full(rows, "S1"))


@pytest.fixture(scope="module")
def fitted(quick_to_compile):
    """What both predict, by module. A single group: nothing to search by (test_mlp.py has the search)."""
    train, test = planted(), planted(rows=40, seed=1)
    predicted = {}
    for method in (emotion_dict, helo):
        net = method.network_of(BLOCKS, 3)
        predicted[method] = network.fit_predict(net, [QUICK], train, test.x, seed=0).shares
    return train, test, predicted


@BOTH
def test_it_learns_and_predicts_distributions(fitted, method):
    train, test, predicted = fitted
    shares = predicted[method]
    assert shares.shape == (40, 3) and (shares > 0).all() and np.allclose(shares.sum(1), 1, atol=1e-9)
    constant = metrics.kl(test.labels, train_mean(train, len(test.x))).mean()
    assert metrics.kl(test.labels, shares).mean() < 0.5 * constant


@BOTH
def test_a_seed_repeats_another_differs_and_rows_do_not_touch_each_other(fitted, method):
    train, test, predicted = fitted
    net = method.network_of(BLOCKS, 3)
    programs = network._train_program._cache_size()
    alone = network.fit_predict(net, [QUICK], train, test.x[:3], seed=0).shares
    assert np.allclose(alone, predicted[method][:3], atol=1e-6)
    changed = QUICK._replace(dropout=0.3, decay=0.1, epochs=3)
    other = network.fit_predict(net, [changed], train, test.x, seed=1).shares
    assert np.abs(other - predicted[method]).max() > 1e-3
    assert network._train_program._cache_size() == programs, "one program for all folds, seeds and candidates"


@pytest.mark.parametrize("groups", ["ppb", "p", "bb"])
@BOTH
def test_any_set_of_modalities_will_do(method, groups):
    names = {"p": "physiological", "b": "behavioural"}
    blocks = tuple(Block(f"m{i}", names[g], (2 * i, 2 * i + 1), None) for i, g in enumerate(groups))
    net = method.network_of(blocks, 4)
    module = (
        emotion_dict.EmotionDict(blocks, 4)
        if method is emotion_dict
        else helo.HeLo(blocks, 4, helo.transport)
    )
    x = jnp.zeros((5, 2 * len(groups)))
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), x)["params"])
    assert jax.eval_shape(net.log_probs, params, x).shape == (5, 4)


def test_the_loss_of_emotion_dict():
    # One row, one modality beside the whole. Cross-entropies: whole −log .5, modality −log .25. Element weights: the
    # whole (.5, .5), the modality (.8, .2): KL = .5 log(.5/.8) + .5 log(.5/.2) = .2231436.
    # .6931472 + .1 · (1.3862944 + .2231436) = .8540910.
    log_probs = np.log(np.float32([[[0.5, 0.5], [0.25, 0.75]]]))
    weights = np.log(np.float32([[[0.5, 0.5], [0.8, 0.2]]]))
    found = quick_jit(jax.value_and_grad(emotion_dict.loss_of, argnums=1))
    loss, gradient = found(log_probs, weights, np.float32([[1.0, 0.0]]))
    assert np.isclose(loss, 0.8540910, atol=1e-6)
    # The element weights of the whole are a teacher: no gradient reaches them.
    assert not np.asarray(gradient[:, 0]).any() and np.asarray(gradient[:, 1]).any()


def test_the_loss_of_helo():
    # Mean cross-entropy of both rows: log 2 = .6931472. Label columns (1, .5) and (0, .5): cosine
    # .25 / (√1.25 · .5) = .4472136. Learned .5: squared error over four entries 2 · .0527864² / 4 = .0013932.
    labels, learned = np.float32([[1.0, 0.0], [0.5, 0.5]]), np.float32([[1.0, 0.5], [0.5, 1.0]])
    log_probs = np.log(np.full((2, 2), 0.5, np.float32))
    assert np.isclose(quick_jit(helo.loss_of)(log_probs, learned, labels), 0.6945404, atol=1e-6)


def test_transport_matches_tokens_that_lie_alike_among_their_own():
    # Three directions with different angles between them; the other group has them rotated and in another order.
    angles = np.array([0.0, 0.7, 2.0])
    one = np.stack([np.cos(angles), np.sin(angles)], 1)[None]
    order = np.array([2, 0, 1])
    other = 3 * np.stack([np.cos(angles[order] + 1), np.sin(angles[order] + 1)], 1)[None]
    transport = quick_jit(helo.transport)
    plan = np.asarray(transport(np.float32(one), np.float32(other)))[0]
    assert (plan.argmax(0) == order).all()
    assert np.allclose(plan.sum(0), 1 / 3, atol=1e-6) and np.allclose(plan.sum(1), 1 / 3, atol=0.03)
    # Tokens that are all alike give no reason to prefer any.
    same = np.asarray(transport(np.ones((1, 2, 4), np.float32), np.ones((1, 5, 4), np.float32)))
    assert np.allclose(same, 1 / 10, atol=1e-6)


def test_the_transport_of_the_paper_matches_tokens_with_the_smallest_cosine_cost():
    directions = np.eye(3)[None]
    order = np.array([2, 0, 1])
    one, other = jnp.asarray(directions), jnp.asarray(5 * directions[:, order])
    plan = np.asarray(helo_sinkhorn.transport(one, other))[0]
    # Cost 0 for equal directions and 1 for others: exp(-10) of the mass of a row is elsewhere.
    assert np.allclose(plan, np.eye(3)[order].T / 3, atol=1e-4)
    # It differs from the plan of the released code, which does not see a rotation of one group.
    turned = 5 * directions @ np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    moved = np.asarray(helo_sinkhorn.transport(jnp.asarray(directions), jnp.asarray(turned)))[0]
    assert np.abs(moved - np.eye(3) / 3).max() > 0.3
    assert np.allclose(helo.transport(jnp.asarray(directions), jnp.asarray(turned))[0], 1 / 9, atol=1e-6)


def test_both_transports_are_networks_of_their_own():
    both = {helo.network_of(BLOCKS, 3), helo.network_of(BLOCKS, 3, helo_sinkhorn.transport)}
    assert len(both) == 2 and len({network.log_probs for network in both}) == 2


def test_helo_aligns_its_emotions_with_those_of_the_labels(fitted):
    train, _, _ = fitted
    net, problem = helo.network_of(BLOCKS, 3), network.make_problem(train)
    everything = network.InnerFold(np.arange(len(train.x)), np.arange(0))
    apart, cosines = [], quick_jit(helo.cosines)
    for epochs in (0, QUICK.epochs):
        params, _ = network.train_network(net, problem, everything, QUICK, epochs, 0)
        wanted = cosines(np.float32(train.labels.T))
        apart.append(np.abs(cosines(params["emotions"]) - wanted).max())
    assert apart[1] < 0.5 * apart[0]
