"""The search and the training of all neural baselines: one budget, one schedule, one compiled program.

Candidates come from a random search that begins with settings known to be good; each is trained on inner grouped
splits of the training part, and the setting and the epoch with the lowest held-out KL are used to fit all of its
rows. Three pure functions define a network (`Network`): `mlp.py`, `emotion_dict.py` and `helo.py`.

One compiled program per network and shape serves every candidate, inner split, refit and fold: both dropouts,
decay, learning rate and lengths are traced, and the rows in use are an array of indices.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mpcl_jax.baselines.selection import InnerFold, Part, Predicted, inner_folds
from mpcl_jax.metrics import as_distributions
from mpcl_jax.train.augment import mixing_shares

BATCH = 128
MOST_EPOCHS = 150
WARMUP = 0.05
INNER_FOLDS = 3
WORKERS = 2
MIXUP = 0.4  # of the Beta distribution, as in configs/dataset.py


class Candidate(NamedTuple):
    """One setting of the search."""

    width: int  # of every hidden layer
    depth: int  # hidden layers
    dropout: float  # behind every hidden layer
    input_dropout: float  # of the features
    decay: float  # AdamW's decoupled weight decay of the matrices
    learning_rate: float  # peak, after warm-up and before the cosine
    epochs: int  # of the whole schedule
    mixup: bool = False  # mixtures of two samples, as MPCL may be trained with


class Problem(NamedTuple):
    """A training part on the device, padded to a multiple of `BATCH` rows so that folds share a program."""

    x: jax.Array  # [R, P], zeros in the padding
    labels: jax.Array  # [R, C], uniform in the padding
    log_mean: np.ndarray  # [C] log of the mean label, where the output starts


class Plan(NamedTuple):
    """Which rows of a Problem are fitted, in which order, and which are held out."""

    order: jax.Array  # [MOST_EPOCHS, R] rows to fit, shuffled anew for each epoch
    steps: jax.Array  # batches of an epoch
    held: jax.Array  # [R] rows held out, then padding
    held_count: jax.Array


class Network(NamedTuple):
    """Pure functions that define a network. Equal networks share a compiled program."""

    # (problem, candidate, draw) -> parameters; random numbers come from `draw` alone.
    init: Callable[[Problem, Candidate, np.random.Generator], Any]
    # (parameters, features [B, P], labels [B, C], dropout, key) -> loss, a mean over the batch.
    loss: Callable[..., jax.Array]
    # (parameters, features [M, P]) -> log-probabilities [M, C].
    log_probs: Callable[[Any, jax.Array], jax.Array]


def fit_predict(network: Network, candidates: Sequence[Candidate], train: Part, x, *, seed: int) -> Predicted:
    """Searches `candidates`, refits the best one and predicts the test rows `x` [M, P]; the same for the same `seed`.

    With a single group no inner split exists: the first candidate is trained for all its epochs.
    """
    problem = make_problem(train)
    candidate, epochs = search(network, problem, inner_folds(train.group, INNER_FOLDS), candidates, seed)
    everything = InnerFold(fit=np.arange(len(train.x)), held=np.arange(0))
    params, _ = train_network(network, problem, everything, candidate, epochs, seed)
    padded = jnp.asarray(_pad(x, _round_up(len(x)), 0.0))
    log_probs = np.asarray(jax.jit(network.log_probs)(params, padded), np.float64)[: len(x)]
    setting = f"{candidate._replace(epochs=epochs)} of {candidate.epochs} epochs"
    return Predicted(as_distributions(np.exp(log_probs)), setting)


def draw_candidates(
    first: Sequence[Candidate],
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    seed: int,
    tries: int,
    most_epochs: int = MOST_EPOCHS,
) -> list[Candidate]:
    """`first`, then random settings, `tries` in all; a smaller budget tries the first ones of a larger one."""
    draw = np.random.default_rng(seed)
    drawn = [
        Candidate(
            width=int(draw.choice(widths)),
            depth=int(draw.choice(depths)),
            dropout=float(draw.uniform(0.1, 0.5)),
            input_dropout=float(draw.choice([0.0, 0.2, 0.4])),
            decay=float(10 ** draw.uniform(-3, np.log10(0.3))),
            learning_rate=float(10 ** draw.uniform(np.log10(2e-4), np.log10(5e-3))),
            epochs=int(draw.integers(40, most_epochs + 1)),
            mixup=bool(draw.integers(2)),
        )
        for _ in range(tries - len(first))
    ]
    return [*first, *drawn][:tries]


def search(
    network: Network, problem: Problem, folds: list[InnerFold], candidates: Sequence[Candidate], seed: int
) -> tuple[Candidate, int]:
    """The candidate and the number of epochs with the lowest held-out KL, mean over rows of all folds."""
    if not folds:
        return candidates[0], candidates[0].epochs

    def lowest(candidate):
        curve = np.zeros(candidate.epochs)
        for fold in folds:
            _, held_out = train_network(network, problem, fold, candidate, candidate.epochs, seed)
            curve += np.asarray(held_out)[: candidate.epochs] * len(fold.held)
        curve = np.where(np.isfinite(curve), curve, np.inf)
        return curve.min(), int(curve.argmin()) + 1

    # XLA uses one core for programs of this size.
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(lowest, candidates))
    (_, epochs), candidate = min(zip(found, candidates, strict=True), key=lambda pair: pair[0][0])
    return candidate, epochs


def train_network(network: Network, problem: Problem, fold: InnerFold, candidate, epochs: int, seed: int):
    """Parameters after `epochs` epochs on `fold.fit`, and the curve on `fold.held`, [MOST_EPOCHS].

    The curve is a cross-entropy, which differs from the KL by a constant; 0 behind `epochs`.
    """
    draw = np.random.default_rng(seed)
    params = network.init(problem, candidate, draw)
    plan = make_plan(fold, len(problem.x), draw)
    setting, key = candidate[2:], jax.random.key(seed)  # without width and depth, which are in the parameters
    return _train_program(network, params, problem.x, problem.labels, plan, setting, epochs, key)


@functools.partial(jax.jit, static_argnames="network")
def _train_program(network: Network, params, x, labels, plan: Plan, setting, epochs, key):
    """Trains for `epochs` epochs of a schedule laid out for the candidate's own epochs."""
    dropout, input_dropout, decay, peak, schedule_epochs, mixup = setting
    total = plan.steps * schedule_epochs

    def learning_rate(step):
        done = (step + 0.5) / total
        falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((done - WARMUP) / (1 - WARMUP), 0, 1)))
        return peak * jnp.where(done < WARMUP, done / WARMUP, falling)

    optimiser = optax.adamw(learning_rate, weight_decay=decay, mask=_is_matrix)

    def epoch(number, carry):
        def step(i, carry):
            params, state = carry
            rows = jax.lax.dynamic_slice(plan.order, (number, i * BATCH), (1, BATCH))[0]
            step_key = jax.random.fold_in(key, number * plan.steps + i)
            mix_key, feature_key, hidden_key = jax.random.split(step_key, 3)
            features, targets = mixed(mix_key, x[rows], labels[rows], mixup)
            features *= keep(feature_key, input_dropout, features.shape)
            gradient = jax.grad(network.loss)(params, features, targets, dropout, hidden_key)
            updates, state = optimiser.update(gradient, state, params)
            return optax.apply_updates(params, updates), state

        params, state, curve = carry
        params, state = jax.lax.fori_loop(0, plan.steps, step, (params, state))
        return params, state, curve.at[number].set(_cross_entropy(network, params, x, labels, plan))

    carry = (params, optimiser.init(params), jnp.zeros(MOST_EPOCHS))
    params, _, curve = jax.lax.fori_loop(0, epochs, epoch, carry)
    return params, curve


def _is_matrix(params):
    return jax.tree.map(lambda leaf: leaf.ndim == 2, params)


def mixed(key, x, labels, mixup):
    """If `mixup`: each row of `x` [B, P] and `labels` [B, C] mixed with the row before it; the order is random."""
    share = jnp.where(mixup, mixing_shares(key, MIXUP, len(x)), 1.0)[:, None]
    return tuple(share * rows + (1 - share) * jnp.roll(rows, 1, axis=0) for rows in (x, labels))


def keep(key, dropout, shape):
    """Factors of dropout: 0 with probability `dropout`, in steps of 1/256 (8 random bits), else 1 / (1 - dropout)."""
    share = jnp.round(256 * (1 - dropout))
    return jnp.where(jax.random.bits(key, shape, jnp.uint8) < share, 256 / share, 0.0)


@functools.partial(jax.jit, static_argnames="network")
def _cross_entropy(network: Network, params, x, labels, plan: Plan):
    """Mean over the held-out rows, 0 where there are none; in batches, so that its cost follows their number."""

    def batch(i, total):
        place = i * BATCH + jnp.arange(BATCH)
        rows = plan.held[place]
        each = -(labels[rows] * network.log_probs(params, x[rows])).sum(1)
        return total + jnp.where(place < plan.held_count, each, 0).sum()

    batches = (plan.held_count + BATCH - 1) // BATCH
    return jax.lax.fori_loop(0, batches, batch, 0.0) / jnp.maximum(plan.held_count, 1)


def make_problem(train: Part) -> Problem:
    """Pads and uploads the rows of `train`."""
    rows, emotions = _round_up(len(train.x)), train.labels.shape[1]
    log_mean = np.log(as_distributions(train.labels.mean(0, keepdims=True))[0])
    padded = _pad(train.x, rows, 0.0), _pad(train.labels, rows, 1 / emotions)
    return Problem(*map(jnp.asarray, padded), log_mean.astype(np.float32))


def make_plan(fold: InnerFold, length: int, draw: np.random.Generator) -> Plan:
    """`length` = rows of the Problem; the last batch of an epoch is filled up from its beginning."""
    steps = _round_up(len(fold.fit)) // BATCH
    shuffled = draw.permuted(np.tile(fold.fit, (MOST_EPOCHS, 1)), axis=1)
    order = np.zeros((MOST_EPOCHS, length), np.int32)
    order[:, : steps * BATCH] = np.resize(shuffled.T, (steps * BATCH, MOST_EPOCHS)).T
    held = np.zeros(length, np.int32)
    held[: len(fold.held)] = fold.held
    return Plan(jnp.asarray(order), np.int32(steps), jnp.asarray(held), np.int32(len(fold.held)))


def _round_up(rows: int) -> int:
    return -(-rows // BATCH) * BATCH


def _pad(x: np.ndarray, rows: int, value: float) -> np.ndarray:
    padded = np.full((rows, x.shape[1]), value, np.float32)
    padded[: len(x)] = x
    return padded
