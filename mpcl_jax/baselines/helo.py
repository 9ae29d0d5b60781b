"""HeLo (Zheng et al., Heterogeneous Multi-Modal Fusion with Label Correlation, ACM MM 2025, 2507.06821), in Flax.

Cross-attention fuses the physiological modalities: the first one is the query, each other one key and value. Optimal
transport matches physiological to behavioural tokens and moves them to their partners, and one transformer layer
reads both groups. Learned embeddings of the emotions, whose cosines follow those of the emotions in the labels, are
the queries of an attention over the fused tokens; their cosines are added to its scores (label correlation-driven
cross-attention), and a perceptron maps the result to the distribution.

The transport is the one of the released code, Gromov-Wasserstein: tokens are matched by the similarities within each
group. It is solved by projected entropic steps; the released code uses proximal steps (IPOT). The paper describes
another transport, a cosine cost between the groups and Sinkhorn steps: `helo_sinkhorn.py`.

A reimplementation from the abstract and the released code, not a port; docs/baselines.md lists the differences.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from mpcl_jax.baselines import transformer
from mpcl_jax.baselines.network import Network
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Block, Predicted, Task
from mpcl_jax.baselines.transformer import HEADS, HIDDEN, WIDTH, key_of
from mpcl_jax.types import GROUPS

TRANSPORT_STEPS, SINKHORN_STEPS = 5, 5
SHARPNESS = 0.1  # entropic regularisation of the transport
CORRELATION = 1.0  # weight of the alignment of correlations


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """Searches `tries` >= 1 settings, refits and predicts the test rows, as `network.py` describes."""
    return transformer.fit_predict(network_of(task.blocks, task.train.labels.shape[1]), task, seed, tries)


class HeLo(nn.Module):
    """The network."""

    blocks: tuple[Block, ...]
    emotions: int
    transport: Callable[[Any, Any], Any]  # tokens [B, P, D] and [B, Q, D] -> plan [B, P, Q]

    @nn.compact
    def __call__(self, x, dropout=0.0, key=None):
        """`x` [B, P]. Returns log-probabilities [B, C] and cosines of the emotion embeddings [C, C]."""
        tokens = transformer.ModalityTokens(self.blocks, transformer.TOKENS, WIDTH, name="tokens")(x)
        layer = transformer.TransformerLayer(HEADS, HIDDEN, name="layer")
        groups = self._of_groups(transformer.dropped(tokens, dropout, key_of(key, 0)))
        groups = [layer(x, dropout, key_of(key, 1 + place)) for place, x in enumerate(groups)]
        fused = jnp.concatenate(groups, axis=1)
        fused = nn.Dense(self.emotions, name="fused")(fused.swapaxes(1, 2)).swapaxes(1, 2)  # [B, C, D]

        embedding = self.param("emotions", nn.initializers.uniform(1.0), (self.emotions, WIDTH))
        correlation = cosines(embedding)
        query = jnp.broadcast_to(embedding, (len(x), *embedding.shape))
        recalled = transformer.Attention(1, name="emotion_attention")(query, fused, correlation)
        hidden = rearrange(recalled, "b c d -> b (c d)")
        for name in ("first", "second"):
            hidden = nn.relu(nn.Dense(WIDTH, name=name)(hidden))
        return jax.nn.log_softmax(nn.Dense(self.emotions, name="output")(hidden)), correlation

    def _of_groups(self, tokens) -> list:
        """Physiological tokens, moved to the behavioural ones, and these; a group alone where there is no other."""
        of_group = [block.group for block in self.blocks]
        groups = {g: [tokens[:, i] for i, own in enumerate(of_group) if own == g] for g in GROUPS}
        query, *others = groups["physiological"] or [None]
        if query is None:
            return [jnp.concatenate(groups["behavioural"], axis=1)]
        attend = transformer.Attention(HEADS, name="physiological_attention")
        fused = [attend(query, other) for other in others or [query]]
        physiological = nn.Dense(tokens.shape[-1], name="project")(jnp.concatenate(fused, axis=1))
        if not groups["behavioural"]:
            return [physiological]
        behavioural = jnp.concatenate(groups["behavioural"], axis=1)
        plan = jax.lax.stop_gradient(self.transport(physiological, behavioural))
        moved = jnp.einsum("bpq,bpd->bqd", plan, physiological) * behavioural.shape[1]
        return [moved, behavioural]


def transport(one, other):
    """Gromov-Wasserstein plan [B, P, Q] between the tokens `one` [B, P, D] and `other` [B, Q, D].

    Entries are >= 0, rows sum to about 1/P, columns to 1/Q exactly. Tokens alike among their own are matched:
    entropic regularisation and projected steps as in Peyré, Cuturi and Solomon, ICML 2016, from the uniform plan.
    """
    near, far = 1 - cosines(one), 1 - cosines(other)
    rows, columns = one.shape[1], other.shape[1]
    fixed = (near**2).mean(2)[:, :, None] + (far**2).mean(2)[:, None, :]

    def step(_, plan):
        cost = fixed - 2 * near @ plan @ far.swapaxes(1, 2)
        return sinkhorn_plan(cost, SINKHORN_STEPS)

    uniform = jnp.full((len(one), rows, columns), 1 / (rows * columns))
    return jax.lax.fori_loop(0, TRANSPORT_STEPS, step, uniform)


def sinkhorn_plan(cost, steps: int):
    """The plan [B, P, Q] of `cost` [B, P, Q] with entropic regularisation, after `steps` Sinkhorn steps.

    Entries are >= 0, rows sum to about 1/P, columns to 1/Q exactly.
    """
    _, rows, columns = cost.shape

    def balance(_, log_plan):
        log_plan = log_plan - jax.nn.logsumexp(log_plan, axis=2, keepdims=True) - jnp.log(rows)
        return log_plan - jax.nn.logsumexp(log_plan, axis=1, keepdims=True) - jnp.log(columns)

    return jnp.exp(jax.lax.fori_loop(0, steps, balance, -cost / SHARPNESS))


def cosines(x):
    """Cosines of all pairs of rows, [..., N, D] -> [..., N, N]."""
    x = unit(x)
    return x @ x.swapaxes(-1, -2)


def unit(x):
    """Rows [..., D] scaled to length 1; zeros stay zeros."""
    return x / jnp.sqrt((x**2).sum(-1, keepdims=True) + 1e-12)


def loss_of(log_probs, correlation, labels):
    """Mean loss of a batch: `log_probs` [B, C] and `correlation` [C, C] of the network, `labels` [B, C]."""
    wanted = cosines(labels.T)
    return -(labels * log_probs).sum(1).mean() + CORRELATION * ((correlation - wanted) ** 2).mean()


@functools.cache
def network_of(blocks: tuple[Block, ...], emotions: int, transport: Callable = transport) -> Network:
    """The pure functions of the network for data of this shape; the same object for the same arguments."""
    module = HeLo(blocks, emotions, transport)
    return transformer.network_of(module, loss_of, lambda outputs: outputs[0], ("output",))


register_baseline("helo", predict=predict, settings=None)
