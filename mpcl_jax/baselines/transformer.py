"""Shared by EmotionDict and HeLo: sizes and search, modalities into tokens, attention, one transformer layer.

Dropout rates are traced, so that all candidates of a search share one program; Flax's own Dropout needs a number.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from mpcl_jax.baselines import network
from mpcl_jax.baselines.network import Candidate, Network, Problem, keep
from mpcl_jax.baselines.selection import Block, Predicted, Task, columns_of

TOKENS, WIDTH, HEADS, HIDDEN = 2, 32, 4, 64
EPOCHS = 60
# For weakly informative signals, strongly informative ones, and a slow one.
FIRST = (
    Candidate(WIDTH, 1, dropout=0.4, input_dropout=0.4, decay=0.1, learning_rate=1e-3, epochs=40),
    Candidate(WIDTH, 1, dropout=0.2, input_dropout=0.0, decay=0.1, learning_rate=2e-3, epochs=60),
    Candidate(WIDTH, 1, dropout=0.4, input_dropout=0.2, decay=0.1, learning_rate=3e-4, epochs=40),
)


def fit_predict(net: Network, task: Task, seed: int, tries: int) -> Predicted:
    """Searches `tries` >= 1 settings, those of `FIRST` first, refits and predicts the test rows."""
    candidates = network.draw_candidates(FIRST, (WIDTH,), (1,), seed=seed, tries=tries, most_epochs=EPOCHS)
    return network.fit_predict(net, candidates, task.train, task.x, seed=seed)


def network_of(module: nn.Module, loss_of, log_probs_of, output: tuple[str, ...]) -> Network:
    """The pure functions of `module`, whose last layer, at the path `output`, starts near the mean label.

    `loss_of(*outputs, labels)` is the loss of a batch · `log_probs_of(outputs)` the log-probabilities [B, C].
    """
    start = jax.jit(lambda key, x: module.init(key, x)["params"])

    def init(problem: Problem, _: Candidate, draw):
        params = start(jax.random.key(int(draw.integers(2**31))), problem.x[:1])
        return _with_output(params, output, jnp.asarray(problem.log_mean))

    def loss(params, features, labels, dropout, key):
        return loss_of(*module.apply({"params": params}, features, dropout, key), labels)

    def log_probs(params, x):
        return log_probs_of(module.apply({"params": params}, x))

    return Network(init, loss, log_probs)


def _with_output(params: dict, path: tuple[str, ...], bias) -> dict:
    name, *rest = path
    layer = (
        _with_output(params[name], rest, bias)
        if rest
        else {"kernel": 0.1 * params[name]["kernel"], "bias": bias}
    )
    return params | {name: layer}


def dropped(x, dropout, key):
    """`x` with a share `dropout` of its numbers set to 0 and the rest scaled up; `x` itself without a `key`."""
    return x if key is None else x * keep(key, dropout, x.shape)


def key_of(key, place: int):
    """A key for one place of a network; None without a `key`."""
    return None if key is None else jax.random.fold_in(key, place)


class ModalityTokens(nn.Module):
    """Every modality's features, mapped all at once to a few tokens."""

    blocks: tuple[Block, ...]
    tokens: int  # of each modality
    width: int

    @nn.compact
    def __call__(self, x):
        """`x` [B, P], where an absent modality holds zeros. Returns [B, M, T, D] of M modalities."""
        each = []
        for block in self.blocks:
            features = x[:, jnp.array(columns_of(block))]
            flat = nn.Dense(self.tokens * self.width, name=block.modality)(features)
            each.append(rearrange(flat, "b (t d) -> b t d", d=self.width))
        return jnp.stack(each, axis=1)


class Attention(nn.Module):
    """Scaled dot-product attention by several heads, added to the state, then normalised."""

    heads: int

    @nn.compact
    def __call__(self, state, stored, bias=None):
        """`state` [B, Q, D] · `stored` [B, S, D] · `bias` [Q, S], added to the products. Returns [B, Q, D]."""
        width = state.shape[-1]
        per_head = width // self.heads

        def projected(x, name):
            x = nn.Dense(width, use_bias=False, name=name)(x)
            return rearrange(x, "b n (h d) -> b h n d", h=self.heads)

        query = projected(state, "query")
        key_of_stored, value = projected(stored, "key"), projected(stored, "value")
        product = jnp.einsum("bhqd,bhsd->bhqs", query, key_of_stored)
        product = product if bias is None else product + bias[None, None]
        attention = jax.nn.softmax(product / per_head**0.5, axis=-1)
        recalled = rearrange(jnp.einsum("bhqs,bhsd->bhqd", attention, value), "b h q d -> b q (h d)")
        return nn.LayerNorm(name="norm")(state + recalled)


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each added to its input, then normalised."""

    heads: int
    hidden: int  # width of the perceptron

    @nn.compact
    def __call__(self, x, dropout, key):
        """`x` [B, T, D]; returns the same shape."""
        x = Attention(self.heads, name="attention")(x, x)
        h = nn.Dense(x.shape[-1], name="narrow")(nn.gelu(nn.Dense(self.hidden, name="widen")(x)))
        return nn.LayerNorm(name="norm")(x + dropped(h, dropout, key))
